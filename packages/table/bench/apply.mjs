// How many puts a second one table applies, and what a put costs in CPU, on a real LevelDB:
//   npx tsc -b packages/table && node packages/table/bench/apply.mjs [--seconds 2]
// 256 B values; `depth` is how many apply() calls are under way at a time, as the host's turns overlap.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { mvcc } from '@coxswain/protocol';
import { CommandKind, LevelStoreDirectory, Table } from '../dist/src/index.js';

const seconds = Number(process.argv[process.argv.indexOf('--seconds') + 1]) || 2;
const WRITE_BUFFER_SIZE_BYTES = 32 << 20;
const value = Buffer.alloc(256);
for (let at = 0; at < value.length; at++) value[at] = Math.imul(at + 1, 2654435761) >>> 13;

function payload(key) {
  const kv = { key: Buffer.from(key), value, createRevision: 0n, modRevision: 0n, version: 0n };
  const none = { batch: [], prevKvs: false, sequence: [], count: false };
  return Buffer.from(mvcc.Command.encode({ table: Buffer.from('bench'), type: 0, kv, ...none }).finish());
}

async function measure({ batch, depth, keyCount, name }) {
  const path = mkdtempSync(join(tmpdir(), 'coxswain-bench-'));
  const directory = await LevelStoreDirectory.open(path, {
    writeBufferSizeBytes: WRITE_BUFFER_SIZE_BYTES,
    cacheSizeBytes: 32 << 20,
  });
  const table = await Table.open({
    directory,
    name: 't',
    create: true,
    initialIndex: 0,
    writeBufferSizeBytes: WRITE_BUFFER_SIZE_BYTES,
  });
  // Scattered over the key space, as clients' keys are.
  const payloads = Array.from({ length: keyCount }, (_, at) =>
    payload(`user/${String((at * 7919) % keyCount).padStart(12, '0')}`),
  );
  let index = 0;
  const next = (count) =>
    table.apply(
      Array.from({ length: count }, () => {
        index += 1;
        return {
          index,
          term: 1,
          timeMs: index,
          kind: CommandKind.Command,
          payload: payloads[index % keyCount],
          cursor: undefined,
          wantsResult: index % 3 === 0,
        };
      }),
    );
  if (name === 'overwrite') while (index < keyCount) await next(256);
  const first = index;
  const cpu = process.cpuUsage();
  const start = performance.now();
  const isDone = () =>
    performance.now() > start + seconds * 1000 ||
    (name === 'fresh' && index - first > keyCount - batch * depth);
  await Promise.all(
    Array.from({ length: depth }, async () => {
      while (!isDone()) await next(batch);
    }),
  );
  const elapsedMs = performance.now() - start;
  const { user, system } = process.cpuUsage(cpu);
  await table.close();
  rmSync(path, { recursive: true, force: true });
  const count = index - first;
  return {
    keys: name,
    batch,
    depth,
    'puts/s': Math.round((count / elapsedMs) * 1000),
    'CPU us/put': Number(((user + system) / count).toFixed(2)),
  };
}

const rows = [];
for (const name of ['fresh', 'overwrite']) {
  for (const [batch, depth] of [
    [1, 1],
    [16, 1],
    [256, 1],
    [256, 2],
  ]) {
    rows.push(await measure({ batch, depth, name, keyCount: name === 'fresh' ? 500_000 : 50_000 }));
  }
}
console.table(rows);
