import { setTimeout as sleep } from 'node:timers/promises';
import { regatta, replication } from '@coxswain/protocol';
import { runLoad } from '../clusters/put-load.js';
import { type ClusterNode, ProcessCluster } from '../faults/process-cluster.js';
import { LatencyHistogram } from '../load/latency-histogram.js';
import type { UnreadRequest } from '../process/unread-process.js';
import { WorkerProcess } from '../process/worker-process.js';
import { type AcceptanceCheck, below, type Measurement } from './check.js';

const KEY_COUNT = 300_000;
const OBSERVE_MS = 10_000;
const AFTERWARDS_MS = 5_000;
const RECOVERED_WITHIN_MS = 2_000;
const RESIDENT_MAX_MB = 400;
const SLOWDOWN_MAX = 2;
const STOP_MAX_SECONDS = 2;
const PUT_PAUSE_MS = 2;
const PUT_TIMEOUT_MS = 20_000;
const CREATE_TIMEOUT_MS = 30_000;
const OTHER_TABLE = 'other';
const LARGEST_WINDOW_BYTES = 2 ** 31 - 1;
const DEFAULT_WINDOW_BYTES = 65_535;

const everything = Buffer.from([0]);
const table = Buffer.from('default');
const wholeTable = { table, key: everything, rangeEnd: everything };
const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64');
const rangeMessage = base64(
  regatta.RangeRequest.encode(regatta.RangeRequest.fromPartial(wholeTable)).finish(),
);
const snapshotMessage = base64(
  replication.SnapshotRequest.encode(replication.SnapshotRequest.fromPartial({ table })).finish(),
);
const logMessage = base64(
  replication.ReplicateRequest.encode(
    replication.ReplicateRequest.fromPartial({ table, leaderIndex: 1n }),
  ).finish(),
);

interface Attack {
  readonly name: string;
  readonly isReplication?: boolean;
  readonly request: Omit<UnreadRequest, 'endpoint'>;
}

const windows = {
  /** Windows so large that only the socket holds the answers back. */
  open: { streamWindowBytes: LARGEST_WINDOW_BYTES, connectionWindowBytes: LARGEST_WINDOW_BYTES },
  default: { streamWindowBytes: DEFAULT_WINDOW_BYTES, connectionWindowBytes: DEFAULT_WINDOW_BYTES },
  tiny: { streamWindowBytes: 1, connectionWindowBytes: LARGEST_WINDOW_BYTES },
} as const;

const attacks: readonly Attack[] = [
  {
    name: '20 connections x 10 IterateRange',
    request: {
      connectionCount: 20,
      callsPerConnection: 10,
      path: '/regatta.v1.KV/IterateRange',
      message: rangeMessage,
      ...windows.open,
    },
  },
  {
    name: '20 connections x 10 IterateRange, default windows',
    request: {
      connectionCount: 20,
      callsPerConnection: 10,
      path: '/regatta.v1.KV/IterateRange',
      message: rangeMessage,
      ...windows.default,
    },
  },
  {
    name: '50 connections x 100 Range, windows of 1 byte',
    request: {
      connectionCount: 50,
      callsPerConnection: 100,
      path: '/regatta.v1.KV/Range',
      message: rangeMessage,
      ...windows.tiny,
    },
  },
  {
    name: '50 connections x 20 Snapshot.Stream',
    isReplication: true,
    request: {
      connectionCount: 50,
      callsPerConnection: 20,
      path: '/replication.v1.Snapshot/Stream',
      message: snapshotMessage,
      ...windows.open,
    },
  },
  {
    name: '50 connections x 20 Log.Replicate',
    isReplication: true,
    request: {
      connectionCount: 50,
      callsPerConnection: 20,
      path: '/replication.v1.Log/Replicate',
      message: logMessage,
      ...windows.open,
    },
  },
];

