import { type NodeParts, type ShardLoad, Status } from '@coxswain/node';
import { replication } from '@coxswain/protocol';
import { RateLimit } from '@coxswain/runtime';
import { SnapshotDamagedError } from '@coxswain/stream';
import { replicationEvents } from './events.js';
import type { FollowerEnvironment } from './follower-environment.js';
import type { FollowerOptions } from './follower-options.js';
import { LinkError } from './leader-link.js';
import { patiently } from './patience.js';
import { ShardFiller } from './shard-filler.js';

/** Milliseconds within which each step around the stream must be done. */
const STEP_MS = 60_000;
/**
 * Milliseconds without a byte after which a snapshot is asked for again: Armada's leader sometimes never answers. The
 * time doubles with each attempt, since stock leaders make the whole snapshot before they send its first byte.
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
 * Takes tables from the leader cluster again: loads a snapshot into a new shard, which takes over the table's name when
 * it is complete (T2). Until then the old shard serves. The number of snapshots at the same time, and their bytes per
 * second, are limited.
 */
export class Recovery {
  readonly #context: RecoveryContext;
  #running = 0;
  readonly #waiting: (() => void)[] = [];
  /** The limit of bytes per second; a sender that is faster has to wait. */
  readonly #rate: RateLimit;
  /** By table, the milliseconds for which the next attempt waits for a message; PATIENCE_MS when missing. */
  readonly #patienceMs = new Map<string, number>();

  constructor(context: RecoveryContext) {
    this.#context = context;
    const { environment, options } = context;
    this.#rate = new RateLimit(environment.clock, options.snapshotBytesPerSecondMax);
  }

  /**
   * Loads a snapshot of a table. Resolves when the new shard has the table's name, or when aborted. When it rejects,
   * nothing of the attempt is left. Calls `heard` whenever something of the table has come.
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
    environment.log(replicationEvents.followedTableTaken, { table: name });
  }

  async #abandon(shard: ShardLoad): Promise<void> {
    const { environment } = this.#context;
    try {
      await shard.abandon({ deadlineMs: environment.clock.monotonicMs() + STEP_MS });
    } catch (error) {
      // The next load of this table replaces the shard, which is then dropped.
      environment.log(replicationEvents.followedShardKept, { reason: String(error) });
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
