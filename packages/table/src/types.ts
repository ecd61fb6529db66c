import type { mvcc } from '@coxswain/protocol';

/** What an entry of a table's log asks for. Numbers are on disk: never reuse one. */
export enum CommandKind {
  /** Nothing but an index: a new leader's empty entry. */
  None = 0,
  /** A marshalled mvcc.v1.Command. */
  Command = 1,
  /** u64 little-endian: history below this revision goes (A5). */
  Compact = 2,
  /** u64 little-endian: the shard that takes over, or 0 when the table is deleted (T2). */
  Seal = 3,
  /**
   * One byte, 0: keys keep the revisions that they come with, 1: they are stamped anew with this entry's index and
   * version 1 (T3). Then records as a snapshot stream has them: u64 little-endian length, marshalled mvcc.v1.Command.
   */
  Load = 4,
  /**
   * u64 little-endian: the leader cluster's index that the loaded keys stand for, or 0. One byte, 1: some keys came
   * without revisions, and take that index, or this entry's. The history begins here.
   */
  Loaded = 5,
}

/** A committed log entry, as the state machine sees it. */
export interface TableEntry {
  readonly index: number;
  readonly term: number;
  /** The leader's stamp (A7), milliseconds since 1970; 0 for `None`. */
  readonly timeMs: number;
  readonly kind: CommandKind;
  readonly payload: Buffer;
  /** The leader cluster's index that the entry was built on; it has an effect only where the table is there (R1). */
  readonly cursor: number | undefined;
  /** False: nobody here waits for the responses, so they need not be built. Never changes the records (A1). */
  readonly wantsResult: boolean;
  /** Asked before each range that is read for the answer once the entry is applied. Absent: somebody waits for it. */
  readonly isAwaited?: () => boolean;
}

export interface ApplyResult {
  readonly index: number;
  /** The entry's index, or the leader cluster's where the command carries one. */
  readonly revision: number;
  /** False when a Txn's compares did not hold. */
  readonly succeeded: boolean;
  readonly responses: mvcc.ResponseOp[];
  /**
   * Set while ranges of a Txn's answer are still being read, from the table as the Txn left it: `responses` is whole
   * when it resolves. Rejects with AnswerAbandonedError, or TableClosedError or StoreClosedError: the entry was applied,
   * and its answer is lost. Need not be awaited.
   */
  readonly reading?: Promise<void> | undefined;
  /** The table was not at the entry's cursor: the entry had no effect (R1). */
  readonly hasStaleCursor: boolean;
  /** Set when the table was sealed before this entry: it had no effect. 0: deleted; else the shard that took over (T2). */
  readonly sealedBy: number | undefined;
}

/** The latest state of a key. Buffers may share memory with larger ones: copy what you keep. */
export interface KeyRecord {
  readonly key: Buffer;
  readonly value: Buffer;
  readonly createRevision: number;
  readonly modRevision: number;
  /** 1 for a key that was just created. */
  readonly version: number;
}

export interface RangeQuery {
  readonly key: Buffer;
  /** Absent or empty: one key. `\0`: no upper bound. */
  readonly rangeEnd?: Buffer;
  /** 0: no limit. */
  readonly limit: number;
  readonly keysOnly: boolean;
  readonly countOnly: boolean;
  /** Inclusive; 0: no bound. */
  readonly minModRevision: number;
  readonly maxModRevision: number;
  readonly minCreateRevision: number;
  readonly maxCreateRevision: number;
  /** A page ends before its encoded pairs pass this. */
  readonly maxBytes: number;
}

export interface RangePage {
  readonly records: KeyRecord[];
  /** Matching keys in this page, also with countOnly. */
  readonly count: number;
  /** More keys match beyond this page. */
  readonly more: boolean;
  /** Where the next page begins; undefined when `more` is false or the limit ended the range. */
  readonly nextKey: Buffer | undefined;
}
