// How long a range deletion of many keys takes, on a real LevelDB, the longest that it held up the event loop, and how
// long ranges of 100 keys over what it deleted take meanwhile and after it. With --whole 0 its bounds are not the
// table's, so that the keys must be counted; --outside 1000001 makes as many that it leaves alone:
//   npx tsc -b packages/table && node packages/table/bench/delete.mjs [--keys 1000001] [--value 256] [--whole 0] [--outside 0]
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
const WRITE_BUFFER_SIZE_BYTES = 32 << 20;
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
const fill = async (prefix, count) => {
  for (let at = 0; at < count; ) {
    const entries = [];
    for (; entries.length < 256 && at < count; at++)
      entries.push(
        entry({ type: 0, kv: pair(`${prefix}/${String((at * 7919) % count).padStart(12, '0')}`, value) }),
      );
    await table.apply(entries);
  }
};
await fill('user', keyCount);
await fill('zone', option('--outside', 0));
await table.checkpoint();
let longestMs = 0;
let lastMs = performance.now();
const watch = setInterval(() => {
  longestMs = Math.max(longestMs, performance.now() - lastMs);
  lastMs = performance.now();
}, 1);
const filters = { minModRevision: 0, maxModRevision: 0, minCreateRevision: 0, maxCreateRevision: 0 };
const range = async () => {
  const startMs = performance.now();
  await table.range({
    ...filters,
    key: Buffer.from('user/'),
    rangeEnd: Buffer.from('user0'),
    limit: 100,
    keysOnly: false,
    countOnly: false,
    maxBytes: 4 << 20,
  });
  return performance.now() - startMs;
};
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
let longestRangeMs = 0;
const ranges = (async () => {
  do {
    longestRangeMs = Math.max(longestRangeMs, await range());
    await sleep(100);
  } while (table.isSweeping);
})();
await reading;
const answeredMs = performance.now();
while (table.isSweeping) await sleep(5);
const removedMs = performance.now();
const { user, system } = process.cpuUsage(startUsage);
await ranges;
clearInterval(watch);
const rangeAfterMs = await range();
const seconds = (ms) => ((ms - startMs) / 1000).toFixed(1);
console.log(
  `${responses[0].response.value.deleted} keys deleted: applied after ${seconds(appliedMs)} s, answered after`,
  `${seconds(answeredMs)} s, removed after ${seconds(removedMs)} s,`,
  `CPU ${((user + system) / 1e6).toFixed(1)} s, the event loop held up for ${longestMs.toFixed(0)} ms at most;`,
  `a range took ${longestRangeMs.toFixed(0)} ms at most meanwhile, ${rangeAfterMs.toFixed(0)} ms after it`,
);
await table.close();
rmSync(path, { recursive: true });
