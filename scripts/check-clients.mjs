// Does what docs/clients says, page by page, against a real node: writes the files, runs the commands, and compares what they
// print. Exits 1 when a page does not do what it says.
//
//   node scripts/check-clients.mjs [--offline] [typescript] [go] [java] [python]
//
// A block of a page that names a file after its language is that file; `sh` is run, with `coxswain` as the clone of the
// repository; `text` is all that the commands before it print. A language that is not installed is left out, and named.
// The packages of Go, Java and Python come from their registries; with --offline npm asks none.
import { spawn, spawnSync } from 'node:child_process';
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { ProcessCluster } from '../bench/dist/src/faults/process-cluster.js';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
/** Of one block of commands: Maven may have to fetch a hundred files. */
const COMMANDS_TIMEOUT_MS = 600_000;

/** The programs that a page needs; without one of them it is left out. */
const programs = {
  typescript: ['npm'],
  go: ['go'],
  java: ['java', 'mvn'],
  python: ['python3'],
};

/** The parts of a page in order: files, commands with the line of the page, and what those must print. */
function parse(page) {
  const text = readFileSync(join(root, page), 'utf8');
  return [...text.matchAll(/^```(\S+)(?: (\S+))?\n(.*?)^```$/gms)].map(
    ({ 1: language, 2: file, 3: content, index }) => {
      const place = `${page}:${text.slice(0, index).split('\n').length}`;
      if (file !== undefined) return { kind: 'file', place, file, content };
      if (language === 'sh') return { kind: 'commands', place, content };
      if (language === 'text') return { kind: 'output', place, content };
      throw new Error(`${place}: name the file of this block, or make it sh or text`);
    },
  );
}

/** Runs commands, and returns what they printed to stdout. Rejects with all of it when one fails. */
function run(place, commands, directory, environment) {
  return new Promise((resolve, reject) => {
    const shell = spawn('sh', ['-ec', commands], { cwd: directory, env: environment, detached: true });
    let stdout = '';
    let all = '';
    shell.stdout.on('data', (chunk) => {
      stdout += chunk;
      all += chunk;
    });
    shell.stderr.on('data', (chunk) => {
      all += chunk;
    });
    const timer = setTimeout(() => process.kill(-shell.pid, 'SIGKILL'), COMMANDS_TIMEOUT_MS);
    shell.on('close', (code) => {
      clearTimeout(timer);
      if (code === 0) resolve(stdout);
      else reject(new Error(`${place}: exit code ${code}:\n${all}`));
    });
  });
}

/** Lays out what a reader has: a folder of their own with the clone in it, here its protos and packages alone. */
function layOut(language) {
  const top = mkdtempSync(join(tmpdir(), 'coxswain-client-'));
  const directory = join(top, 'project');
  mkdirSync(join(directory, 'coxswain'), { recursive: true });
  cpSync(join(root, 'proto'), join(directory, 'coxswain/proto'), { recursive: true });
  if (language === 'typescript') {
    const into = join(directory, 'coxswain/dist/packages');
    const { status, stderr } = spawnSync(process.execPath, [join(root, 'scripts/pack.mjs'), '--into', into], {
      encoding: 'utf8',
    });
    if (status !== 0) throw new Error(`scripts/pack.mjs: ${stderr}`);
    // The types of Node that the compiler of this repository would find anyway.
    mkdirSync(join(top, 'node_modules/@types'), { recursive: true });
    symlinkSync(join(root, 'node_modules/@types/node'), join(top, 'node_modules/@types/node'));
  }
  return { top, directory };
}

/** Follows a page. Throws an Error that names the line of it that is not true. */
async function follow(language, page, address, isOffline) {
  const { top, directory } = layOut(language);
  const environment = {
    ...process.env,
    PATH: [
      join(top, 'bin'),
      dirname(process.execPath),
      process.env.PATH,
      join(root, 'node_modules/.bin'),
    ].join(delimiter),
    GOBIN: join(top, 'bin'),
    GOFLAGS: '-modcacherw',
    ...(isOffline && { npm_config_offline: 'true', npm_config_audit: 'false', npm_config_fund: 'false' }),
  };
  const here = (text) => text.replace(/127[.]0[.]0[.]1:8[456]43/g, address);
  try {
    let printed = '';
    for (const { kind, place, file, content } of parse(page)) {
      if (kind === 'file') {
        mkdirSync(dirname(join(directory, file)), { recursive: true });
        writeFileSync(join(directory, file), here(content));
      } else if (kind === 'commands') {
        printed = await run(place, here(content), directory, environment);
      } else if (printed !== content) {
        throw new Error(`${place}: the page says\n${content}and this was printed:\n${printed}`);
      }
    }
  } finally {
    rmSync(top, { recursive: true, force: true });
  }
}

const { values, positionals } = parseArgs({
  options: { offline: { type: 'boolean', default: false } },
  allowPositionals: true,
});
const pages = readdirSync(join(root, 'docs/clients')).map((name) => name.replace(/[.]md$/, ''));
const unknown = [...positionals, ...pages].find((name) => programs[name] === undefined);
if (unknown !== undefined)
  throw new Error(`${unknown}: scripts/check-clients.mjs knows ${Object.keys(programs).join(', ')}`);
const cluster = await ProcessCluster.start(1);
try {
  for (const language of positionals.length > 0 ? positionals : pages) {
    const page = `docs/clients/${language}.md`;
    const missing = programs[language].find((program) => spawnSync('which', [program]).status !== 0);
    if (missing !== undefined) {
      console.log(`${page}: not checked, since there is no ${missing} here`);
      continue;
    }
    try {
      await follow(language, page, cluster.nodes[0].address, values.offline);
      console.log(`${page}: does what it says`);
    } catch (error) {
      console.log(error.message);
      process.exitCode = 1;
    }
  }
} finally {
  await cluster.dispose();
}
