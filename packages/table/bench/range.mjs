// Ranges of 100 keys with 256 B values, against a bare LevelDB iterator loop on the same data:
//   npx tsc -b packages/table && node packages/table/bench/range.mjs
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { mvcc } from '@coxswain/protocol';
import { ClassicLevel } from 'classic-level';
import { CommandKind, LevelStoreDirectory, Table } from '../dist/src/index.js';

const KEY_COUNT = 200_000;
const RANGES = 4000;
const LIMIT = 100;
const keyAt = (at) => Buffer.from(`user/${String(at).padStart(12, '0')}`);
const path = mkdtempSync(join(tmpdir(), 'coxswain-bench-'));
const options = { writeBufferSizeBytes: 32 << 20, cacheSizeBytes: 32 << 20 };
const directory = await LevelStoreDirectory.open(path, options);
let table = await Table.open({ directory, name: 't', create: true, initialIndex: 0, ...options });
const value = Buffer.alloc(256, 'v');
const kv = (at) => ({ key: keyAt(at), value, createRevision: 0n, modRevision: 0n, version: 0n });
for (let at = 0, index = 1; at < KEY_COUNT; at += 500, index++) {
  const batch = Array.from({ length: 500 }, (_, offset) => kv(at + offset));
  const none = { kv: undefined, prevKvs: false, sequence: [], count: false };
  const type = mvcc.Command_CommandType.PUT_BATCH;
  const payload = Buffer.from(
    mvcc.Command.encode({ table: Buffer.from('bench'), type, batch, ...none }).finish(),
  );
  await table.apply([
    { index, term: 1, timeMs: 0, kind: CommandKind.Command, payload, cursor: undefined, wantsResult: false },
  ]);
}
await table.checkpoint();

const start = (at) => (at * 7919) % (KEY_COUNT - LIMIT);

async function measure(name, inFlight, range) {
  let next = 0;
  const cpu = process.cpuUsage();
  const began = performance.now();
  await Promise.all(
    Array.from({ length: inFlight }, async () => {
      while (next < RANGES) await range(start(next++));
    }),
  );
  const elapsedMs = performance.now() - began;
  const { user, system } = process.cpuUsage(cpu);
  return {
    reader: name,
    inFlight,
    'ranges/s': Math.round((RANGES / elapsedMs) * 1000),
    'CPU us/range': Math.round((user + system) / RANGES),
  };
}

const end = Buffer.from([0]);
const filters = { minModRevision: 0, maxModRevision: 0, minCreateRevision: 0, maxCreateRevision: 0 };
const query = (at) => ({
  key: keyAt(at),
  rangeEnd: end,
  limit: LIMIT,
  keysOnly: false,
  countOnly: false,
  maxBytes: 4 << 20,
  ...filters,
});
function measurePoints(name, get) {
  const count = 200_000;
  const cpu = process.cpuUsage();
  const began = performance.now();
  for (let at = 0; at < count; at++) get(start(at));
  const elapsedMs = performance.now() - began;
  const { user, system } = process.cpuUsage(cpu);
  return {
    reader: name,
    'reads/s': Math.round((count / elapsedMs) * 1000),
    'CPU us/read': Number(((user + system) / count).toFixed(2)),
  };
}

const rows = [];
for (const inFlight of [1, 16]) {
  rows.push(await measure('table.range', inFlight, (at) => table.range(query(at))));
}
await table.close();

const bare = new ClassicLevel(join(path, 't'), {
  keyEncoding: 'buffer',
  valueEncoding: 'buffer',
  cacheSize: options.cacheSizeBytes,
});
await bare.open();
const prefix = Buffer.from('L');
for (const inFlight of [1, 16]) {
  rows.push(
    await measure('bare iterator', inFlight, async (at) => {
      const gte = Buffer.concat([prefix, keyAt(at)]);
      const iterator = bare.iterator({ gte, limit: LIMIT, highWaterMarkBytes: 1 << 20 });
      await iterator.nextv(LIMIT);
      await iterator.close();
    }),
  );
}
const points = [measurePoints('bare getSync', (at) => bare.getSync(Buffer.concat([prefix, keyAt(at)])))];
await bare.close();
table = await Table.open({ directory, name: 't', create: false, initialIndex: 0, ...options });
points.push(measurePoints('table.get', (at) => table.get(keyAt(at))));
await table.close();
console.table(rows);
console.table(points);
rmSync(path, { recursive: true, force: true });
