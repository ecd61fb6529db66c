import { asOf, type Memtable, type MemtableEntry } from './memtable.js';
import type { Seen } from './seen.js';
import { compareIds, keyId } from './sorted-tree.js';
import type { OrderedStore, ScanOptions, StoreScan, StoreSnapshot } from './store.js';

const EMPTY = Buffer.alloc(0);
const ZERO_BYTE = Buffer.from([0]);
/** The number of entries that come from memory alone before others have their turn. */
const TURN_ENTRIES = 1000;
/** The number of keys that a cursor takes from a memtable at once. */
const READ_KEYS = 64;

type Pair = [key: Buffer, value: Buffer];

/** Gives the writes of a memtable within bounds that a reader sees, one at a time. Others may be written meanwhile. */
class MemtableCursor {
  readonly #memtable: Memtable;
  readonly #number: number;
  readonly #reverse: boolean;
  #first: string | undefined;
  #end: string | undefined;
  #entries: MemtableEntry[] = [];
  #at = 0;
  /** The key of the present write; undefined when there are no more writes. */
  id: string | undefined;
  storeKey: Buffer | undefined;
  record: Buffer | undefined;

  constructor(memtable: Memtable, number: number, { gte, lt, reverse = false }: ScanOptions) {
    this.#memtable = memtable;
    this.#number = number;
    this.#reverse = reverse;
    this.#first = gte && keyId(gte);
    this.#end = lt && keyId(lt);
    this.advance();
  }

