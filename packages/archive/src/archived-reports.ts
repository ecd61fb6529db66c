import { ApiError, type NodeParts } from '@coxswain/node';
import { Backoff, type Clock, pause, type Random } from '@coxswain/runtime';

/** Milliseconds for which reports are gathered: the cluster writes one entry for all of them. */
const GATHER_MS = 1_000;
const REPORT_MS = 5_000;
const RETRY_LEAST_MS = 500;
const RETRY_GREATEST_MS = 30_000;

/**
 * Reports to the cluster up to which index shards are archived, many shards at once. No replica compacts its log beyond
 * the reported index.
 */
export class ArchivedReports {
  readonly #node: Pick<NodeParts, 'maintenance'>;
  readonly #clock: Clock;
  readonly #backoff: Backoff;
  readonly #aborter = new AbortController();
  #indices = new Map<number, number>();
  #running: Promise<void> | undefined;

  constructor(
    node: Pick<NodeParts, 'maintenance'>,
    { clock, random }: { readonly clock: Clock; readonly random: Random },
  ) {
    this.#node = node;
    this.#clock = clock;
    this.#backoff = new Backoff(random, { leastMs: RETRY_LEAST_MS, greatestMs: RETRY_GREATEST_MS });
  }

  /** Reports, in the background, that the archive has a shard's log up to `index`. An index of 0 is not reported. */
  add(shardId: number, index: number): void {
    if (index === 0 || this.#aborter.signal.aborted) return;
    this.#indices.set(shardId, index);
    this.#running ??= this.#run().finally(() => {
      this.#running = undefined;
    });
  }

  /**
   * Stops reporting. The node that archives a shard next finds out by itself how far the archive is, when that was not
   * reported by then.
   */
  async stop(): Promise<void> {
    this.#aborter.abort();
    await this.#running;
  }

  async #run(): Promise<void> {
    const { signal } = this.#aborter;
    while (this.#indices.size > 0 && !signal.aborted) {
      await pause(this.#clock, GATHER_MS, signal);
      const indices = this.#indices;
      this.#indices = new Map();
      try {
        await this.#node.maintenance.reportArchived(indices, {
          deadlineMs: this.#clock.monotonicMs() + REPORT_MS,
        });
        this.#backoff.reset();
      } catch (error) {
        if (!(error instanceof ApiError)) throw error;
        this.#indices = new Map([...indices, ...this.#indices]);
        await pause(this.#clock, this.#backoff.next(), signal);
      }
    }
  }
}
