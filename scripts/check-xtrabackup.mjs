// Has Perl, which the real client of the Xtrabackup agent is written in, decode and encode what the agent's encoders make,
// and has that client itself take backups of a node, full and incremental, in every encoding, which `coxswain restore` then
// brings back. docs/compatibility.md, "Xtrabackup agent protocol" says where it comes from.
//
//   npm run check:xtrabackup
//
// Looks for perl on the PATH, and for the client where XTRABACKUP_CLIENT names xtrabackup-client.pl (0.75.1); says which of
// them is missing. Exits with 1 when something does not hold, or where there is no Perl.
import { strict as assert } from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { makeEncoder } from '../packages/agents/dist/src/xtrabackup/stream-encoding.js';
import { Coxswain, toEnd } from '../packages/client/dist/src/index.js';
import { eventually, findFreePorts } from '../packages/testing/dist/src/index.js';
import { checkOptions } from './check-options.mjs';

checkOptions('npm run check:xtrabackup', {});

const coxswain = fileURLToPath(new URL('../packages/cli/bin/coxswain.cjs', import.meta.url));
const root = mkdtempSync(join(tmpdir(), 'coxswain-xtrabackup-'));
const children = new Set();
process.on('exit', () => {
  for (const child of children) child.kill('SIGKILL');
  rmSync(root, { recursive: true, force: true });
});
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(1));

const version = spawnSync('perl', ['-e', 'print $^V']);
if (version.status !== 0) {
  console.error('there is no perl on the PATH: nothing was checked');
  process.exit(1);
}
checkEncoders();
console.log(`the encoders: as perl ${version.stdout} has them`);

const client = process.env.XTRABACKUP_CLIENT;
if (client === undefined) {
  console.log('the real client: not checked, since XTRABACKUP_CLIENT does not name xtrabackup-client.pl');
} else {
  await checkClient(client);
}
process.exit(0);

/** What Perl makes of a text. */
function perl(program, input) {
  const { status, stdout, stderr } = spawnSync(
    'perl',
    ['-e', `local $/; binmode STDIN; binmode STDOUT; ${program}`],
    {
      input,
      maxBuffer: 64 * 1024 * 1024,
    },
  );
  assert.equal(status, 0, String(stderr));
  return stdout;
}

function checkEncoders() {
  for (const length of [0, 1, 2, 44, 45, 46, 512, 10_239, 10_240, 10_241, 1024 * 1024]) {
    for (const blockBytes of [45, 57, 1_000, 10_240]) {
      const stream = randomBytes(length);
      const encode = (name) => {
        const encoder = makeEncoder({ name, blockBytes });
        return Buffer.concat([encoder.push(stream), encoder.end()]);
      };
      // As the client reads it.
      const uudecoder =
        'while (read(STDIN, $_, 4)) { read(STDIN, $_, unpack("N", $_)); print unpack("u", $_) }';
      assert.ok(perl(uudecoder, encode('uuencode')).equals(stream));
      const lines = Math.floor(blockBytes / 57) * 77;
      const base64Decoder = `use MIME::Base64; print decode_base64($_) while (read(STDIN, $_, ${lines}));`;
      if (lines > 0) assert.ok(perl(base64Decoder, encode('base64')).equals(stream));
    }
    // As the real agent writes it.
    const stream = randomBytes(length);
    const encoder = makeEncoder({ name: 'uuencode', blockBytes: 10_240 });
    const uuencoder = 'while (read(STDIN, $_, 10240)) { $_ = pack("u*", $_); print pack("N", length), $_ }';
    assert.ok(perl(uuencoder, stream).equals(Buffer.concat([encoder.push(stream), encoder.end()])));
    const lines = makeEncoder({ name: 'base64', blockBytes: 10_240 });
    assert.ok(
      perl('use MIME::Base64; print encode_base64(<STDIN>)', stream).equals(
        Buffer.concat([lines.push(stream), lines.end()]),
      ),
    );
  }
}