/** Checks that clients that ask for much and read nothing cost others little, even after they are gone. */
export const unreadAnswers: AcceptanceCheck = {
  name: 'unread-answers',
  async run({ keyCount = KEY_COUNT }) {
    const cluster = await ProcessCluster.start(1);
    const node = cluster.nodes[0]!;
    try {
      await runLoad(cluster, { workload: 'fill', keyCount, extent: { callCount: keyCount } });
      await node.client.createTable(OTHER_TABLE, CREATE_TIMEOUT_MS);
      const measurements: Measurement[] = [];
      for (const attack of attacks) {
        // Each measurement begins with a process that has not grown yet.
        await node.process.stop();
        node.process.start();
        await node.process.untilReady();
        measurements.push(...(await withstand(node, attack)));
      }
      for (const isClientAlive of [true, false]) {
        if (!node.process.isRunning) node.process.start();
        await node.process.untilReady();
        measurements.push(await stopAfter(node, isClientAlive));
      }
      return measurements;
    } finally {
      await cluster.dispose();
    }
  },
};

async function withstand(
  node: ClusterNode,
  { name, isReplication, request }: Attack,
): Promise<Measurement[]> {
  const endpoint = isReplication ? node.replicationAddress : node.address;
  await putsOf(node, AFTERWARDS_MS);
  const before = await putsOf(node, AFTERWARDS_MS);
  const client = new WorkerProcess<UnreadRequest, object>('unread-process');
  let during: Puts;
  try {
    await client.request({ endpoint, ...request });
    during = await putsOf(node, OBSERVE_MS);
  } finally {
    await client.stop();
  }
  await sleep(RECOVERED_WITHIN_MS);
  const after = await putsOf(node, AFTERWARDS_MS);
  const text = (what: string) => `${name}, none read: ${what}`;
  const limitMs = Number((SLOWDOWN_MAX * before.p50Ms).toFixed(2));
  return [
    below(text('memory of the node'), RESIDENT_MAX_MB, Math.max(during.residentMb, after.residentMb), 'MB'),
    below(
      text(`p50 of another table’s puts (worst ${during.maxMs.toFixed(0)} ms)`),
      limitMs,
      during.p50Ms,
      'ms',
    ),
    below(
      text(`p50 of them from 2 s after SIGKILL of the client (worst ${after.maxMs.toFixed(0)} ms)`),
      limitMs,
      after.p50Ms,
      'ms',
    ),
  ];
}

interface Puts {
  readonly p50Ms: number;
  readonly maxMs: number;
  /** The most megabytes that were resident meanwhile. */
  readonly residentMb: number;
}

/** Puts one pair after the other into the other table, for `durationMs` milliseconds. */
async function putsOf(node: ClusterNode, durationMs: number): Promise<Puts> {
  const client = node.client.forTable(OTHER_TABLE);
  const histogram = new LatencyHistogram();
  let residentBytes = 0;
  let maxMs = 0;
  const untilMs = performance.now() + durationMs;
  for (let index = 0; performance.now() < untilMs; index++) {
    const startedMs = performance.now();
    const outcome = await client.put(`key-${index % 100}`, 'value', PUT_TIMEOUT_MS);
    const tookMs = performance.now() - startedMs;
    if (outcome.kind !== 'acknowledged') throw new Error(`a put is ${outcome.kind}: ${outcome.reason}`);
    histogram.record(tookMs);
    maxMs = Math.max(maxMs, tookMs);
    residentBytes = Math.max(residentBytes, node.process.usage().residentBytes);
    await sleep(PUT_PAUSE_MS);
  }
  return { p50Ms: histogram.percentileMs(0.5), maxMs, residentMb: residentBytes / 1e6 };
}

/** Measures how long a node takes to stop after many answers were asked for that nobody reads. */
async function stopAfter(node: ClusterNode, isClientAlive: boolean): Promise<Measurement> {
  const client = new WorkerProcess<UnreadRequest, object>('unread-process');
  try {
    await client.request({ endpoint: node.address, ...attacks[0]!.request });
    await sleep(RECOVERED_WITHIN_MS);
    if (!isClientAlive) await client.stop();
    const startedMs = performance.now();
    await node.process.stop();
    const when = isClientAlive
      ? 'whose answers nobody reads'
      : 'right after SIGKILL of a client that read nothing';
    return below(`SIGTERM of a node ${when}`, STOP_MAX_SECONDS, (performance.now() - startedMs) / 1000, 's');
  } finally {
    await client.stop();
  }
}
