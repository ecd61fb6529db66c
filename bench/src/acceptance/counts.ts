import { setTimeout as sleep } from 'node:timers/promises';
import { TemporaryDirectory } from '@coxswain/testing';
import { Client, credentials } from '@grpc/grpc-js';
import { ProcessCluster } from '../faults/process-cluster.js';
import { readProcessUsage } from '../faults/process-usage.js';
import type { LoadResult } from '../load/closed-loop.js';
import type { Dialect, RangeQuery } from '../load/dialect.js';
import { etcdDialect } from '../load/etcd-dialect.js';
import { encodeKey } from '../load/key-space.js';
import { regattaDialect } from '../load/regatta-dialect.js';
import { Cleanup } from '../process/cleanup.js';
import type { GeneratorRequest } from '../process/generator-process.js';
import { WorkerProcess } from '../process/worker-process.js';
import { findEtcdVersion, startEtcd } from '../system/etcd.js';
import type { AcceptanceCheck, Measurement } from './check.js';

const KEY_COUNT = 1_000_000;
const VALUE_SIZE_BYTES = 256;
const IN_FLIGHT = 256;
const ROUNDS = 5;
const CALL_TIMEOUT_MS = 120_000;
/** The most milliseconds for which other reads may wait while a node counts. */
const WAIT_MAX_MS = 20;
/** A revision above every other, so that a filter by it matches nothing. */
const LATE_REVISION = 1_000_000_000_000;
const SETTLE_MS = 10_000;

/** A server of one node, and the client that asks it. */
interface Subject {
  readonly name: string;
  readonly dialect: Dialect;
  readonly endpoint: string;
  readonly processId: number;
  readonly client: Client;
}

/** The cost of one call. */
interface Cost {
  readonly wallMs: number;
  readonly cpuMs: number;
  /** The longest milliseconds that a read of one key took meanwhile. */
  readonly waitMs: number;
}

/**
 * Measures counts, and filters that match nothing, over a million keys on one node, and on etcd where it is installed.
 */
export const counts: AcceptanceCheck = {
  name: 'counts',
  async run({ keyCount = KEY_COUNT, rounds = ROUNDS }) {
    const cleanup = new Cleanup();
    try {
      return await measure(await startSubjects(cleanup), keyCount, rounds);
    } finally {
      await cleanup.run();
    }
  },
};

async function startSubjects(cleanup: Cleanup): Promise<Subject[]> {
  const cluster = await ProcessCluster.start(1);
  await cleanup.defer(() => cluster.dispose());
  const { process, address } = cluster.nodes[0]!;
  const subjects = [subject('coxswain', regattaDialect, address, process.processId!)];
  const version = findEtcdVersion();
  if (version !== undefined) {
    const directory = new TemporaryDirectory();
    await cleanup.defer(async () => directory.remove());
    const { endpoints, processIds } = await startEtcd(directory.path, version, cleanup, 1);
    subjects.push(subject(`etcd ${version}`, etcdDialect, endpoints[0]!, processIds[0]!));
  }
  for (const { client } of subjects) await cleanup.defer(async () => client.close());
  return subjects;
}

function subject(name: string, dialect: Dialect, endpoint: string, processId: number): Subject {
  return { name, dialect, endpoint, processId, client: new Client(endpoint, credentials.createInsecure()) };
}

