import type { StoreDamagedError } from './errors.js';
import type { RevisionBounds } from './revision-bounds.js';

/** A half-open key range in byte order. Absent bounds are open ends. */
export interface KeyRange {
  readonly gte?: Buffer;
  readonly lt?: Buffer;
}

export interface ScanOptions extends KeyRange {
  /** Absent: the store as it is when the scan begins. */
  readonly snapshot?: StoreSnapshot;
  readonly reverse?: boolean;
  /** Values come as empty buffers. */
  readonly keysOnly?: boolean;
  /** The most entries this scan will be asked for; lets the store read no further. */
  readonly limit?: number;
  /** Of a range of latest keys: other records may be left out. Only forward, and without a limit. */
  readonly revisions?: RevisionBounds;
}

/** Reads on in order. Must be closed; closing twice is harmless. */
export interface StoreScan {
  /** The next entries, at most `maxEntries` and about `maxBytes`; empty at the end. */
  next(maxEntries: number, maxBytes: number): Promise<[key: Buffer, value: Buffer][]>;
  close(): Promise<void>;
}

export interface StoreSnapshot {
  close(): void;
}

/** A write of one store key; undefined deletes it. */
export interface Operation {
  readonly storeKey: Buffer;
  readonly record: Buffer | undefined;
}

/** What readers of an ordered byte store use. */
export interface StoreReader {
  /** Whether `getSync` can be called in this turn; see RestingStore. */
  readonly isAwake: boolean;
  /**
   * Keeps the store awake until `release`. Undefined: it is; otherwise it is when this resolves. Rejects as `open` does, and
   * then nothing is to be released.
   */
  hold(): Promise<void> | undefined;
  release(): void;
  /** Only where the store is awake. */
  getSync(key: Buffer, snapshot?: StoreSnapshot): Buffer | undefined;
  /** As many point reads at once, without holding up the event loop; in the order of the keys. */
  getMany(keys: Buffer[], snapshot?: StoreSnapshot): Promise<(Buffer | undefined)[]>;
  scan(options: ScanOptions): StoreScan;
  /**
   * Counts the entries of a range, in parts of some thousand each. Leaving the loop early lets go of the store. Absent
   * `snapshot`: the store as it is when the count begins.
   */
  count(range: KeyRange & { readonly snapshot?: StoreSnapshot }): AsyncGenerator<number, void, undefined>;
  snapshot(): StoreSnapshot;
  /** Resolves when whatever else waits by now has had its turn: work that goes on in memory alone takes it now and then. */
  turn(): Promise<void>;
}

/**
 * An ordered byte store. One writer: a write is not started before the one before it has resolved.
 * What no flush has made durable it may lose in a crash (D4): whole writes, silently.
 */
export interface OrderedStore extends StoreReader {
  /** Atomic, however many there are. What they hold must stay as it is until it resolves. */
  write(operations: Iterable<Operation>): Promise<void>;
  /**
   * Counts the entries of a range in parts of so many each, the last of fewer. A part says which key is its last, or undefined
   * where that cannot be said for certain without a look at each.
   */
  countParts(
    range: KeyRange & { readonly snapshot: StoreSnapshot },
    partEntries: number,
  ): AsyncGenerator<{ readonly count: number; readonly last: Buffer | undefined }, void, undefined>;
  /** Forces all earlier writes into durable, immutable files (LevelDB: compactRange). */
  flush(): Promise<void>;
  /** About how many bytes of disk the range takes. */
  approximateSizeBytes(range: KeyRange): Promise<number>;
  close(): Promise<void>;
}

/** A directory of stores by name. Names are made by us from shard ids, never from table names (T5). */
export interface StoreDirectory {
  /**
   * Called with the name of an open store whose files turn out to be damaged, each time that a read or a write finds
   * it (D4). Whoever asked gets the same error.
   */
  onDamaged?: ((name: string, error: StoreDamagedError) => void) | undefined;
  /** The names are durable when it resolves, also those that a process left which died before it had made them so. */
  list(): Promise<string[]>;
  /** Opens, or makes when missing and `create` is set. Rejects with StoreDamagedError where no whole store is there, with StoreUnusableError where the system refuses its files. */
  open(name: string, options: { create: boolean }): Promise<OrderedStore>;
  /** Replaces `to` when it exists. Durable when it resolves: the parent directory is synced (D7). */
  rename(from: string, to: string): Promise<void>;
  remove(name: string): Promise<void>;
}
