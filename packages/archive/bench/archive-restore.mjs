// Measures what a restore from the archive costs a node, for one build or for several side by side (results: DESIGN.md):
//   node packages/archive/bench/archive-restore.mjs [--keys 300000] [--commands 100000] [--touched 300000] [--rounds 3]
//     [--dry-run] [checkout...]
// A directory holds the archive of a table: a base of `keys` pairs with values of 256 bytes that do not shrink, and a log
// of `commands` puts, one an entry, that overwrite `touched` of the keys at random. Each built checkout (this one, if none
// is named) runs one node, which restores the table once to warm up and then once a round; the checkouts take turns. CPU is
// of the node's process, user and system, until the restore is answered. A dry run reads and checks all and writes nothing.
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { mvcc } from '@coxswain/protocol';
import { compressToFrames, STREAM_IDENTIFIER } from '@coxswain/stream';
import { findFreePorts } from '@coxswain/testing';
import {
  baseEntry,
  baseName,
  DirectoryStore,
  LogObjectWriter,
  logEntry,
  ShardManifest,
  writeBaseObject,
} from '../dist/src/index.js';

const VALUE_BYTES = 256;
const PORTION_BYTES = 64 * 1024;
const LOG_OBJECT_BYTES = 8 * 1024 * 1024;
const SETTLE_MS = 5_000;
/** Milliseconds of a clock tick (USER_HZ), the unit in which the kernel counts the CPU time of processes. */
const TICK_MS = 10;
const SHARD = { clusterId: 'archive-restore-bench', shardId: 10_001, table: 'bench', firstIndex: 1 };
const BEGAN_MS = 1_700_000_000_000;
const { PUT } = mvcc.Command_CommandType;
const pool = randomBytes(1024 * 1024);

const { values: flags, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    keys: { type: 'string', default: '300000' },
    commands: { type: 'string', default: '100000' },
    touched: { type: 'string', default: '300000' },
    'dry-run': { type: 'boolean', default: false },
    rounds: { type: 'string', default: '3' },
  },
});
const [keyCount, commandCount, touchedCount, rounds] = [
  flags.keys,
  flags.commands,
  flags.touched,
  flags.rounds,
].map(Number);
const thisCheckout = fileURLToPath(new URL('../../..', import.meta.url));
const checkouts = (positionals.length > 0 ? positionals : [thisCheckout]).map((path) => resolve(path));

const directory = await mkdtemp(join(tmpdir(), 'coxswain-archive-restore-'));
const nodes = [];
try {
  const archive = join(directory, 'archive');
  await writeArchive(new DirectoryStore(archive));
  for (const [place, checkout] of checkouts.entries()) {
    nodes.push(await startNode(checkout, { archive, dataDirectory: join(directory, `node-${place}`) }));
  }
  for (const node of nodes) await restore(node);
  const figures = nodes.map(() => []);
  for (let round = 0; round < rounds; round++) {
    for (const [place, node] of nodes.entries()) figures[place].push(await restore(node));
  }
  print(figures);
} finally {
  for (const { child } of nodes) {
    child.kill('SIGTERM');
    if (child.exitCode === null) await once(child, 'exit');
  }
  await rm(directory, { recursive: true, force: true });
}

function print(figures) {
  const each = keyCount + commandCount;
  const rows = figures.map((rows, place) => ({
    checkout: checkouts[place],
    'CPU, s': median(rows.map(({ cpuMs }) => cpuMs)) / 1000,
    'CPU a key or command, µs': (median(rows.map(({ cpuMs }) => cpuMs)) * 1000) / each,
    'keys and commands/s': Math.round(each / (median(rows.map(({ elapsedMs }) => elapsedMs)) / 1000)),
    "of the first one's CPU": median(rows.map(({ cpuMs }, round) => cpuMs / figures[0][round].cpuMs)).toFixed(
      2,
    ),
  }));
  console.table(rows);
}

function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)];
}

