import type { CommandKind, Table } from '@coxswain/table';
import type { Call, Header } from './call.js';

/** A committed and applied entry of a table's log, its command as it was marshalled (R6). */
export interface LogEntry {
  readonly index: number;
  /** Of the leader that appended it. */
  readonly term: number;
  /** The leader's stamp (A7); 0 for an internal entry. */
  readonly timeMs: number;
  readonly kind: CommandKind;
  /** The bytes that the client's node marshalled, where `kind` is Command. */
  readonly command: Buffer;
}

/** The log of a table on this node, as those who follow it from outside may see it (R2, R6). It stays current. */
export interface TableLog {
  readonly shardId: number;
  /** For Txn outcomes (R3) and views. */
  readonly table: Table;
  /** Nothing below it can be read: it was compacted, or belongs to another shard of the table's name (T1). */
  readonly firstIndex: number;
  /** The index before the shard's very first entry (T1), whether it is still there or not. */
  readonly baseIndex: number;
  /** The entry that ended the shard's load: what came before is no part of the table's story. 0: it was not loaded (T2). */
  readonly loadedIndex: number;
  readonly appliedIndex: number;
  /** What the entries above `index` take on disk, with those that are not applied yet. */
  sizeBytesAbove(index: number): number;
  /** False once the table was sealed or taken away here: later entries belong to another log. */
  readonly isServing: boolean;
  /** Entries from `from` on, at most `maxBytes` of commands but at least one. `from` is at least `firstIndex` and at most `appliedIndex`. */
  entries(from: number, maxBytes: number): LogEntry[];
  /**
   * Keeps the shard, and so its log, on this node when another one has taken its name or the table was deleted (T2),
   * until what it gives is called or the node stops.
   */
  hold(): () => void;
  /** Resolves when an entry above `index` is applied, when the log stops serving, after `waitMs`, or when aborted. */
  appliedAbove(index: number, waitMs: number, signal: AbortSignal | undefined): Promise<void>;
}

/** A table whose group this node leads: it is this node that replicates it, or archives it. */
export interface LedTable {
  readonly name: string;
  readonly shardId: number;
  /** The term that it leads in. A later one is another leadership. */
  readonly term: number;
  /** Why its replication was stopped, until it is reset; undefined: it goes on. Durable. */
  readonly stopped: string | undefined;
  /** It is to be fetched from the leader cluster anew. Durable. */
  readonly isResetWanted: boolean;
}

/** The logs of tables, for replication, backups and the archive. */
export interface LogsApi {
  /** Gives the table's log after a ReadIndex, when what was committed by then is applied (R2). Errors: tableNotFound, notReady, timeout, shuttingDown. */
  open(table: string, call: Call): Promise<TableLog>;
  /** Gives the table's log as this node has it, without a word to anyone; undefined: it is not here, or does not serve. */
  local(table: string): TableLog | undefined;
  /**
   * Resolves when the table, by whatever shard, has applied `revision` here. Errors: tableNotFound, timeout, shuttingDown,
   * outcomeUnknown on a table that was promoted.
   */
  whenRevision(table: string, revision: number, call: Call): Promise<Header>;
  /** Lists the tables that this node leads and, on a follower cluster, that follow the leader cluster's. Sorted by name. */
  led(): LedTable[];
}
