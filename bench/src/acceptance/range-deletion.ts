import { eventually } from '@coxswain/testing';
import { runLoad } from '../clusters/put-load.js';
import { ProcessCluster } from '../faults/process-cluster.js';
import { type AcceptanceCheck, below, type Measurement } from './check.js';

const KEY_COUNT = 1_000_001;
const ANSWER_MAX_SECONDS = 10;
const WAIT_MAX_SECONDS = 1;
const RANGE_KEYS = 100;
const TIMEOUT_MS = 600_000;
/** A range around every key, but not written as "all", so that the keys have to be counted. */
const FIRST = '\x01';
const END = '\x7f';

/** Deletes a range of many keys while its table is written and read. */
export const rangeDeletion: AcceptanceCheck = {
  name: 'range-deletion',
  async run({ keyCount = KEY_COUNT }) {
    const cluster = await ProcessCluster.start(3);
    try {
      await runLoad(cluster, { workload: 'fill', keyCount, extent: { callCount: keyCount } });
      const storedCount = await cluster.nodes[0]!.client.count(TIMEOUT_MS);
      return await deleteAll(cluster, storedCount);
    } finally {
      await cluster.dispose();
    }
  },
};

async function deleteAll(cluster: ProcessCluster, storedCount: number): Promise<Measurement[]> {
  const [deleting, writing, reading] = cluster.nodes.map(({ client }) => client);
  let isRemoved = false;
  const whileRemoved = async (
    call: (turn: number) => Promise<void>,
  ): Promise<{ longestSeconds: number; calls: number }> => {
    let longestSeconds = 0;
    let calls = 0;
    for (; !isRemoved; calls++) {
      const startedMs = performance.now();
      await call(calls);
      longestSeconds = Math.max(longestSeconds, (performance.now() - startedMs) / 1000);
    }
    return { longestSeconds, calls };
  };
  const startedMs = performance.now();
  const sinceStart = (): number => (performance.now() - startedMs) / 1000;
  const deleted = deleting!.delete(FIRST, END, TIMEOUT_MS);
  const puts = whileRemoved(async (turn) => {
    const outcome = await writing!.put(`new-${turn % 1000}`, 'value', TIMEOUT_MS);
    if (outcome.kind !== 'acknowledged') throw new Error(`a put is ${outcome.kind}`);
  });
  const points = whileRemoved(async () => {
    await reading!.get('new-0', { linearizable: true, timeoutMs: TIMEOUT_MS });
  });
  const ranges = whileRemoved(async () => {
    await reading!.first(RANGE_KEYS, TIMEOUT_MS);
  });
  const outcome = await deleted;
  const answeredSeconds = sinceStart();
  if (outcome.kind !== 'acknowledged') throw new Error(`the deletion is ${outcome.kind}`);
  await eventually('the keys are removed on every node', async () => {
    const tables = await Promise.all(cluster.nodes.map(({ client }) => client.tables(TIMEOUT_MS)));
    return tables.every((table) => table.get('default')?.contentHash !== '');
  });
  const removedSeconds = sinceStart();
  isRemoved = true;
  const put = await puts;
  const point = await points;
  const range = await ranges;
  const hashes = await eventually('the nodes are at one revision', async () => {
    const tables = await Promise.all(cluster.nodes.map(({ client }) => client.tables(TIMEOUT_MS)));
    const revisions = new Set(tables.map((table) => table.get('default')!.revision));
    return revisions.size === 1 && new Set(tables.map((table) => table.get('default')!.contentHash));
  });
  const left = await reading!.count(TIMEOUT_MS);
  const expected = Math.min(1000, put.calls);
  // Puts that came before the deletion were deleted by it.
  const isRight = outcome.deletedCount - storedCount <= put.calls && left <= expected && hashes.size === 1;
  return [
    below(
      `a DeleteRange of ${outcome.deletedCount} keys is answered`,
      ANSWER_MAX_SECONDS,
      answeredSeconds,
      's',
    ),
    below(`longest of ${put.calls} puts meanwhile`, WAIT_MAX_SECONDS, put.longestSeconds, 's'),
    below(
      `longest of ${point.calls} linearizable gets meanwhile`,
      WAIT_MAX_SECONDS,
      point.longestSeconds,
      's',
    ),
    below(
      `longest of ${range.calls} linearizable ranges of ${RANGE_KEYS} keys meanwhile`,
      ANSWER_MAX_SECONDS,
      range.longestSeconds,
      's',
    ),
    {
      what: 'the nodes hold the same once the keys are removed',
      target: 'one content hash',
      measured: `${hashes.size} after ${removedSeconds.toFixed(1)} s, ${left} keys`,
      isMet: isRight,
    },
  ];
}
