import { mvcc, replication } from '@coxswain/protocol';
import { StockTable } from './stock-table.js';

const { PUT, DELETE, DUMMY } = mvcc.Command_CommandType;
const { USE_SNAPSHOT, LEADER_BEHIND } = replication.ReplicateError;
/** Few commands a message, so that nothing ends where it is convenient. */
const COMMANDS_PER_MESSAGE = 3;
const LENGTH_BYTES = 8;

/** Which of stock Regatta's releases a leader is of. */
export interface StockAge {
  /** Streams end with a bare message, and each message tells the applied index: since 0.5. */
  readonly hasTerminal: boolean;
  /** Commands carry their index themselves. */
  readonly hasInnerIndex: boolean;
}

/**
 * A table of a leader cluster of stock Regatta's: its log, with contiguous indices from 1 on, what that makes, and what
 * it answers to a follower (docs/protocol.md §3). It sends no field of ours, reads none, and sets no revisions on pairs.
 */
export class StockLog {
  readonly state = new StockTable();
  /** The log reaches from here on: what came before was compacted. */
  #firstIndex = 1;
  readonly #log: mvcc.Command[] = [];

  constructor(
    readonly table: string,
    readonly age: StockAge,
  ) {}

  get firstIndex(): number {
    return this.#firstIndex;
  }

  get appliedIndex(): number {
    return this.#firstIndex - 1 + this.#log.length;
  }

  /** Appends and applies. The index that it gives is the revision. */
  append(partial: Partial<mvcc.Command>): number {
    const command = mvcc.Command.fromPartial({ table: Buffer.from(this.table), ...partial } as never);
    this.#log.push(command);
    this.state.apply(command);
    return this.appliedIndex;
  }

  put(key: string, value: string): number {
    const kv = mvcc.KeyValue.fromPartial({ key: Buffer.from(key), value: Buffer.from(value) });
    return this.append({ type: PUT, kv });
  }

  delete(key: string): number {
    return this.append({ type: DELETE, kv: mvcc.KeyValue.fromPartial({ key: Buffer.from(key) }) });
  }

  /** Forgets the log so far. */
  compact(): void {
    this.#firstIndex = this.appliedIndex + 1;
    this.#log.length = 0;
  }

  /** What it was after so many entries, as of a leader that lost its disk. It must not have been compacted. */
  before(count: number): StockLog {
    const earlier = new StockLog(this.table, this.age);
    for (const command of this.#log.slice(0, count)) earlier.append(command);
    return earlier;
  }

  /** The messages of Log.Replicate from an index on, which must be above 0. */
  *replicate(from: number): Generator<replication.ReplicateResponse> {
    const { hasTerminal } = this.age;
    const leaderIndex = hasTerminal ? BigInt(this.appliedIndex) : 0n;
    const message = (response: replication.ReplicateResponse['response']) => ({
      response,
      leaderIndex,
      leaderTimeMs: 0n,
    });
    if (from > this.appliedIndex + 1 || from < this.#firstIndex) {
      const error = from < this.#firstIndex ? USE_SNAPSHOT : LEADER_BEHIND;
      yield message({ $case: 'errorResponse', value: { error } });
      return;
    }
    for (let at = from - this.#firstIndex; at < this.#log.length; at += COMMANDS_PER_MESSAGE) {
      const commands = this.#log
        .slice(at, at + COMMANDS_PER_MESSAGE)
        .map((command, offset) => this.#outgoing(command, this.#firstIndex + at + offset));
      yield message({ $case: 'commandsResponse', value: { commands } });
    }
    if (hasTerminal) yield message(undefined);
  }

  /** What Snapshot.Stream holds, before it is compressed: records, each with its length before it. */
  snapshot(): Buffer {
    const { pairs } = this.state;
    const records = [
      // A pair with an empty key, which no table can hold: some leaders send one.
      { type: PUT, kv: {} },
      ...[...pairs.keys()]
        .sort()
        .map((key) => ({ type: PUT, kv: { key: Buffer.from(key, 'latin1'), value: pairs.get(key)! } })),
      { type: DUMMY, leaderIndex: BigInt(this.appliedIndex) },
    ];
    const parts = records.flatMap((partial) => {
      const record = mvcc.Command.encode(mvcc.Command.fromPartial(partial)).finish();
      const length = Buffer.alloc(LENGTH_BYTES);
      length.writeBigUInt64LE(BigInt(record.length));
      return [length, record];
    });
    return Buffer.concat(parts);
  }

  #outgoing(command: mvcc.Command, index: number): replication.ReplicateCommand {
    const leaderIndex = BigInt(index);
    const inner = this.age.hasInnerIndex ? { ...command, leaderIndex } : command;
    return replication.ReplicateCommand.fromPartial({ leaderIndex, command: inner } as never);
  }
}
