// Counts, and filters that match nothing, over many keys of one table:
//   npx tsc -b packages/table && node packages/table/bench/count.mjs [--keys 1000000]
// 256 B values. `delay` is the longest that the event loop did nothing else. The first row of a kind comes after a start.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { mvcc } from '@coxswain/protocol';
import { CommandKind, LevelStoreDirectory, Table } from '../dist/src/index.js';

const keyCount = Number(process.argv[process.argv.indexOf('--keys') + 1]) || 1_000_000;
const ROUNDS = 5;
const BATCH = 500;
const value = Buffer.alloc(256, 'v');
const keyAt = (at) => Buffer.from(`user/${String(at).padStart(12, '0')}`);
const options = { writeBufferSizeBytes: 32 << 20, cacheSizeBytes: 32 << 20 };
const path = mkdtempSync(join(tmpdir(), 'coxswain-bench-'));
const directory = await LevelStoreDirectory.open(path, options);
const open = () => Table.open({ directory, name: 't', create: true, initialIndex: 0, ...options });

let table = await open();
let index = 0;
/** One entry that puts all keys. */
async function put(keys) {
  const kv = (key) => ({ key, value, createRevision: 0n, modRevision: 0n, version: 0n });
  const none = { kv: undefined, prevKvs: false, sequence: [], count: false };
  const type = mvcc.Command_CommandType.PUT_BATCH;
  const command = { table: Buffer.from('bench'), type, batch: keys.map(kv), ...none };
  const payload = Buffer.from(mvcc.Command.encode(command).finish());
  index += 1;
  const kind = CommandKind.Command;
  await table.apply([{ index, term: 1, timeMs: 0, kind, payload, cursor: undefined, wantsResult: false }]);
}

const cpuBefore = process.cpuUsage();
for (let at = 0; at < keyCount; at += BATCH) {
  await put(Array.from({ length: BATCH }, (_, offset) => keyAt(at + offset)));
}
await table.checkpoint();
const { user, system } = process.cpuUsage(cpuBefore);
console.log(`${keyCount} keys: ${((user + system) / keyCount).toFixed(1)} us of CPU each`);
const earlier = table.revision;
for (let at = 0; at < 100; at++) await put([keyAt((at * keyCount) / 100)]);
await table.checkpoint();

const anything = {
  limit: 0,
  keysOnly: false,
  countOnly: true,
  maxBytes: 4 << 20,
  minModRevision: 0,
  maxModRevision: 0,
  minCreateRevision: 0,
  maxCreateRevision: 0,
};
const half = { ...anything, key: keyAt(keyCount / 4), rangeEnd: keyAt((3 * keyCount) / 4) };
const nothing = { ...anything, key: keyAt(0), rangeEnd: Buffer.from([0]), minModRevision: index + 1 };

const rows = [];
async function measure(what, query, revision) {
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  const cpu = process.cpuUsage();
  const began = performance.now();
  const view = table.view(revision);
  const { count } = await view.range(query);
  view.close();
  const ms = performance.now() - began;
  const used = process.cpuUsage(cpu);
  delay.disable();
  rows.push({
    what,
    count,
    ms: Number(ms.toFixed(1)),
    'CPU ms': Number(((used.user + used.system) / 1000).toFixed(1)),
    'delay ms': Number((delay.max / 1e6).toFixed(1)),
  });
}

for (const state of ['as loaded', 'after a start']) {
  if (state === 'after a start') {
    await table.close();
    table = await open();
  }
  for (const [what, query, revision] of [
    ['a half', half],
    ['a half as it was', half, earlier],
    ['a filter that matches nothing', nothing],
  ]) {
    for (let round = 0; round < ROUNDS; round++) await measure(`${what}, ${state}`, query, revision);
  }
}
console.table(rows);
await table.close();
rmSync(path, { recursive: true });
