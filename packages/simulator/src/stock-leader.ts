import { mvcc, type regatta, replication } from '@coxswain/protocol';
import { type LeaderLink, type LinkCall, LinkError } from '@coxswain/replication';
import type { Clock } from '@coxswain/runtime';
import { compressToFrames, STREAM_IDENTIFIER } from '@coxswain/stream';
import { EventKind, type EventLoop } from './event-loop.js';
import type { SimulatedProcess } from './process.js';
import type { SeededRandom } from './random.js';

const { PUT, DELETE, DUMMY, GC } = mvcc.Command_CommandType;
const UNAVAILABLE = 14;

/** Which Regatta it is. */
export interface StockAge {
  /** Streams end with a bare message, and each message tells the applied index: since 0.5. */
  readonly hasTerminal: boolean;
  /** The command carries its index too. */
  readonly hasInnerIndex: boolean;
  /** Proposes a GC after each compaction: Armada, since 2026. */
  readonly collectsGarbage: boolean;
}

/**
 * A leader cluster of stock Regatta as docs/protocol.md §3 describes it: one table in memory, a log with
 * contiguous indices, snapshots without revisions. It sends no field of ours and reads none.
 */
export class StockLeader {
  readonly pairs = new Map<string, { value: string; index: number }>();
  #log: mvcc.Command[] = [];
  #firstIndex = 1;

  constructor(
    readonly table: string,
    private readonly age: StockAge,
  ) {}

  get appliedIndex(): number {
    return this.#log.length;
  }

  put(key: string, value: string): void {
    const kv = { key: Buffer.from(key), value: Buffer.from(value) };
    this.#append(mvcc.Command.fromPartial({ table: Buffer.from(this.table), type: PUT, kv }));
    this.pairs.set(key, { value, index: this.appliedIndex });
  }

  delete(key: string): void {
    const kv = { key: Buffer.from(key) };
    this.#append(mvcc.Command.fromPartial({ table: Buffer.from(this.table), type: DELETE, kv }));
    this.pairs.delete(key);
  }

  /** An entry of its own: a change of leader, say. */
  internal(): void {
    this.#append(mvcc.Command.fromPartial({ table: Buffer.from(this.table), type: DUMMY }));
  }

  /** Up to where tombstones may go. */
  collectGarbage(): void {
    this.#append(mvcc.Command.fromPartial({ type: GC, leaderIndex: BigInt(this.#firstIndex) }));
  }

  /** Forgets the log so far. */
  compact(): void {
    this.#firstIndex = this.appliedIndex + 1;
    if (this.age.collectsGarbage) this.collectGarbage();
  }

  /** The table is deleted and made again at once: nothing of what it was is left, and its log begins at 1. */
  recreate(): void {
    this.pairs.clear();
    this.#log = [];
    this.#firstIndex = 1;
  }

  #append(command: mvcc.Command): void {
    const leaderIndex = BigInt(this.appliedIndex + 1);
    this.#log.push(this.age.hasInnerIndex ? { ...command, leaderIndex } : command);
  }

  *replicate(request: replication.ReplicateRequest): Generator<Buffer> {
    const from = Number(request.leaderIndex);
    const leaderIndex = this.age.hasTerminal ? BigInt(this.appliedIndex) : 0n;
    const message = (response: replication.ReplicateResponse['response']): Buffer =>
      Buffer.from(replication.ReplicateResponse.encode({ response, leaderIndex, leaderTimeMs: 0n }).finish());
    const { LEADER_BEHIND, USE_SNAPSHOT } = replication.ReplicateError;
    if (from > this.appliedIndex + 1 || from < this.#firstIndex) {
      const error = from < this.#firstIndex ? USE_SNAPSHOT : LEADER_BEHIND;
      yield message({ $case: 'errorResponse', value: { error } });
      return;
    }
    for (let next = from; next <= this.appliedIndex; next += 3) {
      const commands = this.#log.slice(next - 1, next + 2).map((command, at) => ({
        leaderIndex: BigInt(next + at),
        command,
        timeMs: 0n,
      }));
      yield message({ $case: 'commandsResponse', value: { commands } });
    }
    if (this.age.hasTerminal) yield message(undefined);
  }

  *snapshot(): Generator<Buffer> {
    const commands = [...this.pairs]
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, { value }]) =>
        mvcc.Command.fromPartial({ type: PUT, kv: { key: Buffer.from(key), value: Buffer.from(value) } }),
      );
    commands.push(mvcc.Command.fromPartial({ type: DUMMY, leaderIndex: BigInt(this.appliedIndex) }));
    const parts = commands.flatMap((command) => {
      const record = mvcc.Command.encode(command).finish();
      const length = Buffer.alloc(8);
      length.writeBigUInt64LE(BigInt(record.length));
      return [length, record];
    });
    const stream = Buffer.concat([STREAM_IDENTIFIER, compressToFrames(Buffer.concat(parts))]);
    for (let at = 0; at < stream.length; at += 50) yield stream.subarray(at, at + 50);
  }
}

/** The way to a stock leader, which loses calls before, within and after. */
export class StockLink implements LeaderLink {
  readonly address = 'stock';

  constructor(
    private readonly leader: StockLeader,
    private readonly loop: EventLoop,
    private readonly random: SeededRandom,
    private readonly caller: SimulatedProcess,
    private readonly clock: Clock,
    private readonly breakProbability: () => number,
  ) {}

  async metadata(_: replication.MetadataRequest, call: LinkCall): Promise<replication.MetadataResponse> {
    await this.#travel(call);
    return replication.MetadataResponse.fromPartial({ tables: [{ name: this.leader.table }] });
  }

  async *replicate(request: replication.ReplicateRequest, call: LinkCall): AsyncGenerator<Buffer> {
    await this.#travel(call);
    for (const message of this.leader.replicate(request)) {
      yield message;
      await this.#travel(call);
    }
  }

  async *snapshot(_: replication.SnapshotRequest, call: LinkCall): AsyncGenerator<replication.SnapshotChunk> {
    await this.#travel(call);
    for (const data of this.leader.snapshot()) {
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
      const delayUs = 200 + this.random.exponential(2_000);
      const isBroken = this.random.chance(this.breakProbability());
      this.loop.schedule(delayUs, EventKind.Network, this.caller, () => {
        const isLate = this.clock.monotonicMs() >= call.deadlineMs;
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
