import type { mvcc } from '@coxswain/protocol';
import type { ApplyResult, Table } from '@coxswain/table';
import type { Call, Header } from './call.js';

export interface Proposed {
  readonly result: ApplyResult;
  readonly header: Header;
}

/** A table that may be read now: what was asked for (linearizable or not) holds. Use it at once, without waiting. */
export interface ReadableTable {
  readonly table: Table;
  header(revision: number): Header;
}

/** Writes to tables, and reads of them. */
export interface KvApi {
  /**
   * Proposes a command for a table (its bytes are marshalled once, here) and resolves when it is applied on
   * this node. Any node takes it. Errors: tableNotFound, notReady, tooBusy, diskFull, timeout, outcomeUnknown, shuttingDown.
   */
  propose(table: string, command: mvcc.Command, call: Call): Promise<Proposed>;
  /**
   * Gives the table when it may be read as asked. Errors: tableNotFound, notReady, timeout, shuttingDown.
   * A read that is not linearizable, of a table that this node knows and serves, is answered at once and
   * without a promise, since a point read costs no more than a promise does; errors may then be thrown.
   */
  read(table: string, options: { linearizable: boolean }, call: Call): ReadableTable | Promise<ReadableTable>;
}