async function measure(
  subjects: readonly Subject[],
  keyCount: number,
  rounds: number,
): Promise<Measurement[]> {
  const measurements: Measurement[] = [];
  for (const one of subjects) {
    const cpuBeforeMs = readProcessUsage(one.processId).cpuMs;
    const load = await fill(one, keyCount);
    const cpuMs = readProcessUsage(one.processId).cpuMs - cpuBeforeMs;
    await sleep(SETTLE_MS);
    const { anonymousBytes, residentBytes } = readProcessUsage(one.processId);
    measurements.push(
      noted(
        `${one.name}: ${keyCount} fresh keys of ${VALUE_SIZE_BYTES} B`,
        `${load.callsPerSecond.toFixed(0)} puts/s, ${((cpuMs * 1000) / keyCount).toFixed(0)} us of CPU a put`,
      ),
      noted(
        `${one.name}: memory afterwards`,
        `${megabytes(anonymousBytes)} MB of its own, ${megabytes(residentBytes)} MB resident`,
      ),
    );
  }
  const revision = await Promise.all(subjects.map(revisionOf));
  await Promise.all(subjects.map((one) => overwriteSome(one)));
  const half = {
    key: encodeKey(Math.floor(keyCount / 4)),
    rangeEnd: encodeKey(Math.floor((3 * keyCount) / 4)),
  };
  const halfCount = Math.floor((3 * keyCount) / 4) - Math.floor(keyCount / 4);
  const all = { key: Buffer.from('\x01'), rangeEnd: Buffer.from('\x7f') };
  const cases: { what: string; query: (at: number) => Omit<RangeQuery, 'isLinearizable'>; count?: number }[] =
    [
      { what: 'a count of a half of them', query: () => ({ ...half, countOnly: true }), count: halfCount },
      {
        what: 'the same as of an earlier revision',
        query: (at) => ({ ...half, countOnly: true, revision: revision[at]! }),
        count: halfCount,
      },
      {
        what: 'a filter that matches none of them',
        query: () => ({ ...all, limit: 10, minModRevision: LATE_REVISION }),
      },
    ];
  for (const { what, query, count } of cases) {
    const first: Cost[] = [];
    for (const [at, one] of subjects.entries()) first.push(await costOf(one, query(at), count));
    const costs: Cost[][] = subjects.map(() => []);
    for (let round = 0; round < rounds; round++) {
      for (const [at, one] of subjects.entries()) costs[at]!.push(await costOf(one, query(at), count));
    }
    const waits: number[] = [];
    for (const [at, one] of subjects.entries())
      waits.push((await costOf(one, query(at), count, true)).waitMs);
    const medians = costs.map((of) => ({
      wallMs: median(of.map(({ wallMs }) => wallMs)),
      cpuMs: median(of.map(({ cpuMs }) => cpuMs)),
    }));
    const [own, etcd] = medians;
    const texts = medians.map(
      ({ wallMs, cpuMs }, at) =>
        `${subjects[at]!.name} ${wallMs.toFixed(1)} ms, ${cpuMs} ms of CPU (the first time ${first[at]!.wallMs.toFixed(0)})`,
    );
    measurements.push({
      what,
      target: etcd === undefined ? 'as fast as etcd' : `<= ${etcd.wallMs.toFixed(1)} ms`,
      measured: texts.join('; '),
      isMet: etcd === undefined || own!.wallMs <= etcd.wallMs,
    });
    measurements.push({
      what: 'the longest read of one key meanwhile',
      target: `< ${WAIT_MAX_MS} ms`,
      measured: waits.map((ms, at) => `${subjects[at]!.name} ${ms.toFixed(1)} ms`).join('; '),
      isMet: waits[0]! < WAIT_MAX_MS,
    });
  }
  return measurements;
}

function noted(what: string, measured: string): Measurement {
  return { what, target: 'none', measured, isMet: true };
}

async function fill(one: Subject, keyCount: number): Promise<LoadResult> {
  const generator = new WorkerProcess<GeneratorRequest, LoadResult>('generator-process');
  try {
    return await generator.request({
      dialect: one.dialect === etcdDialect ? 'etcd' : 'regatta',
      tableCount: 1,
      load: {
        workload: 'fill',
        keyCount,
        valueSizeBytes: VALUE_SIZE_BYTES,
        answersHoldData: true,
        endpoints: [one.endpoint],
        connectionCount: 3,
        inFlight: IN_FLIGHT,
        extent: { callCount: keyCount },
      },
    });
  } finally {
    await generator.stop();
  }
}

/** Overwrites some keys, so that an earlier revision differs from the latest. */
async function overwriteSome(one: Subject): Promise<void> {
  for (let at = 0; at < 100; at++) {
    const message = one.dialect.encodePut(encodeKey(at * 1000), Buffer.from('new'));
    await call(one, one.dialect.putPath, message);
  }
}

async function revisionOf(one: Subject): Promise<number> {
  const message = one.dialect.encodeRange({ key: encodeKey(0), isLinearizable: true });
  return one.dialect.decodeRange(await call(one, one.dialect.rangePath, message)).revision;
}

async function costOf(
  one: Subject,
  query: Omit<RangeQuery, 'isLinearizable'>,
  expectedCount: number | undefined,
  watches = false,
): Promise<Cost> {
  const { dialect, processId } = one;
  const message = dialect.encodeRange({ ...query, isLinearizable: true });
  const cpuBeforeMs = readProcessUsage(processId).cpuMs;
  const startedMs = performance.now();
  let hasEnded = false;
  const answer = call(one, dialect.rangePath, message).finally(() => {
    hasEnded = true;
  });
  let waitMs = 0;
  while (watches && !hasEnded) {
    const askedMs = performance.now();
    await call(one, dialect.rangePath, dialect.encodeRange({ key: encodeKey(1), isLinearizable: false }));
    waitMs = Math.max(waitMs, performance.now() - askedMs);
  }
  const { count, pairCount } = dialect.decodeRange(await answer);
  const wallMs = performance.now() - startedMs;
  if (expectedCount === undefined ? pairCount > 0 : count !== expectedCount)
    throw new Error(`${one.name} says ${count}, with ${pairCount} pairs`);
  return { wallMs, cpuMs: readProcessUsage(processId).cpuMs - cpuBeforeMs, waitMs };
}

function call(one: Subject, path: string, message: Uint8Array): Promise<Buffer> {
  const asItIs = (bytes: Buffer): Buffer => bytes;
  return new Promise((resolve, reject) => {
    const options = { deadline: Date.now() + CALL_TIMEOUT_MS };
    one.client.makeUnaryRequest(path, asItIs, asItIs, Buffer.from(message), options, (error, answer) => {
      if (error) reject(error);
      else resolve(answer!);
    });
  });
}

function median(values: readonly number[]): number {
  return [...values].sort((left, right) => left - right)[Math.floor(values.length / 2)]!;
}

function megabytes(bytes: number): string {
  return (bytes / 1e6).toFixed(0);
}
