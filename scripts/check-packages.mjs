// Shows that the packages which scripts/pack.mjs makes install into an empty project and work: the client and the protocol as ES
// module and as CommonJS, with types that need nothing else, the command as a node and its client. Exits 1 when one does not.
//
//   node scripts/check-packages.mjs [--offline]
//
// Runs them under this Node, under those that NODE_BINARIES names (paths of binaries, with colons between them), and under
// Node 20, 22 and 24 from the registry. With --offline nothing is fetched: no other Node, and the command finds the packages
// that it depends on in this clone.
import { spawn, spawnSync } from 'node:child_process';
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { ProcessCluster } from '../bench/dist/src/faults/process-cluster.js';
import { eventually, findFreePorts, Hopeless } from '../packages/testing/dist/src/index.js';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const MAJORS = [20, 22, 24];

const { values } = parseArgs({ options: { offline: { type: 'boolean', default: false } } });
const top = mkdtempSync(join(tmpdir(), 'coxswain-packages-'));
process.on('exit', () => rmSync(top, { recursive: true, force: true }));
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(1));

function run(program, args, options) {
  const { status, error, stdout, stderr } = spawnSync(program, args, { encoding: 'utf8', ...options });
  if (error) throw error;
  if (status !== 0) throw new Error(`${program} ${args.join(' ')}: exit code ${status}:\n${stdout}${stderr}`);
  return stdout;
}

function expectEqual(what, actual, expected) {
  if (actual !== expected)
    throw new Error(`${what}: ${JSON.stringify(expected)} was expected, and ${JSON.stringify(actual)} came`);
}

/** An empty project with the packages of these files in it, and only those. */
function install(name, files) {
  const directory = join(top, name);
  mkdirSync(directory);
  writeFileSync(join(directory, 'package.json'), JSON.stringify({ name, private: true }));
  const npm = ['install', '--no-audit', '--no-fund', ...(values.offline ? ['--offline'] : []), ...files];
  run('npm', npm, { cwd: directory });
  return directory;
}

/** The command, with what it depends on linked from this clone, as `npm install` would have brought it. */
function installOffline(name, file) {
  const directory = join(top, name);
  const target = join(directory, 'node_modules/@coxswain/cli');
  mkdirSync(target, { recursive: true });
  run('tar', ['-xzf', file, '-C', target, '--strip-components', '1']);
  const { dependencies, bin } = JSON.parse(readFileSync(join(target, 'package.json'), 'utf8'));
  for (const dependency of Object.keys(dependencies)) {
    const link = join(directory, 'node_modules', dependency);
    mkdirSync(dirname(link), { recursive: true });
    const owner = readdirSync(join(root, 'packages')).find((workspace) => {
      const manifest = JSON.parse(readFileSync(join(root, 'packages', workspace, 'package.json'), 'utf8'));
      return manifest.dependencies?.[dependency] === dependencies[dependency];
    });
    symlinkSync(realpathSync(join(root, 'packages', owner, 'node_modules', dependency)), link);
  }
  mkdirSync(join(directory, 'node_modules/.bin'));
  symlinkSync(join(target, bin.coxswain), join(directory, 'node_modules/.bin/coxswain'));
  return directory;
}

/** The Nodes to run under, by version. */
function findNodes() {
  const paths = [
    process.execPath,
    ...(process.env.NODE_BINARIES ?? '').split(':').filter((path) => path !== ''),
  ];
  for (const major of values.offline ? [] : MAJORS) {
    const directory = join(top, `node-${major}`);
    mkdirSync(directory);
    // The registry's package of this name holds the binary itself, and runs nothing when it is installed.
    const { platform, arch } = process;
    run('npm', ['install', '--no-save', '--prefix', directory, `node-${platform}-${arch}@${major}`], {
      cwd: directory,
    });
    paths.push(join(directory, `node_modules/node-${platform}-${arch}/bin/node`));
  }
  return new Map(paths.map((path) => [run(path, ['--version']).trim(), path]));
}

const use = (address) => `
const db = new Coxswain({ endpoints: ['${address}'], timeoutMs: 60_000 });
await db.put('default', 'packed', 'value');
const pair = await db.get('default', 'packed');
const json = toProtobufJson(mvcc.KeyValue.decode(mvcc.KeyValue.encode(pair).finish()));
const failure = await db.get('no-such-table', 'key').catch((error) => error);
db.close();
console.log(pair.value.toString(), json.key, JSON.parse(JSON.stringify(pair)).key, descriptorSet().length > 0);
console.log(failure instanceof CoxswainError, failure.errorCode);
`;
const USED = 'value cGFja2Vk cGFja2Vk true\ntrue tableNotFound\n';
const NAMES = [
  ['{ Coxswain, CoxswainError }', '@coxswain/client'],
  ['{ descriptorSet, mvcc, toProtobufJson }', '@coxswain/protocol'],
];

