import type { StoreDamagedError } from './errors.js';
import type { RevisionBounds } from './revision-bounds.js';

/** A half-open range of keys in byte order. An absent bound means that the range is open at that end. */
export interface KeyRange {
  readonly gte?: Buffer;
  readonly lt?: Buffer;
}

/** The range that a scan reads, and how. */
export interface ScanOptions extends KeyRange {
  /** The snapshot to read; absent for the store as it is when the scan begins. */
  readonly snapshot?: StoreSnapshot;
  readonly reverse?: boolean;
  /** True makes values come as empty buffers. */
  readonly keysOnly?: boolean;
  /** The most entries that this scan will be asked for, so that the store need not read further. */
  readonly limit?: number;
  /**
   * The revisions that the reader asks for, in a range of latest keys: other records may be left out. Only for a scan
   * forward and without a limit.
   */
  readonly revisions?: RevisionBounds;
}

/** A scan that gives entries in order. Must be closed; closing twice is harmless. */
export interface StoreScan {
  /** Returns the next entries, at most `maxEntries` and about `maxBytes`, or none at the end. */
  next(maxEntries: number, maxBytes: number): Promise<[key: Buffer, value: Buffer][]>;
  close(): Promise<void>;
}

/** The store as it was at one moment. Must be closed. */
export interface StoreSnapshot {
  close(): void;
}

/** A write of one store key; an undefined record deletes it. */
export interface Operation {
  readonly storeKey: Buffer;
  readonly record: Buffer | undefined;
}

/** The methods of an ordered byte store that its readers use. */
export interface StoreReader {
  /** True when `getSync` can be called in this turn; see RestingStore. */
  readonly isAwake: boolean;
  /**
   * Keeps the store awake until `release`. Returns undefined when the store is awake, else a promise that resolves when
   * it is. When the promise rejects, as `open` does, nothing is to be released.
   */
  hold(): Promise<void> | undefined;
  release(): void;
  /** Reads one point at once. Only allowed while the store is awake. */
  getSync(key: Buffer, snapshot?: StoreSnapshot): Buffer | undefined;
  /** Reads several points, without holding up the event loop. The records are in the order of the keys. */
  getMany(keys: Buffer[], snapshot?: StoreSnapshot): Promise<(Buffer | undefined)[]>;
  scan(options: ScanOptions): StoreScan;
  /**
   * Counts the entries of a range, in parts of some thousand each. Leaving the loop early releases the store. Without
   * `snapshot` it counts the store as it is when the count begins.
   */
  count(range: KeyRange & { readonly snapshot?: StoreSnapshot }): AsyncGenerator<number, void, undefined>;
  snapshot(): StoreSnapshot;
  /**
   * Resolves when all others that wait now have had their turn. Work that goes on in memory alone calls it now and
   * then.
   */
  turn(): Promise<void>;
}

/**
 * An ordered byte store. It has one writer, who starts a write only when the one before it has resolved. A crash may
 * lose writes that no flush has made durable (D4): whole writes, silently.
 */
export interface OrderedStore extends StoreReader {
  /**
   * Writes all operations or none, however many there are. Their buffers must stay unchanged until the promise
   * resolves.
   */
  write(operations: Iterable<Operation>): Promise<void>;
  /**
   * Counts the entries of a range in parts of `partEntries` each; the last part may have fewer. `last` is the last key
   * of a part, or undefined when it cannot be known for certain without reading each key.
   */
  countParts(
    range: KeyRange & { readonly snapshot: StoreSnapshot },
    partEntries: number,
  ): AsyncGenerator<{ readonly count: number; readonly last: Buffer | undefined }, void, undefined>;
  /** Forces all earlier writes into durable, immutable files (LevelDB: compactRange). */
  flush(): Promise<void>;
  /** Returns about how many bytes of disk the range takes. */
  approximateSizeBytes(range: KeyRange): Promise<number>;
  close(): Promise<void>;
}

/** A directory of stores by name. Names are made from shard ids, never from table names (T5). */
export interface StoreDirectory {
  /**
   * Called with the name of an open store each time that a read or a write finds its files damaged (D4). The reader or
   * writer gets the same error.
   */
  onDamaged?: ((name: string, error: StoreDamagedError) => void) | undefined;
  /**
   * Returns the names of all stores. They are durable when the promise resolves, including those left by a process that
   * died before it had made them so.
   */
  list(): Promise<string[]>;
  /**
   * Opens a store, or makes it when it is missing and `create` is set. Rejects with StoreDamagedError when its place
   * holds no complete store, and with StoreUnusableError when the system refuses its files.
   */
  open(name: string, options: { create: boolean }): Promise<OrderedStore>;
  /**
   * Renames a store, and replaces `to` when it exists. Durable when the promise resolves: the parent directory is
   * synced (D7).
   */
  rename(from: string, to: string): Promise<void>;
  remove(name: string): Promise<void>;
}
