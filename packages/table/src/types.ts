import type { mvcc } from '@coxswain/protocol';

/** The kinds of entries in a table's log. Their numbers are on disk: never reuse one. */
export enum CommandKind {
  /** An entry that has nothing but an index: a new leader's empty entry. */
  None = 0,
  /** A marshalled mvcc.v1.Command. */
  Command = 1,
  /** A u64, little-endian: the revision below which the history is removed (A5). */
  Compact = 2,
  /** A u64, little-endian: the shard that takes over, or 0 when the table is deleted (T2). */
  Seal = 3,
  /**
   * One byte: with 0 keys keep their revisions, with 1 they are stamped anew with this entry's index and version 1
   * (T3). Then records as in a snapshot stream: u64 little-endian length, marshalled mvcc.v1.Command.
   */
  Load = 4,
  /**
   * A u64, little-endian: the leader cluster's index that the loaded keys stand for, or 0. One byte, which is 1 when
   * some keys came without revisions, and get that index, or this entry's. The history begins here.
   */
  Loaded = 5,
}

/** A committed log entry, as the state machine sees it. */
export interface TableEntry {
  readonly index: number;
  readonly term: number;
  /** The leader's time stamp (A7), in milliseconds since 1970; 0 for `None`. */
  readonly timeMs: number;
  readonly kind: CommandKind;
  readonly payload: Buffer;
  /**
   * The leader cluster's index that the entry was built on. The entry has an effect only when the table is at that
   * index (R1). Undefined when the entry names none.
   */
  readonly cursor: number | undefined;
  /**
   * False when nobody here waits for the responses, so that they need not be built. It never changes the records (A1).
   */
  readonly wantsResult: boolean;
  /**
   * Called before each range that is read for the answer once the entry is applied; false abandons the answer. Absent
   * when somebody waits in any case.
   */
  readonly isAwaited?: () => boolean;
}

/** The result of an applied entry. */
export interface ApplyResult {
  readonly index: number;
  /** The entry's index, or the leader cluster's when the command carries one. */
  readonly revision: number;
  /** False when a Txn's compares did not hold. */
  readonly succeeded: boolean;
  readonly responses: mvcc.ResponseOp[];
  /**
   * Set while ranges of a Txn's answer are still being read, from the table as the Txn left it. `responses` is complete
   * when the promise resolves. When it rejects, with AnswerAbandonedError, TableClosedError or StoreClosedError, the
   * entry was applied, and its answer is lost. It need not be awaited.
   */
  readonly reading?: Promise<void> | undefined;
  /** True when the table was not at the entry's cursor, so that the entry had no effect (R1). */
  readonly hasStaleCursor: boolean;
  /**
   * Set when the table was sealed before this entry, so that the entry had no effect: 0 when the table is deleted, else
   * the shard that took over (T2).
   */
  readonly sealedBy: number | undefined;
}

/** The state of a key at some revision. Its buffers may share memory with larger ones: copy those that you keep. */
export interface KeyRecord {
  readonly key: Buffer;
  readonly value: Buffer;
  readonly createRevision: number;
  readonly modRevision: number;
  /** The number of times that the key has been written, 1 when it was just created. */
  readonly version: number;
}

/** A request for a range of keys, or for one key. */
export interface RangeQuery {
  readonly key: Buffer;
  /** The end of the range. Absent or empty means one key; `\0` means no upper bound. */
  readonly rangeEnd?: Buffer;
  /** The most pairs in all pages together; 0 means no limit. */
  readonly limit: number;
  readonly keysOnly: boolean;
  readonly countOnly: boolean;
  /** The revision bounds of the pairs that match. They are inclusive; 0 means no bound. */
  readonly minModRevision: number;
  readonly maxModRevision: number;
  readonly minCreateRevision: number;
  readonly maxCreateRevision: number;
  /** The limit in bytes for the encoded pairs of a page; the page ends before they exceed it. */
  readonly maxBytes: number;
}

/** A page of a range. */
export interface RangePage {
  readonly records: KeyRecord[];
  /** The number of matching keys in this page, also with countOnly. */
  readonly count: number;
  /** True when more keys match beyond this page. */
  readonly more: boolean;
  /** The key at which the next page begins; undefined when `more` is false or the limit ended the range. */
  readonly nextKey: Buffer | undefined;
}
