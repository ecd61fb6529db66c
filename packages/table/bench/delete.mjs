// How long a range deletion of many keys takes, on a real LevelDB, and the longest that it held up the event loop. With
// --whole 0 its bounds are not the table's, so that the keys must be counted:
//   npx tsc -b packages/table && node packages/table/bench/delete.mjs [--keys 1000001] [--value 256] [--whole 0]
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
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
const whole = option('--whole', 1) === 1;
const [{ responses, reading }] = await table.apply([
  entry({
    type: 1,
    kv: pair(whole ? '\0' : 'user/', Buffer.alloc(0)),
    rangeEnd: Buffer.from(whole ? '\0' : 'user0'),
  }),
]);
const appliedMs = performance.now();
await reading;
const answeredMs = performance.now();
while (table.isSweeping) await sleep(5);
const { user, system } = process.cpuUsage(startUsage);
clearInterval(watch);
const seconds = (ms) => ((ms - startMs) / 1000).toFixed(1);
console.log(
  `${responses[0].response.value.deleted} keys deleted: applied after ${seconds(appliedMs)} s, answered after`,
  `${seconds(answeredMs)} s, removed after ${seconds(performance.now())} s,`,
  `CPU ${((user + system) / 1e6).toFixed(1)} s, the event loop held up for ${longestMs.toFixed(0)} ms at most`,
);
await table.close();
rmSync(path, { recursive: true });
