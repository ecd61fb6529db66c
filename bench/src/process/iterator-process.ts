import { randomBytes } from 'node:crypto';
import { ClassicLevel } from 'classic-level';
import type { LoadDuration, LoadResult } from '../load/closed-loop.js';
import { encodeKey } from '../load/key-space.js';
import { LatencyHistogram } from '../load/latency-histogram.js';
import { RANGE_KEY_COUNT } from '../load/workload.js';
import { serveRequests } from './worker-process.js';

/** One run of a loop that only reads ranges of a LevelDB. */
export interface IteratorRequest {
  /** The directory of the database, which the first request creates. */
  readonly directory: string;
  readonly keyCount: number;
  readonly valueSizeBytes: number;
  readonly inFlight: number;
  readonly extent: LoadDuration;
}

/** Lets a range come in one trip to LevelDB's thread, whatever the size of its values. */
const RANGE_SIZE_BYTES_MAX = 4 * 1024 * 1024;

type Database = ClassicLevel<Buffer, Buffer>;

let opened: Promise<Database> | undefined;

async function openFilled({ directory, keyCount, valueSizeBytes }: IteratorRequest): Promise<Database> {
  const database: Database = new ClassicLevel(directory, { keyEncoding: 'buffer', valueEncoding: 'buffer' });
  await database.open();
  const keysPerBatch = 1000;
  for (let first = 0; first < keyCount; first += keysPerBatch) {
    const batch = database.batch();
    for (let index = first; index < Math.min(first + keysPerBatch, keyCount); index++) {
      batch.put(encodeKey(index), randomBytes(valueSizeBytes));
    }
    await batch.write();
  }
  await database.compactRange(encodeKey(0), encodeKey(keyCount));
  return database;
}

async function readRange(database: Database, keyCount: number): Promise<void> {
  const first = Math.floor(Math.random() * (keyCount - RANGE_KEY_COUNT + 1));
  const iterator = database.iterator({
    gte: encodeKey(first),
    lt: encodeKey(first + RANGE_KEY_COUNT),
    highWaterMarkBytes: RANGE_SIZE_BYTES_MAX,
  });
  const entries = await iterator.nextv(RANGE_KEY_COUNT);
  await iterator.close();
  if (entries.length !== RANGE_KEY_COUNT) throw new Error(`a range of ${entries.length} keys`);
}

async function run(request: IteratorRequest): Promise<LoadResult> {
  opened ??= openFilled(request);
  const database = await opened;
  const histogram = new LatencyHistogram();
  const recordFromMs = performance.now() + request.extent.warmUpMs;
  const recordUntilMs = recordFromMs + request.extent.durationMs;

  async function loop(): Promise<void> {
    let startedMs = performance.now();
    while (startedMs < recordUntilMs) {
      await readRange(database, request.keyCount);
      const endedMs = performance.now();
      if (endedMs >= recordFromMs && endedMs < recordUntilMs) histogram.record(endedMs - startedMs);
      startedMs = endedMs;
    }
  }

  const startedCpu = process.cpuUsage();
  await Promise.all(Array.from({ length: request.inFlight }, loop));
  const cpu = process.cpuUsage(startedCpu);
  return {
    callCount: histogram.count,
    callsPerSecond: (histogram.count / request.extent.durationMs) * 1000,
    p50Ms: histogram.percentileMs(0.5),
    p90Ms: histogram.percentileMs(0.9),
    p99Ms: histogram.percentileMs(0.99),
    errors: {},
    generatorCpuCores: (cpu.user + cpu.system) / 1000 / (request.extent.warmUpMs + request.extent.durationMs),
  };
}

serveRequests<IteratorRequest, LoadResult>(run);