/** Starts a cluster of one node that has the archive, and resolves when it is ready. */
async function startNode(checkout, { archive, dataDirectory }) {
  const [raft, api, rest] = await findFreePorts(3);
  const options = {
    'data-dir': dataDirectory,
    'raft.node-id': 1,
    'raft.address': `127.0.0.1:${raft}`,
    'raft.initial-members': `1=127.0.0.1:${raft}`,
    'api.address': `http://127.0.0.1:${api}`,
    'rest.address': `http://127.0.0.1:${rest}`,
    'replication.enabled': false,
    'archive.target': pathToFileURL(archive).href,
  };
  const command = join(checkout, 'packages/cli/bin/coxswain.cjs');
  const given = Object.entries(options).map(([name, value]) => `--${name}=${value}`);
  const child = spawn(process.execPath, [command, 'leader', ...given], {
    cwd: directory,
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  for (;;) {
    const response = await fetch(`http://127.0.0.1:${rest}/readyz`).catch(() => undefined);
    await response?.arrayBuffer();
    if (response?.ok) return { child, command, endpoint: `127.0.0.1:${api}` };
    if (child.exitCode !== null) throw new Error(`the node of ${checkout} ended with ${child.exitCode}`);
    await sleep(100);
  }
}

async function restore({ child, command, endpoint }) {
  const before = await cpuMsOf(child.pid);
  const began = performance.now();
  const call = [
    'restore',
    '--endpoints',
    endpoint,
    '--tables',
    SHARD.table,

    '--from-cluster',
    SHARD.clusterId,
  ];
  const client = spawn(process.execPath, [command, ...call, flags['dry-run'] ? '--dry-run' : '--yes'], {
    cwd: directory,
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  const [code] = await once(client, 'exit');
  if (code !== 0) throw new Error(`the restore ended with ${code}`);
  const elapsedMs = performance.now() - began;
  const cpuMs = (await cpuMsOf(child.pid)) - before;
  // The restored table is archived in its turn, with a base, and the table before it is dropped.
  if (!flags['dry-run']) await sleep(SETTLE_MS);
  return { cpuMs, elapsedMs };
}

async function cpuMsOf(pid) {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
  // The name, in parentheses, may hold spaces; user and system time are the 14th and 15th field.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) * TICK_MS;
}

async function writeArchive(store) {
  const manifest = await ShardManifest.open(store, SHARD, {});
  const revision = keyCount;
  const info = { ...SHARD, revision, timeMs: BEGAN_MS };
  const name = baseName(SHARD, revision, '0123456789abcdef');
  const stored = await store.put(name, writeBaseObject(info, backup()), {});
  await manifest.add(baseEntry(info, { name, ...stored }), {});
  let writer = new LogObjectWriter(SHARD);
  const finish = async () => {
    if (writer.isEmpty) return;
    const object = await writer.finish();
    await store.put(object.name, object.content, {});
    await manifest.add(logEntry(object), {});
    writer = new LogObjectWriter(SHARD);
  };
  for (let turn = 1; turn <= commandCount; turn++) {
    const command = put(Math.floor(Math.random() * touchedCount) * Math.floor(keyCount / touchedCount));
    writer.add({ index: revision + turn, term: 1, timeMs: BEGAN_MS + turn, command });
    if (writer.sizeBytes >= LOG_OBJECT_BYTES) await finish();
  }
  await finish();
}

async function* backup() {
  yield STREAM_IDENTIFIER;
  let portion = [];
  let portionBytes = 0;
  for (let number = 0; number < keyCount; number++) {
    const record = put(number, {
      createRevision: BigInt(number + 1),
      modRevision: BigInt(number + 1),
      version: 1n,
    });
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(record.length));
    portion.push(length, record);
    portionBytes += 8 + record.length;
    if (portionBytes < PORTION_BYTES && number < keyCount - 1) continue;
    yield compressToFrames(Buffer.concat(portion));
    portion = [];
    portionBytes = 0;
  }
}

function put(number, stamp = {}) {
  const key = Buffer.from(`key-${String(number).padStart(12, '0')}`);
  const kv = { key, value: randomValue(), ...stamp };
  const command = mvcc.Command.fromPartial({ table: Buffer.from(SHARD.table), type: PUT, kv });
  return Buffer.from(mvcc.Command.encode(command).finish());
}

/** Cut out of a pool, in which nothing repeats that snappy would find. */
function randomValue() {
  const cut = Math.floor(Math.random() * (pool.length - VALUE_BYTES));
  return pool.subarray(cut, cut + VALUE_BYTES);
}
