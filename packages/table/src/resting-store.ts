import { strict as assert } from 'node:assert/strict';
import { StoreClosedError } from './errors.js';
import type { KeyRange, Operation, OrderedStore, ScanOptions, StoreScan, StoreSnapshot } from './store.js';

type RangeAsOf = KeyRange & { readonly snapshot?: StoreSnapshot };

/** Opens the stores that rest, and counts those that are awake. */
export interface StoreOpener {
  open(store: RestingStore, options: { create: boolean }): Promise<OrderedStore>;
  /** Reports that a store cannot be opened which was open before. */
  wakingFailed(store: RestingStore, error: unknown): void;
  /** Reports that a store is no longer awake. */
  closed(store: RestingStore): void;
  /** Reports that a store is closed for good. */
  ended(store: RestingStore): void;
  /** Returns a number that grows with each call. */
  nextUse(): number;
}

/**
 * A store that is closed while nobody uses it, and opened again when somebody does: an open LevelDB takes four file
 * descriptors and 100 KiB, and a node may have thousands of tables. Everything that it holds is on the disk, so its
 * content is the same before and after. RestingStores decides which stores are closed.
 */
export class RestingStore implements OrderedStore {
  readonly name: string;
  readonly #opener: StoreOpener;
  /** The open store; undefined while it is at rest. */
  #store: OrderedStore | undefined;
  #waking: Promise<void> | undefined;
  /** Resolves when the store that was open last has been closed. */
  #resting: Promise<void> = Promise.resolve();
  #holders = 0;
  /**
   * The snapshots that were taken while the store was at rest. They see it as it is when it wakes, before anything is
   * written.
   */
  readonly #awaited = new Set<RestingSnapshot>();
  #wasOpen = false;
  #isClosed = false;
  /** The number of the last use of this store, among the uses of all stores. */
  lastUse = 0;

  constructor(name: string, opener: StoreOpener) {
    this.name = name;
    this.#opener = opener;
  }

  get isAwake(): boolean {
    // A store that is closed for good counts as awake, so that callers get its error instead of waking it.
    return this.#store !== undefined || this.#isClosed;
  }

  /** True when the store is awake and nobody uses it. */
  get canRest(): boolean {
    return this.#store !== undefined && this.#holders === 0 && !this.#isClosed;
  }

  /** Opens the store for the first time. */
  async open(options: { create: boolean }): Promise<void> {
    await this.#wake(options);
  }

