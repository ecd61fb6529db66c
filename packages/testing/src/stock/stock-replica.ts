import { mvcc, type replication } from '@coxswain/protocol';
import { StockTable } from './stock-table.js';

const { PUT, DELETE, DUMMY, PUT_BATCH, DELETE_BATCH, TXN } = mvcc.Command_CommandType;
/** What a leader cluster sends to followers of stock Regatta's. */
const KNOWN: ReadonlySet<mvcc.Command_CommandType> = new Set([
  PUT,
  DELETE,
  DUMMY,
  PUT_BATCH,
  DELETE_BATCH,
  TXN,
]);
/** A loader drops the record that brings the sum of lengths to it, and starts a new sum. */
const LOADER_SUM_BYTES = 3 * 1024 * 1024;

/** A leader cluster did what stock Regatta would take amiss, or take for something else. */
export class StockProtest extends Error {
  override readonly name = 'StockProtest';
}

/** A table of a follower cluster of stock Regatta's, which knows nothing of ours (docs/protocol.md §3). */
export class StockReplica {
  table = new StockTable();
  /** Up to which index of the leader cluster's log it has applied. */
  leaderIndex: number;
  /** How often the loader of snapshots has met the record that it drops. */
  recordsDropped = 0;

  constructor(leaderIndex = 0) {
    this.leaderIndex = leaderIndex;
  }

  /** Applies commands of the log, as they are: it counts on the index that each carries. Throws StockProtest. */
  take(commands: readonly replication.ReplicateCommand[]): void {
    for (const { command, leaderIndex } of commands) {
      const index = Number(leaderIndex);
      if (index !== this.leaderIndex + 1 || command!.leaderIndex !== leaderIndex)
        throw new StockProtest(`index ${index} (${command!.leaderIndex} inside) follows ${this.leaderIndex}`);
      if (!KNOWN.has(command!.type)) throw new StockProtest(`a command of type ${command!.type}`);
      this.table.apply(command!);
      this.leaderIndex = index;
    }
  }

  /** Loads the records of a snapshot, each without its length. Without an index at the end it stays as it is. */
  async load(records: AsyncIterable<Buffer> | Iterable<Buffer>): Promise<boolean> {
    const table = new StockTable();
    let sumBytes = 0;
    let end = 0;
    for await (const record of records) {
      const command = mvcc.Command.decode(record);
      sumBytes += record.length;
      if (command.type === DUMMY) end = Number(command.leaderIndex);
      else if (sumBytes < LOADER_SUM_BYTES) table.apply(command);
      if (sumBytes < LOADER_SUM_BYTES) continue;
      sumBytes = 0;
      this.recordsDropped++;
    }
    if (end === 0) return false;
    this.table = table;
    this.leaderIndex = end;
    return true;
  }
}
