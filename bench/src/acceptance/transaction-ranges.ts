import type { mvcc } from '@coxswain/protocol';
import { runLoad } from '../clusters/put-load.js';
import type { NodeClient } from '../faults/node-client.js';
import { type ClusterNode, ProcessCluster } from '../faults/process-cluster.js';
import { median } from '../statistics.js';
import { type AcceptanceCheck, below } from './check.js';

const KEY_COUNT = 50_000;
const RANGES_PER_TXN = 100;
const ROUNDS = 5;
const TIMEOUT_MS = 300_000;
const ANSWERED_WITHIN_SECONDS = 1;

const everything = Buffer.from([0]);
const countAll: mvcc.RequestOp = {
  request: {
    $case: 'requestRange',
    value: { key: everything, rangeEnd: everything, limit: 0n, keysOnly: false, countOnly: true },
  },
};
const putOne: mvcc.RequestOp = {
  request: {
    $case: 'requestPut',
    value: { key: Buffer.from('txn'), value: Buffer.from('value'), prevKv: false },
  },
};
/** A transaction that counts the whole table again and again, in an entry of the log. */
const counts = {
  compare: [],
  success: [...Array.from({ length: RANGES_PER_TXN }, () => countAll), putOne],
  failure: [],
};

/**
 * Checks that a Txn of many ranges over a large table delays neither the writes after it, nor a start that replays it.
 */
export const transactionRanges: AcceptanceCheck = {
  name: 'transaction-ranges',
  async run() {
    const cluster = await ProcessCluster.start(1);
    const node = cluster.nodes[0]!;
    try {
      await runLoad(cluster, { workload: 'fill', keyCount: KEY_COUNT, extent: { callCount: KEY_COUNT } });
      const putSeconds: number[] = [];
      const startSeconds: number[] = [];
      const replaySeconds: number[] = [];
      for (let round = 0; round < ROUNDS; round++) {
        // A clean stop leaves nothing to replay, so that each round replays only its own Txn.
        await node.process.stop();
        node.process.start();
        await node.process.untilReady();
        await expectWritten(node.client.put('before', 'value', TIMEOUT_MS));
        startSeconds.push(await secondsToRecover(node));
        putSeconds.push(await secondsOfPutAfterTxn(node.client));
        replaySeconds.push(await secondsToRecover(node));
      }
      const txn = `a Txn of ${RANGES_PER_TXN} counts of ${KEY_COUNT} keys and a put`;
      return [
        below(`a Put after ${txn} (median of ${ROUNDS})`, ANSWERED_WITHIN_SECONDS, median(putSeconds), 's'),
        below(
          `a Put from the start on that replays it, above one without it (medians of ${ROUNDS})`,
          ANSWERED_WITHIN_SECONDS,
          Math.max(0, median(replaySeconds) - median(startSeconds)),
          's',
        ),
      ];
    } finally {
      await cluster.dispose();
    }
  },
};

/** Measures a Put that is sent right after the Txn, on the same connection. */
async function secondsOfPutAfterTxn(client: NodeClient): Promise<number> {
  const txn = client.txn(counts, TIMEOUT_MS);
  const startedMs = performance.now();
  await expectWritten(client.put('after', 'value', TIMEOUT_MS));
  const seconds = (performance.now() - startedMs) / 1000;
  await expectWritten(txn);
  return seconds;
}

/** Measures the seconds from the start after SIGKILL until a Put is acknowledged. */
async function secondsToRecover(node: ClusterNode): Promise<number> {
  await node.process.kill();
  const startedMs = performance.now();
  node.process.start();
  await node.process.untilReady();
  await expectWritten(node.client.put('recovered', 'value', TIMEOUT_MS));
  return (performance.now() - startedMs) / 1000;
}

async function expectWritten(
  write: Promise<{ readonly kind: string; readonly reason?: string }>,
): Promise<void> {
  const { kind, reason } = await write;
  if (kind !== 'acknowledged') throw new Error(`a write is ${kind}: ${reason}`);
}
