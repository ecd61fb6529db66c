import { mvcc, type regatta, replication } from '@coxswain/protocol';
import { type LeaderLink, type LinkCall, LinkError } from '@coxswain/replication';
import type { Clock } from '@coxswain/runtime';
import { compressToFrames, STREAM_IDENTIFIER } from '@coxswain/stream';
import { type StockAge, StockLog } from '@coxswain/testing';
import { EventKind, type EventLoop } from './event-loop.js';
import type { SimulatedProcess } from './process.js';
import type { SeededRandom } from './random.js';

const { DUMMY, GC } = mvcc.Command_CommandType;
const UNAVAILABLE = 14;
const CHUNK_BYTES = 50;

/** The release of Regatta that a stock leader simulates. */
export interface StockRelease extends StockAge {
  /** True for a leader that proposes a GC after each compaction, as Armada has done since 2026. */
  readonly collectsGarbage: boolean;
}

/** A leader cluster of stock Regatta with one table. */
export class StockLeader {
  /** The revision of each key's last write. */
  readonly revisions = new Map<string, number>();
  log: StockLog;

  readonly #release: StockRelease;

  constructor(
    readonly table: string,
    release: StockRelease,
  ) {
    this.#release = release;
    this.log = new StockLog(table, release);
  }

  get appliedIndex(): number {
    return this.log.appliedIndex;
  }

  put(key: string, value: string): void {
    this.revisions.set(key, this.log.put(key, value));
  }

  delete(key: string): void {
    this.log.delete(key);
  }

  /** Appends an internal entry, such as that of a change of leader. */
  internal(): void {
    this.log.append({ type: DUMMY });
  }

  /** Appends a GC, which says up to where tombstones may be removed. */
  collectGarbage(): void {
    this.log.append({ type: GC, leaderIndex: BigInt(this.log.firstIndex) });
  }

  /** Forgets the log so far. */
  compact(): void {
    this.log.compact();
    if (this.#release.collectsGarbage) this.collectGarbage();
  }

  /** Deletes the table and makes it again at once: nothing of it is left, and its log begins at 1. */
  recreate(): void {
    this.revisions.clear();
    this.log = new StockLog(this.table, this.#release);
  }

  *replicate(request: replication.ReplicateRequest): Generator<Buffer> {
    for (const response of this.log.replicate(Number(request.leaderIndex)))
      yield Buffer.from(replication.ReplicateResponse.encode(response).finish());
  }

  *snapshot(): Generator<Buffer> {
    const stream = Buffer.concat([STREAM_IDENTIFIER, compressToFrames(this.log.snapshot())]);
    for (let at = 0; at < stream.length; at += CHUNK_BYTES) yield stream.subarray(at, at + CHUNK_BYTES);
  }
}

/** The link to a stock leader, which loses calls before, during and after they are carried out. */
export class StockLink implements LeaderLink {
  readonly address = 'stock';

  readonly #leader: StockLeader;
  readonly #loop: EventLoop;
  readonly #random: SeededRandom;
  readonly #caller: SimulatedProcess;
  readonly #clock: Clock;
  readonly #breakProbability: () => number;

  constructor(
    leader: StockLeader,
    loop: EventLoop,
    random: SeededRandom,
    caller: SimulatedProcess,
    clock: Clock,
    breakProbability: () => number,
  ) {
    this.#leader = leader;
    this.#loop = loop;
    this.#random = random;
    this.#caller = caller;
    this.#clock = clock;
    this.#breakProbability = breakProbability;
  }

  async metadata(_: replication.MetadataRequest, call: LinkCall): Promise<replication.MetadataResponse> {
    await this.#travel(call);
    return replication.MetadataResponse.fromPartial({ tables: [{ name: this.#leader.table }] });
  }

  async *replicate(request: replication.ReplicateRequest, call: LinkCall): AsyncGenerator<Buffer> {
    await this.#travel(call);
    for (const message of this.#leader.replicate(request)) {
      yield message;
      await this.#travel(call);
    }
  }

  async *snapshot(_: replication.SnapshotRequest, call: LinkCall): AsyncGenerator<replication.SnapshotChunk> {
    await this.#travel(call);
    for (const data of this.#leader.snapshot()) {
      yield replication.SnapshotChunk.fromPartial({ data, len: BigInt(data.length) });
      await this.#travel(call);
    }
  }

  range(): Promise<regatta.RangeResponse> {
    return refuse();
  }

  put(): Promise<regatta.PutResponse> {
    return refuse();
  }

  deleteRange(): Promise<regatta.DeleteRangeResponse> {
    return refuse();
  }

  txn(): Promise<regatta.TxnResponse> {
    return refuse();
  }

  close(): void {
    // Nothing is open.
  }

  #travel(call: LinkCall): Promise<void> {
    return new Promise((resolve, reject) => {
      const delayUs = 200 + this.#random.exponential(2_000);
      const isBroken = this.#random.chance(this.#breakProbability());
      this.#loop.schedule(delayUs, EventKind.Network, this.#caller, () => {
        const isLate = this.#clock.monotonicMs() >= call.deadlineMs;
        if (isBroken || isLate || call.signal?.aborted) {
          reject(new LinkError(UNAVAILABLE, 'connection dropped', false, true));
        } else resolve();
      });
    });
  }
}

function refuse(): Promise<never> {
  return Promise.reject(new Error('nobody writes through it here'));
}