  advance(): void {
    for (;;) {
      if (this.#at === this.#entries.length && !this.#readOn()) {
        this.id = undefined;
        return;
      }
      const entry = this.#entries[this.#at++]!;
      const written = asOf(entry, this.#number);
      if (written === undefined) continue;
      this.id = entry.id;
      this.storeKey = entry.storeKey;
      this.record = written.record;
      return;
    }
  }

  #readOn(): boolean {
    const memtable = this.#memtable;
    this.#at = 0;
    this.#entries = this.#reverse
      ? memtable.rangeReversed(this.#first, this.#end, READ_KEYS)
      : memtable.range(this.#first, this.#end, READ_KEYS);
    const last = this.#entries.at(-1);
    if (last === undefined) return false;
    if (this.#reverse) this.#end = last.id;
    else this.#first = `${last.id}\0`;
    return true;
  }
}

/** A scan of a store with writes in memory laid over it. */
export class LayeredScan implements StoreScan {
  readonly #store: OrderedStore;
  readonly #scanBase: (options: ScanOptions) => StoreScan;
  readonly #native: StoreSnapshot;
  readonly #options: ScanOptions;
  readonly #onClose: () => void;
  readonly #cursors: readonly MemtableCursor[];
  readonly #direction: 1 | -1;
  #base: StoreScan | undefined;
  /** The most entries that the present scan of the store below was asked for, and the number that it has given. */
  #baseLimit = 0;
  #baseCount = 0;
  #page: Pair[] = [];
  #at = 0;
  #left: number;
  #sinceTurn = 0;

  constructor(
    store: OrderedStore,
    { memtables, number, native }: Seen,
    options: ScanOptions,
    onClose: () => void,
    /** Scans the store below. */
    scanBase = (base: ScanOptions) => store.scan(base),
  ) {
    this.#store = store;
    this.#scanBase = scanBase;
    this.#native = native;
    this.#options = options;
    this.#onClose = onClose;
    this.#direction = options.reverse === true ? -1 : 1;
    this.#cursors = memtables
      .map((memtable) => new MemtableCursor(memtable, number, options))
      .filter(({ id }) => id !== undefined);
    this.#left = options.limit ?? Number.POSITIVE_INFINITY;
    this.#openBase(undefined);
  }

  async next(maxEntries: number, maxBytes: number): Promise<Pair[]> {
    const pairs: Pair[] = [];
    const wanted = Math.min(maxEntries, this.#left);
    if (this.#sinceTurn >= TURN_ENTRIES) {
      this.#sinceTurn = 0;
      await this.#store.turn();
    }
    // Pages of the store below pass unchanged while no write in memory is left to lay over them.
    while (wanted > 0 && this.#base !== undefined && this.#at === this.#page.length && !this.#isOverlaid) {
      await this.#readOn(this.#base, wanted, maxBytes);
      if (this.#page.length === 0) continue;
      this.#at = this.#page.length;
      this.#left -= this.#page.length;
      return this.#page;
    }
    let bytes = 0;
    while (pairs.length < wanted && bytes < maxBytes) {
      if (this.#base !== undefined && this.#at === this.#page.length) {
        // Entries in hand are returned before the store is asked for more.
        if (pairs.length > 0) break;
        await this.#readOn(this.#base, wanted, Number.MAX_SAFE_INTEGER);
        continue;
      }
      const upper = this.#upper();
      const lower = this.#page[this.#at];
      if (upper === undefined && lower === undefined) break;
      const pair = this.#take(lower, upper);
      if (pair === undefined) continue;
      pairs.push(pair);
      bytes += pair[0].length + pair[1].length;
    }
    this.#left -= pairs.length;
    this.#sinceTurn += pairs.length;
    return pairs;
  }

  async close(): Promise<void> {
    this.#left = 0;
    this.#onClose();
    await this.#base?.close();
  }

  /** True when some memtable has writes left in the range. */
  get #isOverlaid(): boolean {
    return this.#cursors.some(({ id }) => id !== undefined);
  }

  /** Returns the next pair of the store and the memtables; undefined when a write deletes it. */
  #take(lower: Pair | undefined, upper: MemtableCursor | undefined): Pair | undefined {
    const order =
      lower === undefined
        ? 1
        : upper === undefined
          ? -1
          : this.#direction * compareIds(keyId(lower[0]), upper.id!);
    if (order <= 0) this.#at += 1;
    if (order < 0) return lower;
    const { id, storeKey, record } = upper!;
    // Older memtables may have a write of the same key.
    for (const cursor of this.#cursors) if (cursor.id === id) cursor.advance();
    if (record === undefined) return undefined;
    return [storeKey!, this.#options.keysOnly === true ? EMPTY : record];
  }

  /** Returns the cursor whose write comes first in order; of one key, the newest write. */
  #upper(): MemtableCursor | undefined {
    let first: MemtableCursor | undefined;
    for (const cursor of this.#cursors) {
      if (cursor.id === undefined) continue;
      if (first === undefined || this.#direction * compareIds(cursor.id, first.id!) < 0) first = cursor;
    }
    return first;
  }

  async #readOn(base: StoreScan, maxEntries: number, maxBytes: number): Promise<void> {
    const last = this.#page.at(-1)?.[0];
    this.#page = await base.next(maxEntries, maxBytes);
    this.#at = 0;
    this.#sinceTurn = 0;
    this.#baseCount += this.#page.length;
    if (this.#page.length > 0) return;
    this.#base = undefined;
    if (this.#baseCount === this.#baseLimit) this.#openBase(last);
    await base.close();
  }

  /**
   * Opens a scan of the store below that begins after `last`. A limit counts the entries that readers get, but any
   * entry of the store may be deleted by a write in memory; so a scan may be followed by another.
   */
  #openBase(last: Buffer | undefined): void {
    const { gte, lt, limit, reverse = false, keysOnly = false } = this.#options;
    const first = last === undefined || reverse ? gte : Buffer.concat([last, ZERO_BYTE]);
    const end = last !== undefined && reverse ? last : lt;
    this.#baseLimit = limit === undefined ? Number.POSITIVE_INFINITY : this.#left;
    this.#baseCount = 0;
    this.#base = this.#scanBase({
      ...(first !== undefined && { gte: first }),
      ...(end !== undefined && { lt: end }),
      snapshot: this.#native,
      reverse,
      keysOnly,
      ...(limit !== undefined && { limit: this.#baseLimit }),
    });
  }
}
