import { Coxswain } from '@coxswain/client';
import { type ClusterNode, ProcessCluster } from '../faults/process-cluster.js';
import { median } from '../statistics.js';
import { type AcceptanceCheck, below } from './check.js';

const ROUNDS = 9;
const GAP_MAX_MS = 100;
const WRITES_AROUND = 50;
const CALL_TIMEOUT_MS = 60_000;

/**
 * Writes one key after the other through a client that knows every node, and records the longest time between two
 * acknowledgements. A write with an unknown outcome ends it with an error.
 */
class GapProbe {
  longestGapMs = 0;
  written = 0;
  #lastMs = performance.now();
  #isOver = false;
  readonly #ended: Promise<void>;

  private constructor(
    readonly client: Coxswain,
    readonly name: string,
  ) {
    this.#ended = this.#run();
    // A caller that awaits it gets the error.
    this.#ended.catch(() => undefined);
  }

  /** Starts a probe whose calls go to `first` as long as that node answers. */
  static async start(first: ClusterNode, others: readonly ClusterNode[]): Promise<GapProbe> {
    const endpoints = [first, ...others].map(({ address }) => address);
    const client = await Coxswain.connect({ endpoints, timeoutMs: CALL_TIMEOUT_MS });
    return new GapProbe(client, `probe-${first.process.nodeId}`);
  }

  /** Resolves when `count` more writes were acknowledged. */
  async untilWritten(count: number): Promise<void> {
    const goal = this.written + count;
    const isReached = async () => {
      while (this.written < goal) await new Promise((resolve) => setTimeout(resolve, 1));
    };
    await Promise.race([isReached(), this.#ended]);
  }

  /** Forgets the gaps so far. */
  reset(): void {
    this.longestGapMs = 0;
  }

  async stop(): Promise<void> {
    this.#isOver = true;
    try {
      await this.#ended;
    } finally {
      this.client.close();
    }
  }

  async #run(): Promise<void> {
    while (!this.#isOver) {
      await this.client.put('default', this.name, 'x');
      const nowMs = performance.now();
      this.longestGapMs = Math.max(this.longestGapMs, nowMs - this.#lastMs);
      this.#lastMs = nowMs;
      this.written++;
    }
  }
}

/**
 * Stops the leader with SIGTERM again and again, and measures for how long its clients, and those of the other nodes,
 * could not write.
 */
export const gracefulStops: AcceptanceCheck = {
  name: 'graceful-stops',
  async run({ rounds = ROUNDS }) {
    const cluster = await ProcessCluster.start(3);
    const undisturbedMs: number[] = [];
    const ownClientMs: number[] = [];
    const otherClientMs: number[] = [];
    try {
      for (let round = 0; round < rounds; round++) {
        const leader = await cluster.leader();
        const others = cluster.others(leader);
        const [own, other] = [
          await GapProbe.start(leader, others),
          await GapProbe.start(others[0]!, [others[1]!]),
        ];
        try {
          await Promise.all([own.untilWritten(WRITES_AROUND), other.untilWritten(WRITES_AROUND)]);
          own.reset();
          other.reset();
          await Promise.all([own.untilWritten(WRITES_AROUND), other.untilWritten(WRITES_AROUND)]);
          undisturbedMs.push(other.longestGapMs);
          own.reset();
          other.reset();
          await leader.process.stop();
          await Promise.all([own.untilWritten(WRITES_AROUND), other.untilWritten(WRITES_AROUND)]);
          ownClientMs.push(own.longestGapMs);
          otherClientMs.push(other.longestGapMs);
        } finally {
          await Promise.all([own.stop(), other.stop()]);
        }
        leader.process.start();
        await leader.process.untilReady();
      }
    } finally {
      await cluster.dispose();
    }
    const undisturbed = `median ${median(undisturbedMs).toFixed(0)} ms without a stop`;
    const row = (who: string, gapsMs: number[]) => {
      const slowest = Math.max(...gapsMs).toFixed(0);
      const what = `the longest time without a write at SIGTERM of the leader, ${who}, median of ${rounds} (slowest ${slowest} ms, ${undisturbed})`;
      return below(what, GAP_MAX_MS, median(gapsMs), 'ms');
    };
    return [row('client of another node', otherClientMs), row('client of the leader', ownClientMs)];
  },
};
