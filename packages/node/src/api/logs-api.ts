import type { CommandKind, Table } from '@coxswain/table';
import type { Call, Header } from './call.js';

/** A committed and applied entry of a table's log, with its command as it was marshalled (R6). */
export interface LogEntry {
  readonly index: number;
  /** The term of the leader that appended the entry. */
  readonly term: number;
  /** The time that the leader stamped on the entry (A7), in milliseconds since 1970; 0 for an internal entry. */
  readonly timeMs: number;
  readonly kind: CommandKind;
  /** The command as the client's node marshalled it, when `kind` is Command. */
  readonly command: Buffer;
}

/** The log of a table on this node, as readers outside of its group may see it (R2, R6). It is a live view. */
export interface TableLog {
  readonly shardId: number;
  /** The table itself, for the outcomes of its Txns (R3) and for views. */
  readonly table: Table;
  /**
   * The first index that can be read. Entries below it were compacted, or belong to another shard of the table's name
   * (T1).
   */
  readonly firstIndex: number;
  /** The index before the shard's very first entry (T1), whether that entry is still in the log or not. */
  readonly baseIndex: number;
  /**
   * The index of the entry that ended the shard's load (T2): entries up to it are no part of the table's log. 0 when
   * the shard was not loaded.
   */
  readonly loadedIndex: number;
  readonly appliedIndex: number;
  /** Gives the size on disk, in bytes, of the entries above `index`, including those that are not applied yet. */
  sizeBytesAbove(index: number): number;
  /**
   * Whether the shard still serves the table here. False once it was sealed or taken away: later entries belong to
   * another log.
   */
  readonly isServing: boolean;
  /**
   * Reads entries from `from` on: up to `maxBytes` of commands, but at least one entry. Throws RangeError unless
   * `from` lies between `firstIndex` and `appliedIndex`.
   */
  entries(from: number, maxBytes: number): LogEntry[];
  /**
   * Keeps the shard, and so its log, on this node after another shard has taken its name or the table was deleted
   * (T2). The function that it returns lets it go; the end of the process does too.
   */
  hold(): () => void;
  /**
   * Resolves when an entry above `index` is applied, when the log stops serving, after `waitMs` milliseconds, or when
   * `signal` is aborted.
   */
  appliedAbove(index: number, waitMs: number, signal: AbortSignal | undefined): Promise<void>;
}

/** A table whose group this node leads, so that this node replicates or archives it. */
export interface LedTable {
  readonly name: string;
  readonly shardId: number;
  /** The term in which this node leads. A later term is another leadership. */
  readonly term: number;
  /** Why the table's replication was stopped; undefined while it goes on. A reset clears it. Durable. */
  readonly stopped: string | undefined;
  /** Whether the table is to be fetched from the leader cluster anew. Durable. */
  readonly isResetWanted: boolean;
}

/** Opens the logs of tables for replication, backups and the archive. */
export interface LogsApi {
  /**
   * Does a ReadIndex, waits until this node has applied what was committed by then, and gives the table's log (R2).
   * Errors: tableNotFound, notReady, timeout, shuttingDown.
   */
  open(table: string, call: Call): Promise<TableLog>;
  /**
   * Gives the table's log as it is on this node, without asking any other node; undefined when this node does not
   * serve the table.
   */
  local(table: string): TableLog | undefined;
  /**
   * Resolves when this node has applied `revision` of the table, whichever shard serves it by then. Errors:
   * tableNotFound, timeout, shuttingDown; outcomeUnknown when the table was promoted meanwhile.
   */
  whenRevision(table: string, revision: number, call: Call): Promise<Header>;
  /**
   * Lists the tables that this node leads, sorted by name. On a follower cluster it lists only those that follow the
   * leader cluster's.
   */
  led(): LedTable[];
}
