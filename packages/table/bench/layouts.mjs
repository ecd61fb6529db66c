// What it would cost to keep several neighbouring pairs in one LevelDB value, beside one record a pair as the table
// does: CPU of the whole process (LevelDB's threads and garbage collection included) for a load in key order, ranges
// of 100 pairs, a scan of everything, and overwrites of keys all over the table, 10,000 in one sorted batch as a
// flush writes them, with the compactions that they cause.
//   node packages/table/bench/layouts.mjs [keys]
import { randomFillSync } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ClassicLevel } from 'classic-level';

const KEYS = Number(process.argv[2] ?? 300_000);
const VALUE_BYTES = 256;
const RECORD_HEADER_BYTES = 24;
const LIMIT = 100;
const RANGES = 2000;
const IN_FLIGHT = 16;
const OVERWRITES = 60_000;
const FLUSH_KEYS = 10_000;
// A multiple of the pairs of every layout.
const LOAD_BATCH_KEYS = 1920;
const options = {
  keyEncoding: 'buffer',
  valueEncoding: 'buffer',
  writeBufferSize: 16 << 20,
  cacheSize: 32 << 20,
};
const scanOptions = { highWaterMarkBytes: 1 << 20 };

const random = randomFillSync(Buffer.alloc(1 << 20));
const header = Buffer.alloc(RECORD_HEADER_BYTES);
const keyAt = (at) => Buffer.from(`user/${String(at).padStart(12, '0')}`);
// A prime stride, so that neighbours in time are not neighbours in the table.
const somewhere = (turn, count) => (turn * 104_729) % count;
const valueAt = (at, version) => {
  const start = (at * 977 + version) % (random.length - VALUE_BYTES);
  return random.subarray(start, start + VALUE_BYTES);
};

const recordOfEach = {
  name: 'a record a pair',
  perRecord: 1,
  record: (at, version) => Buffer.concat([header, valueAt(at, version)]),
  iterator: (db, bounds) => db.iterator({ ...bounds, ...scanOptions }),
};
const blocksOf = (perRecord) => ({
  name: `${perRecord} pairs a record`,
  perRecord,
  record: (at, version) =>
    Buffer.concat(
      Array.from({ length: perRecord }, (_, place) => [
        header,
        keyAt(at + place),
        valueAt(at + place, version),
      ]).flat(),
    ),
  iterator: (db, bounds) => db.values({ ...bounds, ...scanOptions }),
});

async function countRecords(iterator, size) {
  let count = 0;
  for (;;) {
    const entries = await iterator.nextv(size);
    if (entries.length === 0) break;
    count += entries.length;
  }
  await iterator.close();
  return count;
}

async function cpuMicrosPer(count, run) {
  const before = process.cpuUsage();
  await run();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / count;
}

const settle = (db) => db.compactRange(Buffer.from([0]), Buffer.from([255]));

async function measure({ name, perRecord, record, iterator }) {
  const path = mkdtempSync(join(tmpdir(), 'coxswain-bench-'));
  const db = new ClassicLevel(path, options);
  await db.open();
  const firstOfRecord = (at) => at - (at % perRecord);

  const load = await cpuMicrosPer(KEYS, async () => {
    for (let at = 0; at < KEYS; at += LOAD_BATCH_KEYS) {
      const batch = db.batch();
      for (let key = at; key < Math.min(at + LOAD_BATCH_KEYS, KEYS); key += perRecord)
        batch.put(keyAt(key), record(key, 0));
      await batch.write();
    }
  });
  await settle(db);

  const range = async (at) => {
    const bounds = { gte: keyAt(firstOfRecord(at)), lt: keyAt(at + LIMIT) };
    await countRecords(iterator(db, bounds), LIMIT + 1);
  };
  const ranges = () => {
    let turn = 0;
    const reader = async () => {
      while (turn < RANGES) await range(somewhere(turn++, KEYS - LIMIT));
    };
    return Promise.all(Array.from({ length: IN_FLIGHT }, reader));
  };
  await ranges();
  const perRange = await cpuMicrosPer(RANGES, ranges);

  const scan = await cpuMicrosPer(KEYS, async () => {
    const count = await countRecords(iterator(db, {}), Math.ceil(1000 / perRecord));
    if (count !== Math.ceil(KEYS / perRecord)) throw new Error(`${count} records found`);
  });

  const overwrite = await cpuMicrosPer(OVERWRITES, async () => {
    for (let turn = 0; turn < OVERWRITES; turn += FLUSH_KEYS) {
      const keys = Array.from({ length: FLUSH_KEYS }, (_, place) => somewhere(turn + place, KEYS));
      const records = [...new Set(keys.map(firstOfRecord))].sort((a, b) => a - b);
      // A record of several pairs is read before it is written with one of them changed.
      if (perRecord > 1) await db.getMany(records.map(keyAt));
      const batch = db.batch();
      for (const key of records) batch.put(keyAt(key), record(key, 1));
      await batch.write();
    }
    await settle(db);
  });

  await db.close();
  rmSync(path, { recursive: true });
  const rounded = (micros) => Number(micros.toPrecision(3));
  return {
    layout: name,
    'load us/key': rounded(load),
    'range of 100 us': rounded(perRange),
    'scan us/key': rounded(scan),
    'overwrite us/key': rounded(overwrite),
  };
}

const rows = [];
for (const layout of [recordOfEach, ...[8, 16, 32].map(blocksOf)]) rows.push(await measure(layout));
console.table(rows);