  hold(): Promise<void> | undefined {
    this.#holders += 1;
    if (this.#store !== undefined) {
      this.lastUse = this.#opener.nextUse();
      return undefined;
    }
    return this.#wake({ create: false }).catch((error: unknown) => {
      this.#holders -= 1;
      throw error;
    });
  }

  release(): void {
    this.#holders -= 1;
  }

  /** Puts the store to rest, which is only allowed while `canRest`. Resolves when it is closed. */
  async rest(): Promise<void> {
    assert(this.canRest, 'a store that is used does not rest');
    const store = this.#store!;
    this.#store = undefined;
    this.#resting = this.#close(store);
    await this.#resting;
  }

  #wake(options: { create: boolean }): Promise<void> {
    this.#waking ??= this.#open(options).finally(() => {
      this.#waking = undefined;
    });
    return this.#waking;
  }

  async #open(options: { create: boolean }): Promise<void> {
    await this.#resting;
    if (this.#isClosed) throw this.#closedError();
    let store: OrderedStore;
    try {
      store = await this.#opener.open(this, options);
    } catch (error) {
      if (this.#wasOpen) this.#opener.wakingFailed(this, error);
      throw error;
    }
    this.#store = store;
    this.#wasOpen = true;
    this.lastUse = this.#opener.nextUse();
    for (const snapshot of this.#awaited) snapshot.native = store.snapshot();
    this.#awaited.clear();
  }

  async #close(store: OrderedStore): Promise<void> {
    await store.close();
    this.#opener.closed(this);
  }

  /** Closes the store for good. */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    // The error goes to the caller that waits for the store to wake.
    await this.#waking?.catch(() => undefined);
    await this.#resting;
    if (this.#store !== undefined) await this.#close(this.#store);
    this.#opener.ended(this);
  }

  #closedError(): StoreClosedError {
    return new StoreClosedError(new Error(`store ${this.name} is closed`));
  }

  async #use<Result>(work: (store: OrderedStore) => Promise<Result>): Promise<Result> {
    const waking = this.hold();
    if (waking !== undefined) await waking;
    try {
      return await work(this.#store!);
    } finally {
      this.release();
    }
  }

  getSync(key: Buffer, snapshot?: StoreSnapshot): Buffer | undefined {
    if (this.#store === undefined && this.#isClosed) throw this.#closedError();
    assert(this.#store !== undefined, 'a store at rest is woken before a point is read at once');
    this.lastUse = this.#opener.nextUse();
    return this.#store.getSync(key, nativeOf(snapshot));
  }

  getMany(keys: Buffer[], snapshot?: StoreSnapshot): Promise<(Buffer | undefined)[]> {
    return this.#use((store) => store.getMany(keys, nativeOf(snapshot)));
  }

  scan(options: ScanOptions): StoreScan {
    const waking = this.hold();
    const scan = waking === undefined ? this.#scan(options) : waking.then(() => this.#scan(options));
    return new RestingScan(scan, () => this.release());
  }

  #scan(options: ScanOptions): StoreScan {
    try {
      return this.#store!.scan(toNative(options));
    } catch (error) {
      this.release();
      throw error;
    }
  }

  async *count(range: RangeAsOf): AsyncGenerator<number, void, undefined> {
    const waking = this.hold();
    if (waking !== undefined) await waking;
    try {
      yield* this.#store!.count(toNative(range));
    } finally {
      this.release();
    }
  }

  async *countParts(
    range: KeyRange & { readonly snapshot: StoreSnapshot },
    partEntries: number,
  ): ReturnType<OrderedStore['countParts']> {
    const waking = this.hold();
    if (waking !== undefined) await waking;
    try {
      yield* this.#store!.countParts(toNative(range), partEntries);
    } finally {
      this.release();
    }
  }

  snapshot(): RestingSnapshot {
    const snapshot = new RestingSnapshot(() => {
      this.#awaited.delete(snapshot);
      this.release();
    });
    this.#holders += 1;
    if (this.#store !== undefined) {
      snapshot.native = this.#store.snapshot();
      return snapshot;
    }
    this.#awaited.add(snapshot);
    // The reader tries again, and gets the error then.
    if (!this.#isClosed) this.#wake({ create: false }).catch(() => undefined);
    return snapshot;
  }

  turn(): Promise<void> {
    return this.#use((store) => store.turn());
  }

  write(operations: Iterable<Operation>): Promise<void> {
    return this.#use((store) => store.write(operations));
  }

  flush(): Promise<void> {
    return this.#use((store) => store.flush());
  }

  approximateSizeBytes(range: KeyRange): Promise<number> {
    return this.#use((store) => store.approximateSizeBytes(range));
  }
}

/** A snapshot that keeps its store awake until it is closed. */
class RestingSnapshot implements StoreSnapshot {
  /** The snapshot of the store below; undefined until the store is awake. */
  native: StoreSnapshot | undefined;
  readonly #onClose: () => void;
  #isClosed = false;

  constructor(onClose: () => void) {
    this.#onClose = onClose;
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.native?.close();
    this.#onClose();
  }
}

class RestingScan implements StoreScan {
  #scan: StoreScan | Promise<StoreScan>;
  readonly #onClose: () => void;
  #isClosed = false;

  constructor(scan: StoreScan | Promise<StoreScan>, onClose: () => void) {
    this.#scan = scan;
    this.#onClose = onClose;
    // `next` rejects with the same error.
    if (scan instanceof Promise) scan.catch(() => undefined);
  }

  async next(maxEntries: number, maxBytes: number): Promise<[key: Buffer, value: Buffer][]> {
    if (this.#scan instanceof Promise) this.#scan = await this.#scan;
    return await this.#scan.next(maxEntries, maxBytes);
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    let scan: StoreScan;
    try {
      scan = await this.#scan;
    } catch {
      // The scan was never opened, so it holds nothing.
      return;
    }
    try {
      await scan.close();
    } finally {
      this.#onClose();
    }
  }
}

function nativeOf(snapshot: StoreSnapshot | undefined): StoreSnapshot | undefined {
  if (snapshot === undefined) return undefined;
  assert(
    snapshot instanceof RestingSnapshot && snapshot.native !== undefined,
    'a snapshot belongs to the store that made it, which is awake',
  );
  return snapshot.native;
}

/** Replaces the snapshot in the options by that of the store below. */
function toNative<Options extends { readonly snapshot?: StoreSnapshot }>(options: Options): Options {
  if (options.snapshot === undefined) return options;
  return { ...options, snapshot: nativeOf(options.snapshot) };
}
