import type { mvcc } from '@coxswain/protocol';
import type { ApplyResult, Table } from '@coxswain/table';
import type { Call, Header } from './call.js';

/** The outcome of a command that was proposed and applied, and the header of its response. */
export interface Proposed {
  readonly result: ApplyResult;
  readonly header: Header;
}

/**
 * A table that may be read now: it satisfies the consistency that the read asked for. Use it at once, without
 * awaiting anything in between.
 */
export interface ReadableTable {
  readonly table: Table;
  header(revision: number): Header;
}

/** Writes to tables and reads them. */
export interface KvApi {
  /**
   * Marshals a command, proposes it to the table's group, and resolves when it is applied on this node. Any node
   * takes it, whichever one leads. Errors: tableNotFound, notReady, tooBusy, diskFull, timeout, outcomeUnknown,
   * shuttingDown.
   */
  propose(table: string, command: mvcc.Command, call: Call): Promise<Proposed>;
  /**
   * Gives the table once it may be read with the requested consistency. A read that is not linearizable, of a table
   * that this node knows and serves, is answered at once and without a promise, since a point read costs no more than
   * a promise does; errors may then be thrown. Errors: tableNotFound, notReady, timeout, shuttingDown.
   */
  read(table: string, options: { linearizable: boolean }, call: Call): ReadableTable | Promise<ReadableTable>;
}