function writePrograms(directory, address) {
  const imports = NAMES.map(([names, from]) => `import ${names} from '${from}';`).join('\n');
  const requires = NAMES.map(([names, from]) => `const ${names} = require('${from}');`).join('\n');
  writeFileSync(join(directory, 'use.mjs'), `${imports}${use(address)}`);
  writeFileSync(join(directory, 'use.cjs'), `${requires}\nvoid (async () => {${use(address)}})();\n`);
  // Both kinds in one program have the same classes.
  const both = `import { createRequire } from 'node:module';
import { CoxswainError } from '@coxswain/client';
console.log(createRequire(import.meta.url)('@coxswain/client').CoxswainError === CoxswainError);
`;
  writeFileSync(join(directory, 'both.mjs'), both);
  const types = `import { Coxswain, type ConnectionEvent, type mvcc, type Pair } from '@coxswain/client';
import { regatta } from '@coxswain/protocol';
export async function use(db: Coxswain, signal: AbortSignal): Promise<bigint | undefined> {
  const pair: Pair | undefined = await db.get('t', 'k', { signal, deadline: new Date() });
  const stored: mvcc.KeyValue | undefined = pair;
  const event: ConnectionEvent = { state: 'connected', endpoint: '', reason: '' };
  const path: '/regatta.v1.KV/Put' = regatta.KVService.put.path;
  console.log(event, path);
  return stored?.value.readBigUInt64BE(0);
}
`;
  for (const file of ['types.mts', 'types.cts']) writeFileSync(join(directory, file), types);
  const wrong = `import type { Pair } from '@coxswain/client';
export const key = (pair: Pair): string => pair.key;
`;
  for (const file of ['wrong.mts', 'wrong.cts']) writeFileSync(join(directory, file), wrong);
}

/** Types are checked with nothing but those of Node beside them; their own declarations are checked, too. */
function checkTypes(directory) {
  mkdirSync(join(directory, 'node_modules/@types'));
  symlinkSync(
    realpathSync(join(root, 'node_modules/@types/node')),
    join(directory, 'node_modules/@types/node'),
  );
  const flags = [
    '--strict',
    '--noEmit',
    '--module',
    'nodenext',
    '--target',
    'es2023',
    '--exactOptionalPropertyTypes',
  ];
  const tsc = join(root, 'node_modules/.bin/tsc');
  run(tsc, [...flags, 'types.mts', 'types.cts'], { cwd: directory });
  // Types that are not found would be any, and let everything pass.
  for (const file of ['wrong.mts', 'wrong.cts']) {
    const { stdout } = spawnSync(tsc, [...flags, file], { cwd: directory, encoding: 'utf8' });
    if (!/TS2322: Type 'Buffer/.test(stdout)) throw new Error(`${file} should not be right: ${stdout}`);
  }
  rmSync(join(directory, 'node_modules/@types'), { recursive: true });
}

/** Runs a node by the installed command, under the given Node, and uses it by the command. */
async function checkCommand(directory, node, version) {
  const command = [join(directory, 'node_modules/.bin/coxswain')];
  const [api, rest, raft] = await findFreePorts(3);
  const data = mkdtempSync(join(top, 'data-'));
  const flags = [
    `--api.address=http://127.0.0.1:${api}`,
    `--rest.address=http://127.0.0.1:${rest}`,
    `--raft.address=127.0.0.1:${raft}`,
    '--replication.enabled=false',
    '--raft.wal-segment-size=16MiB',
    '--config=',
    '--tables.names=default',
    `--data-dir=${data}`,
  ];
  expectEqual('coxswain --version', run(node, [...command, '--version']), `${version}\n`);
  const child = spawn(node, [...command, 'leader', ...flags], {
    cwd: data,
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let stderr = '';
  child.stderr.setEncoding('utf8').on('data', (text) => {
    stderr += text;
  });
  const ended = new Promise((resolve) => child.on('close', resolve));
  try {
    await eventually('the node is ready', async () => {
      if (child.exitCode !== null) throw new Hopeless(`the node ended: ${stderr}`);
      return (await fetch(`http://127.0.0.1:${rest}/readyz`)).ok;
    });
    const there = ['--endpoints', `127.0.0.1:${api}`, '--timeout', '60s'];
    expectEqual('coxswain put', run(node, [...command, 'put', 'key', 'value', ...there]), 'OK\n');
    const { kvs } = JSON.parse(run(node, [...command, 'get', 'key', '-o', 'json', ...there]));
    expectEqual('coxswain get', kvs[0].value, Buffer.from('value').toString('base64'));
    run(node, [...command, 'get', 'key', '-o', 'table', ...there]);
  } finally {
    child.kill('SIGTERM');
    await ended;
  }
}

const into = join(top, 'packed');
run(process.execPath, [join(root, 'scripts/pack.mjs'), '--into', into]);
const fileOf = (name) =>
  join(
    into,
    readdirSync(into).find((file) => file.startsWith(`coxswain-${name}-`)),
  );
const libraries = install('libraries', [fileOf('client'), fileOf('protocol')]);
expectEqual(
  'packages of the libraries',
  readdirSync(join(libraries, 'node_modules'))
    .filter((name) => !name.startsWith('.'))
    .join(),
  '@coxswain',
);
const command = values.offline
  ? installOffline('command', fileOf('cli'))
  : install('command', [fileOf('cli')]);
for (const name of ['client', 'protocol', 'cli']) {
  const manifest = readFileSync(join(into, name, 'package.json'), 'utf8');
  if (manifest.includes('workspace:')) throw new Error(`@coxswain/${name} still depends on a workspace`);
}
const { version } = JSON.parse(readFileSync(join(root, 'packages/cli/package.json'), 'utf8'));
// Before the cluster starts: its node waits for this process to read what it writes.
const nodes = findNodes();
const cluster = await ProcessCluster.start(1);
try {
  writePrograms(libraries, cluster.nodes[0].address);
  checkTypes(libraries);
  console.log('types: found and checked, as ES module and as CommonJS');
  for (const [nodeVersion, node] of nodes) {
    for (const file of ['use.mjs', 'use.cjs']) expectEqual(file, run(node, [file], { cwd: libraries }), USED);
    expectEqual('both.mjs', run(node, ['both.mjs'], { cwd: libraries }), 'true\n');
    await checkCommand(command, node, version);
    console.log(`Node ${nodeVersion}: client, protocol and command work`);
  }
} finally {
  await cluster.dispose();
}
