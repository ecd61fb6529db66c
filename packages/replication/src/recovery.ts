import { type NodeParts, type ShardLoad, Status } from '@coxswain/node';
import { replication } from '@coxswain/protocol';
import { RateLimit } from '@coxswain/runtime';
import { SnapshotDamagedError } from '@coxswain/stream';
import type { FollowerEnvironment } from './follower-environment.js';
import type { FollowerOptions } from './follower-options.js';
import { LinkError } from './leader-link.js';
import { patiently } from './patience.js';
import { ShardFiller } from './shard-filler.js';

/** How long the steps around the stream may take. */
const STEP_MS = 60_000;
/**
 * A leader cluster that sends nothing of a snapshot for so long is asked again: Armada's sometimes never answers. Twice as
 * long each further time, since stock ones make all of a snapshot before they send its first byte.
 */
const PATIENCE_MS = 60_000;

export interface RecoveryContext {
  readonly node: Pick<NodeParts, 'cluster' | 'follower'>;
  readonly environment: FollowerEnvironment;
  readonly options: FollowerOptions;
  readonly contact: (isThere: boolean) => void;
  readonly counters: { bytesReceived: number; snapshotsTaken: number };
}

/**
 * Takes tables anew from the leader cluster: a snapshot goes into a shard of its own, which takes over the table's name
 * when the snapshot is complete (T2). Until then the old shard serves. The number at a time and the rate are limited.
 */
export class Recovery {
  readonly #context: RecoveryContext;
  #running = 0;
  readonly #waiting: (() => void)[] = [];
  /** The rate limit: bytes that are not taken hold the sender up. */
  readonly #rate: RateLimit;
  /** How long the next attempt for a table waits for a message; missing: PATIENCE_MS. */
  readonly #patienceMs = new Map<string, number>();

  constructor(context: RecoveryContext) {
    this.#context = context;
    const { environment, options } = context;
    this.#rate = new RateLimit(environment.clock, options.snapshotBytesPerSecondMax);
  }

  /**
   * Takes one table. Resolves when the new shard has the name, or when aborted. Rejects with the error that broke it
   * off; nothing is left then. `heard` is called whenever something of the table came.
   */
  async run(name: string, signal: AbortSignal, heard: () => void): Promise<void> {
    await this.#enter(signal);
    try {
      if (!signal.aborted) await this.#recover(name, signal, heard);
    } finally {
      this.#running--;
      this.#waiting.shift()?.();
    }
  }

  async #enter(signal: AbortSignal): Promise<void> {
    while (this.#running >= this.#context.options.recoveriesMax && !signal.aborted) {
      await new Promise<void>((resolve) => {
        const enter = (): void => {
          signal.removeEventListener('abort', enter);
          const place = this.#waiting.indexOf(enter);
          if (place >= 0) this.#waiting.splice(place, 1);
          resolve();
        };
        this.#waiting.push(enter);
        signal.addEventListener('abort', enter);
      });
    }
    this.#running++;
  }

  async #recover(name: string, signal: AbortSignal, heard: () => void): Promise<void> {
    const { node, environment, counters } = this.#context;
    const call = () => ({ deadlineMs: environment.clock.monotonicMs() + STEP_MS });
    const shard = await node.follower.beginLoad(name, call());
    try {
      const filler = new ShardFiller(shard, environment.clock);
      const { leaderIndex, ...filled } = await filler.fill(this.#stream(name, signal, heard));
      if (leaderIndex === undefined || leaderIndex === 0) {
        throw new SnapshotDamagedError('it ends without a leader_index: the stream broke off');
      }
      if (signal.aborted) throw new SnapshotDamagedError('it was broken off here');
      await shard.finish({ ...filled, leaderIndex }, call());
      if (!(await shard.switch({}, call()))) throw new SnapshotDamagedError('another load took its place');
    } catch (error) {
      await this.#abandon(shard);
      throw error;
    }
    counters.snapshotsTaken++;
    this.#patienceMs.delete(name);
    environment.log('info', 'a table was taken anew from the leader cluster', { table: name });
  }

  async #abandon(shard: ShardLoad): Promise<void> {
    const { environment } = this.#context;
    try {
      await shard.abandon({ deadlineMs: environment.clock.monotonicMs() + STEP_MS });
    } catch (error) {
      // The next load takes its place, and it is dropped then.
      environment.log('warn', 'a shard that was not filled could not be given up', { reason: String(error) });
    }
  }

  async *#stream(name: string, signal: AbortSignal, heard: () => void): AsyncGenerator<Buffer> {
    const { node, environment, options, contact, counters } = this.#context;
    const { clock, link } = environment;
    const request = replication.SnapshotRequest.fromPartial({
      table: Buffer.from(name),
      clusterId: node.cluster.leaderClusterId ?? '',
    });
    const deadlineMs = clock.monotonicMs() + options.snapshotRpcTimeoutMs;
    const patienceMs = this.#patienceMs.get(name) ?? PATIENCE_MS;
    const begin = (given: AbortSignal) => link.snapshot(request, { deadlineMs, signal: given });
    try {
      for await (const { data } of patiently(clock, patienceMs, signal, begin)) {
        contact(true);
        heard();
        counters.bytesReceived += data.length;
        await this.#rate.pay(data.length, signal);
        yield data;
      }
    } catch (error) {
      if (error instanceof LinkError && error.status === Status.DeadlineExceeded)
        this.#patienceMs.set(name, Math.min(2 * patienceMs, options.snapshotRpcTimeoutMs));
      throw error;
    }
  }
}
