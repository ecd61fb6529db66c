// How long a range deletion of a whole table takes, on a real LevelDB, and the longest that it held up the event loop:
//   npx tsc -b packages/table && node packages/table/bench/delete.mjs [--keys 1000001] [--value 256]
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { mvcc } from '@coxswain/protocol';
import { CommandKind, LevelStoreDirectory, Table } from '../dist/src/index.js';

const option = (name, otherwise) => {
  const at = process.argv.indexOf(name);
  return at === -1 ? otherwise : Number(process.argv[at + 1]);
};
const keyCount = option('--keys', 1_000_001);
const value = Buffer.alloc(option('--value', 256), 7);
const writeBufferSizeBytes = 32 << 20;
const path = mkdtempSync(join(tmpdir(), 'coxswain-bench-'));
const directory = await LevelStoreDirectory.open(path, { writeBufferSizeBytes, cacheSizeBytes: 32 << 20 });
const table = await Table.open({ directory, name: 't', create: true, initialIndex: 0, writeBufferSizeBytes });
const none = { batch: [], prevKvs: false, sequence: [], count: false };
let index = 0;
const entry = (command) => {
  index += 1;
  const payload = Buffer.from(
    mvcc.Command.encode({ table: Buffer.from('bench'), ...none, ...command }).finish(),
  );
  return {
    index,
    term: 1,
    timeMs: index,
    kind: CommandKind.Command,
    payload,
    cursor: undefined,
    wantsResult: true,
  };
};
const pair = (key, held) => ({
  key: Buffer.from(key),
  value: held,
  createRevision: 0n,
  modRevision: 0n,
  version: 0n,
});
for (let at = 0; at < keyCount; ) {
  const entries = [];
  for (; entries.length < 256 && at < keyCount; at++)
    entries.push(
      entry({ type: 0, kv: pair(`user/${String((at * 7919) % keyCount).padStart(12, '0')}`, value) }),
    );
  await table.apply(entries);
}
await table.checkpoint();
let longestMs = 0;
let lastMs = performance.now();
const watch = setInterval(() => {
  longestMs = Math.max(longestMs, performance.now() - lastMs);
  lastMs = performance.now();
}, 1);
const startMs = performance.now();
const startUsage = process.cpuUsage();
const [{ responses }] = await table.apply([
  entry({ type: 1, kv: pair('\0', Buffer.alloc(0)), rangeEnd: Buffer.from('\0') }),
]);
const { user, system } = process.cpuUsage(startUsage);
clearInterval(watch);
console.log(
  `${responses[0].response.value.deleted} keys deleted in ${((performance.now() - startMs) / 1000).toFixed(1)} s,`,
  `CPU ${((user + system) / 1e6).toFixed(1)} s, the event loop held up for ${longestMs.toFixed(0)} ms at most`,
);
await table.close();
rmSync(path, { recursive: true });
