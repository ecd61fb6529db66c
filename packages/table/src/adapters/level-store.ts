import { strict as assert } from 'node:assert/strict';
import { access, mkdir, open, readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { ClassicLevel, type Iterator as LevelIterator } from 'classic-level';
import { StoreClosedError, StoreDamagedError, type StoreObstacle, StoreUnusableError } from '../errors.js';
import type {
  KeyRange,
  Operation,
  OrderedStore,
  ScanOptions,
  StoreDirectory,
  StoreScan,
  StoreSnapshot,
} from '../store.js';

type Database = ClassicLevel<Buffer, Buffer>;

const EMPTY = Buffer.alloc(0);
/** A key below every key that a table uses. It is never written, so compacting it touches no data. */
const ABSENT_KEY = Buffer.from([0]);
/** A key above every key that a table uses. `flush` deletes it to learn whether writes still work. */
const PROBE_KEY = Buffer.from([0xff]);
/** The suffix of a store's name while `rename` replaces the store. */
const REPLACED_SUFFIX = '.replaced';
/**
 * The most bytes that native code reads ahead before it hands entries over. LevelDB's default of 16 KiB would cost a
 * trip to the thread pool for every 50 pairs.
 */
const SCAN_BYTES_MAX = 1 << 20;

/** The number of entries that are counted between two turns of the event loop. */
const COUNT_PART_ENTRIES = 4000;

/**
 * An encoding for keys that are only counted. Native code makes strings of them, for a fraction of the cost of Buffers,
 * and replaces bytes that are not UTF-8. Bounds are passed on unchanged. Without keys an iterator would give nothing at
 * all (findings/classic-level-iterates-nothing.sh).
 */
const KEY_TEXT = {
  name: 'key-text',
  format: 'utf8',
  encode: (bound: Buffer | string) => bound as string,
  decode: (text: string) => text,
} as const;

/** The character by which native code replaces bytes that are not UTF-8. */
const REPLACEMENT = '\ufffd';

/** An encoding for values that nobody reads. */
const UNREAD = {
  name: 'unread',
  format: 'utf8',
  encode: (bound: Buffer) => bound as unknown as string,
  decode: () => EMPTY,
} as const;

/**
 * The number of operations that are handed to native code between two turns of the event loop: about a millisecond's
 * work.
 */
const WRITE_STEP_OPERATIONS = 500;
/** The number of bytes that take as long as one more operation. */
const WRITE_STEP_OPERATION_BYTES = 1024;

/** An encoding for keys that come as strings; see `LevelScan`. Bounds are passed on unchanged. */
const TEXT = {
  name: 'text',
  format: 'utf8',
  encode: (bound: Buffer | string) => bound as string,
  decode: (key: string): Buffer | string => key,
} as const;

const CACHE_BYTES_MIN = 64 * 1024;

/** The options with which a directory opens each LevelDB. */
export interface LevelStoreOptions {
  /**
   * The size of one LevelDB memtable, of which up to two are in memory. LevelDB's default of 4 MiB is small for a
   * server.
   */
  readonly writeBufferSizeBytes: number;
  /**
   * The size of the block caches: the first two stores each get all of it, a later one gets it divided by the number of
   * stores that are open already.
   */
  readonly cacheSizeBytes: number;
}

/** The words by which the C library describes an errno, and what each means. LevelDB passes on nothing else. */
const OBSTACLE_WORDS: readonly (readonly [RegExp, StoreObstacle])[] = [
  [/No space left on device|Disk quota exceeded/, 'noRoom'],
  [/Too many open files/, 'descriptors'],
  [/Permission denied|Operation not permitted/, 'permission'],
  [/Read-only file system/, 'readOnly'],
];

/**
 * Converts an error of LevelDB into one of this package's. It separates a damaged store, which a peer's copy can
 * replace, from a store whose files the system refuses. LevelDB calls nearly everything an "IO error": a name in
 * CURRENT without a file, a table file that is too short ("Invalid argument"), a full disk, a limit, a missing
 * permission. An error that is neither an obstacle of the system nor a file held by another process means that the
 * files are not as LevelDB left them (D4). Errors that are not about files are returned unchanged.
 */
function toStoreError(name: string, error: unknown): unknown {
  if (!(error instanceof Error)) return error;
  // abstract-level wraps the error that LevelDB reports.
  const cause = (error.cause ?? error) as Error & { code?: string };
  const { code, message } = cause;
  if (code === 'LEVEL_LOCKED') return new StoreUnusableError(name, 'inUse', message, { cause: error });
  // A synchronous read reports an error of the disk without a code.
  const isOfFiles =
    code === 'LEVEL_IO_ERROR' || code === 'LEVEL_CORRUPTION' || message.startsWith('IO error: ');
  if (!isOfFiles && !message.includes('does not exist')) return error;
  for (const [words, obstacle] of OBSTACLE_WORDS) {
    if (words.test(message)) return new StoreUnusableError(name, obstacle, message, { cause: error });
  }
  return new StoreDamagedError(name, message, { cause: error });
}

async function syncDirectory(path: string): Promise<void> {
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** A directory of stores, each of which is a LevelDB directory in it. */
export class LevelStoreDirectory implements StoreDirectory {
  readonly #path: string;
  readonly #options: LevelStoreOptions;
  #openCount = 0;
  onDamaged: ((name: string, error: StoreDamagedError) => void) | undefined;
  readonly #flushTurns = new FlushTurns();

  private constructor(path: string, options: LevelStoreOptions) {
    this.#path = path;
    this.#options = options;
  }

  /**
   * Opens the directory. Makes it when it is missing, and finishes or undoes a `rename` that a crash cut short (D7).
   */
  static async open(path: string, options: LevelStoreOptions): Promise<LevelStoreDirectory> {
    await mkdir(path, { recursive: true });
    const names = new Set(await readdir(path));
    for (const name of names) {
      if (!name.endsWith(REPLACED_SUFFIX)) continue;
      const target = name.slice(0, -REPLACED_SUFFIX.length);
      if (names.has(target)) await rm(join(path, name), { recursive: true });
      else await rename(join(path, name), join(path, target));
    }
    await syncDirectory(path);
    return new LevelStoreDirectory(path, options);
  }

  async list(): Promise<string[]> {
    await syncDirectory(this.#path);
    // Plain files beside the stores belong to others: a lock, a reserve.
    const entries = await readdir(this.#path, { withFileTypes: true });
    return entries
      .filter((entry) => entry.isDirectory())
      .map(({ name }) => name)
      .sort();
  }

  async open(name: string, options: { create: boolean }): Promise<LevelStore> {
    const path = this.#pathOf(name);
    // LevelDB makes the directory even when it refuses to make a database, so the check comes first.
    if (!options.create) await access(path);
    const database: Database = new ClassicLevel<Buffer, Buffer>(path, {
      keyEncoding: 'buffer',
      valueEncoding: 'buffer',
      createIfMissing: options.create,
      errorIfExists: false,
      writeBufferSize: this.#options.writeBufferSizeBytes,
      cacheSize: this.#cacheShareBytes(),
    });
    try {
      await database.open();
    } catch (error) {
      throw toStoreError(name, error);
    }
    if (options.create) await syncDirectory(this.#path);
    this.#openCount++;
    return new LevelStore(database, this.#flushTurns, {
      toError: (error) => {
        const isClosed = /^LEVEL_\w+_NOT_OPEN$/.test(String((error as { code?: unknown }).code));
        if (isClosed) return new StoreClosedError(error);
        const storeError = toStoreError(name, error);
        if (storeError instanceof StoreDamagedError) this.onDamaged?.(name, storeError);
        return storeError;
      },
      onClosed: () => {
        this.#openCount--;
      },
    });
  }

  /**
   * Returns the size of the cache for the next store. LevelDB has a cache per database, whose size is fixed when it is
   * opened. The next store gets `cacheSizeBytes` divided by the number of stores that are open already, at least 64
   * KiB: a node with one large table gives it most, and a thousand tables take a few times the whole together.
   */
  #cacheShareBytes(): number {
    return Math.max(CACHE_BYTES_MIN, Math.floor(this.#options.cacheSizeBytes / Math.max(1, this.#openCount)));
  }

  async rename(from: string, to: string): Promise<void> {
    const source = this.#pathOf(from);
    const target = this.#pathOf(to);
    await syncDirectory(source);
    const replaced = target + REPLACED_SUFFIX;
    const replaces = (await readdir(this.#path)).includes(to);
    // Directories cannot be exchanged in one step. The old one stays aside until the new one is in place, and `open`
    // puts it back when a crash comes between.
    if (replaces) await rename(target, replaced);
    await rename(source, target);
    await syncDirectory(this.#path);
    if (replaces) await rm(replaced, { recursive: true });
  }

  async remove(name: string): Promise<void> {
    await rm(this.#pathOf(name), { recursive: true, force: true });
    await syncDirectory(this.#path);
  }

  #pathOf(name: string): string {
    assert(/^\w[\w.-]*$/.test(name), 'a store name has letters, digits, _, - and dots only');
    assert(!name.endsWith(REPLACED_SUFFIX), `a store name does not end in ${REPLACED_SUFFIX}`);
    return join(this.#path, name);
  }
}

/**
 * Lets one flush run at a time. All LevelDBs of a process share one background thread, so more flushes would not be
 * faster, but each would hold a thread of libuv's small pool, which the log needs for its fdatasync.
 */
class FlushTurns {
  #last: Promise<void> = Promise.resolve();

  take(flush: () => Promise<void>): Promise<void> {
    const turn = this.#last.then(flush);
    // The caller gets the failure; the next flush runs in any case.
    this.#last = turn.catch(() => undefined);
    return turn;
  }
}

class LevelSnapshot implements StoreSnapshot {
  readonly native: ReturnType<Database['snapshot']>;

  constructor(native: ReturnType<Database['snapshot']>) {
    this.native = native;
  }

  close(): void {
    // The library releases it before its first await. The promise has no result of interest, and never rejects.
    void this.native.close();
  }
}

type ScanIterator = LevelIterator<Database, Buffer | string, Buffer>;

/**
 * Opens an iterator that begins after the key `last`, or ends before it when the scan is reversed. Without `last` it
 * covers the whole range. With `asText` it gives keys as strings.
 */
type OpenIterator = (last: Buffer | undefined, leftCount: number, asText: boolean) => ScanIterator;

/**
 * A scan of one LevelDB. Keys come from native code as strings where possible, which costs a third of what Buffers
 * cost. A key that is not UTF-8 comes with U+FFFD in it; from there the scan continues with keys as bytes.
 */
class LevelScan implements StoreScan {
  readonly #open: OpenIterator;
  readonly #keysOnly: boolean;
  readonly #toError: (error: unknown) => unknown;
  #iterator: ScanIterator;
  #leftCount: number;
  #last: Buffer | undefined;
  #isText: boolean;
  #isClosed = false;

  constructor(
    open: OpenIterator,
    { keysOnly, asText, limit }: { keysOnly: boolean; asText: boolean; limit: number },
    toError: (error: unknown) => unknown,
  ) {
    this.#open = open;
    this.#toError = toError;
    this.#keysOnly = keysOnly;
    this.#leftCount = limit;
    this.#isText = asText;
    this.#iterator = open(undefined, limit, asText);
  }

  async next(maxEntries: number, _maxBytes: number): Promise<[key: Buffer, value: Buffer][]> {
    try {
      for (;;) {
        const entries = await this.#iterator.nextv(maxEntries);
        const found = this.#isText ? takeText(entries as [Buffer | string, Buffer][]) : entries;
        const isCut = found.length < entries.length;
        this.#leftCount -= found.length;
        if (found.length > 0 && this.#isText) this.#last = found[found.length - 1]![0] as Buffer;
        if (this.#keysOnly) for (const entry of found) entry[1] = EMPTY;
        if (isCut) await this.#goOnWithBytes();
        if (found.length > 0 || !isCut) return found as [Buffer, Buffer][];
      }
    } catch (error) {
      throw this.#toError(error);
    }
  }

  async #goOnWithBytes(): Promise<void> {
    await this.#iterator.close();
    this.#isText = false;
    this.#iterator = this.#open(this.#last, this.#leftCount, false);
    if (this.#isClosed) await this.#iterator.close();
  }

  close(): Promise<void> {
    this.#isClosed = true;
    return this.#iterator.close();
  }
}

const REPLACEMENT_CHARACTER = '\ufffd';
/** The size of the slabs from which keys are cut. */
const KEY_SLAB_BYTES = 16 * 1024;
let keySlab = EMPTY;
let keySlabUsedBytes = 0;

/**
 * Replaces the text of each key by its bytes, in place. Returns the entries before the first key whose bytes cannot be
 * known from its text.
 */
function takeText(entries: [Buffer | string, Buffer][]): [Buffer | string, Buffer][] {
  for (const [place, entry] of entries.entries()) {
    const key = bytesOf(entry[0] as string);
    if (key === undefined) return entries.slice(0, place);
    entry[0] = key;
  }
  return entries;
}

/** Returns the bytes of a key from its text; undefined when the text may stand for other bytes. */
function bytesOf(text: string): Buffer | undefined {
  const { length } = text;
  if (length > KEY_SLAB_BYTES / 8)
    return text.includes(REPLACEMENT_CHARACTER) ? undefined : Buffer.from(text);
  if (keySlabUsedBytes + length > keySlab.length) {
    keySlab = Buffer.allocUnsafeSlow(KEY_SLAB_BYTES);
    keySlabUsedBytes = 0;
  }
  const start = keySlabUsedBytes;
  for (let at = 0; at < length; at++) {
    const code = text.charCodeAt(at);
    if (code > 0x7f) return text.includes(REPLACEMENT_CHARACTER) ? undefined : Buffer.from(text);
    keySlab[start + at] = code;
  }
  keySlabUsedBytes += length;
  return keySlab.subarray(start, keySlabUsedBytes);
}

/**
 * A LevelDB as an ordered store. Every scan is a trip to the thread pool; only `getSync` is not
 * (DESIGN.md, "What LevelDB gives").
 */
export class LevelStore implements OrderedStore {
  readonly #database: Database;
  readonly #flushTurns: FlushTurns;

  readonly #onClosed: () => void;
  /** Returns the store's own error for one of the library's. */
  readonly #toError: (error: unknown) => unknown;

  /** Called by LevelStoreDirectory.open alone. */
  constructor(
    database: Database,
    flushTurns: FlushTurns,
    options: { readonly toError: (error: unknown) => unknown; readonly onClosed: () => void },
  ) {
    this.#database = database;
    this.#flushTurns = flushTurns;
    this.#toError = options.toError;
    this.#onClosed = options.onClosed;
  }

  readonly isAwake = true;

  hold(): undefined {
    // A LevelDB stays open until it is closed.
  }

  release(): void {
    // A LevelDB stays open until it is closed.
  }

  getSync(key: Buffer, snapshot?: StoreSnapshot): Buffer | undefined {
    // Without options abstract-level takes a shorter path: 1.6 instead of 2.9 microseconds.
    try {
      if (snapshot === undefined) return this.#database.getSync(key);
      return this.#database.getSync(key, { snapshot: nativeOf(snapshot) });
    } catch (error) {
      throw this.#toError(error);
    }
  }

  async getMany(keys: Buffer[], snapshot?: StoreSnapshot): Promise<(Buffer | undefined)[]> {
    try {
      return await this.#database.getMany(
        keys,
        snapshot === undefined ? {} : { snapshot: nativeOf(snapshot) },
      );
    } catch (error) {
      throw this.#toError(error);
    }
  }

  async *count(
    range: KeyRange & { readonly snapshot?: StoreSnapshot },
  ): AsyncGenerator<number, void, undefined> {
    for await (const keys of this.#keyTexts(range, COUNT_PART_ENTRIES)) yield keys.length;
  }

  async *countParts(
    range: KeyRange & { readonly snapshot: StoreSnapshot },
    partEntries: number,
  ): AsyncGenerator<{ count: number; last: Buffer | undefined }, void, undefined> {
    const parts = Math.max(1, Math.floor(COUNT_PART_ENTRIES / partEntries));
    for await (const keys of this.#keyTexts(range, parts * partEntries)) {
      for (let from = 0; from < keys.length; from += partEntries) {
        const count = Math.min(partEntries, keys.length - from);
        const [last] = keys[from + count - 1]!;
        // The text may stand for bytes that are not UTF-8.
        yield { count, last: last.includes(REPLACEMENT) ? undefined : Buffer.from(last) };
      }
    }
  }

  /** Yields the keys of a range, some at a time, as the strings that native code makes of them. */
  async *#keyTexts(
    { snapshot, ...bounds }: KeyRange & { readonly snapshot?: StoreSnapshot },
    maxEntries: number,
  ): AsyncGenerator<[key: string, value: Buffer][], void, undefined> {
    try {
      const iterator = this.#database.iterator<string, Buffer>({
        ...(bounds as object),
        ...(snapshot !== undefined && { snapshot: nativeOf(snapshot) }),
        keyEncoding: KEY_TEXT,
        valueEncoding: UNREAD,
        values: false,
        highWaterMarkBytes: SCAN_BYTES_MAX,
      });
      try {
        for (;;) {
          const keys = await iterator.nextv(maxEntries);
          if (keys.length === 0) return;
          yield keys;
        }
      } finally {
        await iterator.close();
      }
    } catch (error) {
      throw this.#toError(error);
    }
  }

  scan({ gte, lt, snapshot, reverse = false, keysOnly = false, limit = -1 }: ScanOptions): StoreScan {
    const open: OpenIterator = (last, leftCount, asText) => {
      const first = last === undefined || reverse ? gte : Buffer.concat([last, ABSENT_KEY]);
      const end = last !== undefined && reverse ? last : lt;
      return this.#database.iterator<Buffer | string, Buffer>({
        ...(first !== undefined && { gte: first }),
        ...(end !== undefined && { lt: end }),
        ...(snapshot !== undefined && { snapshot: nativeOf(snapshot) }),
        ...(asText && { keyEncoding: TEXT }),
        reverse,
        values: !keysOnly,
        limit: limit < 0 ? limit : leftCount,
        highWaterMarkBytes: SCAN_BYTES_MAX,
      });
    };
    // Without a snapshot, a second iterator would see writes that came after the first one was made.
    return new LevelScan(open, { keysOnly, asText: snapshot !== undefined, limit }, this.#toError);
  }

  snapshot(): LevelSnapshot {
    return new LevelSnapshot(this.#database.snapshot());
  }

  async turn(): Promise<void> {
    await setImmediate();
  }

  async write(operations: Iterable<Operation>): Promise<void> {
    try {
      const batch = this.#database.batch();
      let left = WRITE_STEP_OPERATIONS;
      for (const { storeKey, record } of operations) {
        if (record === undefined) batch.del(storeKey);
        else batch.put(storeKey, record);
        left -= 1 + (record?.length ?? 0) / WRITE_STEP_OPERATION_BYTES;
        if (left > 0) continue;
        left = WRITE_STEP_OPERATIONS;
        await setImmediate();
      }
      await batch.write();
    } catch (error) {
      throw this.#toError(error);
    }
  }

  flush(): Promise<void> {
    return this.#flushTurns.take(async () => {
      try {
        // compactRange forces the memtable to disk whatever the range; a range that no file reaches spares the rest of
        // the data. So the probe has another key: with this one, each flush would merge its file down through all
        // levels.
        await this.#database.compactRange(ABSENT_KEY, ABSENT_KEY);
        // compactRange reports no error. A failure shows in the next write, so one follows at once.
        await this.#database.del(PROBE_KEY);
      } catch (error) {
        throw this.#toError(error);
      }
    });
  }

  approximateSizeBytes(range: KeyRange): Promise<number> {
    return this.#database.approximateSize(range.gte ?? EMPTY, range.lt ?? Buffer.from([0xff]));
  }

  async close(): Promise<void> {
    await this.#database.close();
    this.#onClosed();
  }
}

function nativeOf(snapshot: StoreSnapshot): ReturnType<Database['snapshot']> {
  assert(snapshot instanceof LevelSnapshot, 'a snapshot belongs to the store that made it');
  return snapshot.native;
}