async function checkClient(program) {
  const [api, rest, raft, replication, agent] = await findFreePorts(5);
  const node = spawn(
    process.execPath,
    [
      coxswain,
      'leader',
      '--config=',
      `--data-dir=${join(root, 'data')}`,
      `--raft.address=127.0.0.1:${raft}`,
      `--api.address=http://127.0.0.1:${api}`,
      `--rest.address=http://127.0.0.1:${rest}`,
      `--replication.address=http://127.0.0.1:${replication}`,
      `--backup-agent.address=127.0.0.1:${agent}`,
      '--maintenance.token=s3cUre',
      '--tables.names=orders,idle',
    ],
    { stdio: 'ignore' },
  );
  children.add(node);
  await eventually('the node is ready', async () => {
    const response = await fetch(`http://127.0.0.1:${rest}/readyz`).catch(() => undefined);
    return response?.ok === true || node.exitCode !== null;
  });
  assert.equal(node.exitCode, null, 'the node has ended');
  const db = await Coxswain.connect({ endpoints: [`127.0.0.1:${api}`], timeoutMs: 60_000 });
  const contentOf = async () => {
    const content = new Map();
    for await (const { key, value } of db.iterateRange('orders', toEnd, { rangeEnd: toEnd })) {
      content.set(key.toString(), value.toString('hex'));
    }
    return content;
  };

  /** One call of the client; gives its exit code and what it wrote. */
  const run = (name, keys, file = 'ZRM_LINKS/.') => {
    // The client hands the name to a shell as it is.
    const directory = join(root, name.replaceAll(/\W+/g, '-'));
    mkdirSync(directory, { recursive: true });
    const configuration = join(root, 'backup.conf');
    const pairs = {
      'backup-level': 0,
      replication: 1,
      user: 'backup',
      password: 's3cUre',
      'xtrabackup-agent:port': agent,
      'xtrabackup-client:tar-force-ownership': 0,
      'xtrabackup-client:logpath': join(root, 'client.log'),
      ...keys,
    };
    writeFileSync(
      configuration,
      Object.entries(pairs)
        .map(([key, value]) => `${key}=${value}\n`)
        .join(''),
    );
    const { status, stdout, stderr } = spawnSync(
      'perl',
      [
        program,
        ...['--source-host', '127.0.0.1', '--source-file', file, '--destination-host', 'localhost'],
        ...['--destination-directory', directory],
      ],
      { env: { ...process.env, ZRM_CONF: configuration }, encoding: 'utf8' },
    );
    return {
      status,
      directory,
      said: `${stdout}${stderr}`,
      isWhole: existsSync(join(directory, 'manifest.json')),
    };
  };
  const sidIn = ({ directory }) => JSON.parse(readFileSync(join(directory, 'manifest.json'), 'utf8')).sid;

  const encodings = [undefined, 'uuencode', 'base64', 'null'];
  const ways = encodings.flatMap((encoding) =>
    [undefined, 'gzip -c'].map((compress) => ({ encoding, compress })),
  );
  for (const { encoding, compress, blockBytes } of [...ways, { blockBytes: 1_000 }]) {
    const way = `${encoding ?? 'no encoding'}, ${compress ?? 'not compressed'}, blocks of ${blockBytes ?? 'its own size'}`;
    const keys = {
      ...(blockBytes && { 'xtrabackup-client:stream-block-size': blockBytes }),
      ...(encoding && { 'xtrabackup-client:stream-encoding': encoding }),
      ...(compress && { 'xtrabackup-agent:inline-compress': compress }),
    };
    for (let i = 0; i < 50; i++) await db.put('orders', `k${i}`, randomBytes(2_000));
    const full = run(`${way} full`, keys);
    assert.deepEqual([full.status, full.isWhole], [0, true], full.said);
    for (let i = 25; i < 75; i++) await db.put('orders', `k${i}`, randomBytes(1_000));
    const changes = run(`${way} changes`, { ...keys, 'backup-level': 1, sid: sidIn(full) });
    assert.deepEqual([changes.status, changes.isWhole], [0, true], changes.said);
    assert.match(readFileSync(join(changes.directory, 'master.info'), 'utf8'), /^next-binlog=cx1-/m);
    const expected = await contentOf();
    await db.put('orders', 'late', 'too late');
    const restored = spawnSync(
      process.execPath,
      [
        coxswain,
        'restore',
        ...['--endpoints', `127.0.0.1:${api}`, '--token', 's3cUre', '--yes', '--dir', full.directory],
        ...['--incremental', changes.directory],
      ],
      { encoding: 'utf8' },
    );
    assert.equal(restored.status, 0, restored.stderr);
    assert.deepEqual(await contentOf(), expected);
    console.log(`the real client: ${way}: full, incremental, restored`);
  }

  const refusals = {
    'a wrong password': { password: 'wrong' },
    'a wrong level': { 'backup-level': 2 },
    'level 1 without a point': { 'backup-level': 1 },
    'another compression': { 'xtrabackup-agent:inline-compress': 'bzip2' },
  };
  for (const [what, keys] of Object.entries(refusals)) {
    const { status, isWhole } = run(what, keys);
    assert.deepEqual([status, isWhole], [1, false], what);
  }
  const nothing = run('no links', {}, '/var/lib/mysql/orders');
  assert.deepEqual([nothing.status, nothing.isWhole], [0, false]);
  console.log(
    `the real client: exits with 1 for ${Object.keys(refusals).join(', ')}; with 0 without ZRM_LINKS`,
  );
  db.close();
}
