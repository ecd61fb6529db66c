// What the log costs on a real disk; DESIGN.md has what came out:
//   npx tsc -b packages/wal && node packages/wal/bench/log.mjs [directory]
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { NodeWalDisk, Wal } from '../dist/src/index.js';
import { entry, hardState, newGroup, point } from '../dist/test/support.js';

const ENTRIES = 1_000_000;
const DATA = 'x'.repeat(300);

const parent = process.argv[2] ?? tmpdir();
const directory = await mkdtemp(join(parent, 'coxswain-wal-'));

async function open() {
  return Wal.open({
    disk: await NodeWalDisk.open(directory),
    segmentSizeBytes: 64 * 1024 * 1024,
    entryCacheBytesMax: 32 * 1024 * 1024,
    now: () => performance.now(),
    onSync: () => undefined,
    onFatal: (error) => {
      throw error;
    },
  });
}

function print(what, value) {
  process.stdout.write(`${what.padEnd(44)}${value}\n`);
}

async function timed(what, work) {
  const started = performance.now();
  const result = await work();
  print(what, `${(performance.now() - started).toFixed(1)} ms`);
  return result;
}

function percentiles(timesMs) {
  timesMs.sort((a, b) => a - b);
  const at = (part) => (1000 * timesMs[Math.floor(part * (timesMs.length - 1))]).toFixed(0);
  return `p50 ${at(0.5)} µs, p99 ${at(0.99)} µs, longest ${at(1)} µs`;
}

/** Appends `count` entries, `batch` at a time, each append waiting for the one before. */
async function append(wal, count, batch) {
  let next = wal.group(1).lastIndex() + 1;
  const timesMs = [];
  const cpu = process.cpuUsage();
  const started = performance.now();
  for (let appended = 0; appended < count; appended += batch) {
    const entries = Array.from({ length: batch }, () => entry(next++, 1, DATA));
    const before = performance.now();
    await wal.append([{ group: 1, hardState: hardState(1, 1, next - 1), entries }]);
    timesMs.push(performance.now() - before);
  }
  const seconds = (performance.now() - started) / 1000;
  const { user, system } = process.cpuUsage(cpu);
  const rate = `${Math.round(count / seconds / 1000)} k entries/s, ${((user + system) / count).toFixed(2)} µs of CPU each`;
  print(`appends of ${batch}`, `${percentiles(timesMs)}; ${rate}`);
}

let wal = await timed('open an empty directory', open);
await wal.append([newGroup(1)]);
await append(wal, 5000, 1);
await append(wal, 100_000, 16);
await append(wal, 400_000, 256);
await append(wal, ENTRIES - wal.group(1).lastIndex(), 1000);
const held = process.memoryUsage();
print(
  'memory with a million entries',
  `${held.rss >> 20} MB resident, ${held.arrayBuffers >> 20} MB in buffers`,
);
await timed('read 100000 entries from segments', () => {
  const log = wal.group(1);
  for (let from = 1; from <= 100_000; ) from += log.entries(from, from + 1000, 64 * 1024).length;
});
await wal.close();
wal = await timed('open with a million entries', open);
await timed('compact all but 100 of them', () =>
  wal.append([{ group: 1, compact: point(ENTRIES - 100, 1) }]),
);
await wal.close();
await rm(directory, { recursive: true });
