import { strict as assert } from 'node:assert/strict';
import { StoreClosedError, StoreDamagedError } from './errors.js';
import { compareIds, keyId, newSortedTree, type SortedTree } from './sorted-tree.js';
import type {
  KeyRange,
  Operation,
  OrderedStore,
  ScanOptions,
  StoreDirectory,
  StoreScan,
  StoreSnapshot,
} from './store.js';

const EMPTY = Buffer.alloc(0);
/** The number of entries in each part of a count. It is small, so that counts in tests have many parts. */
const COUNT_PART_ENTRIES = 10;

/** A key and its record, as they were put. Scans hand out the same pair, without a copy. */
type Pair = [key: Buffer, value: Buffer];
type Tree = SortedTree<Pair>;

/** The content of every store of a directory at one moment. */
export type StoresCopy = ReadonlyMap<string, Tree>;

/** A write that no flush has made durable yet. */
export interface UnflushedWrite {
  /** The store's name. */
  readonly store: string;
  /** The number of the write among those of the store, from 1. */
  readonly number: number;
}

/**
 * The hooks by which a simulator takes part. Each may delay its operation (by its promise) or fail it (by rejecting).
 */
export interface MemoryStoreHooks {
  /** Called before a write takes effect. A rejection fails the write, which then has no effect. */
  beforeWrite?(store: string): Promise<void>;
  /** Called after a write is visible to readers, before its promise resolves. */
  afterWrite?(store: string): Promise<void>;
  /** Called before a flush makes the writes so far durable. */
  beforeFlush?(store: string): Promise<void>;
  /** Called before a store is opened. */
  beforeOpen?(store: string): Promise<void>;
  /** Called before each answer of a scan or of a read of many keys, and in place of a turn of the event loop. */
  beforeScan?(store: string): Promise<void>;
}

/** A key and the pair that a write leaves under it; undefined when the write deletes the key. */
type Change = readonly [id: string, pair: Pair | undefined];

interface LoggedWrite {
  readonly number: number;
  readonly changes: readonly Change[];
}

/**
 * The part of a store that survives a crash: the trees that a flush made immutable, and the log, as far as it is
 * readable afterwards.
 */
class Medium {
  durable: Tree = newSortedTree<Pair>();
  current: Tree = newSortedTree<Pair>();
  log: LoggedWrite[] = [];
  writeCount = 0;
  isDamaged = false;
  opened: MemoryStore | undefined;
}

function play(tree: Tree, changes: readonly Change[]): void {
  for (const [id, pair] of changes) {
    if (pair === undefined) tree.delete(id);
    else tree.set(id, pair);
  }
}

/** Copies a write, as a real store does, since the caller may reuse its buffers. */
function toChange({ storeKey, record }: Operation): Change {
  return [keyId(storeKey), record && [Buffer.from(storeKey), Buffer.from(record)]];
}

/**
 * The stores of one simulated node. Deterministic: there is no clock and no randomness, and promises resolve in a fixed
 * order.
 */
export class MemoryStoreDirectory implements StoreDirectory {
  readonly #media = new Map<string, Medium>();
  readonly #hooks: MemoryStoreHooks;

  constructor(hooks: MemoryStoreHooks = {}) {
    this.#hooks = hooks;
  }

  async list(): Promise<string[]> {
    return [...this.#media.keys()].sort(compareIds);
  }

  async open(name: string, options: { create: boolean }): Promise<MemoryStore> {
    await this.#hooks.beforeOpen?.(name);
    let medium = this.#media.get(name);
    if (medium === undefined) {
      if (!options.create) throw new Error(`store ${name} does not exist`);
      medium = new Medium();
      this.#media.set(name, medium);
    }
    if (medium.opened !== undefined) throw new Error(`store ${name} is already open`);
    if (medium.isDamaged) throw new StoreDamagedError(name, 'a block does not match its checksum');
    medium.opened = new MemoryStore(name, medium, this.#hooks);
    return medium.opened;
  }

  async rename(from: string, to: string): Promise<void> {
    const medium = this.#media.get(from);
    if (medium === undefined) throw new Error(`store ${from} does not exist`);
    assert(medium.opened === undefined, `store ${from} must be closed before it is renamed`);
    assert(this.#media.get(to)?.opened === undefined, `store ${to} must be closed before it is replaced`);
    this.#media.delete(from);
    this.#media.set(to, medium);
  }

  async remove(name: string): Promise<void> {
    assert(this.#media.get(name)?.opened === undefined, `store ${name} must be closed before it is removed`);
    this.#media.delete(name);
  }

  /** Returns the stores as they are now, as a copy of the directory would hold them, for `putBack`. */
  copy(): StoresCopy {
    return new Map([...this.#media].map(([name, { current }]) => [name, current.clone()]));
  }

  /** Replaces all stores by an earlier copy. None may be open. */
  putBack(copy: StoresCopy): void {
    for (const [name, { opened }] of this.#media) assert(opened === undefined, `store ${name} is open`);
    this.#media.clear();
    for (const [name, tree] of copy) {
      const medium = new Medium();
      medium.durable = tree.clone();
      medium.current = tree.clone();
      this.#media.set(name, medium);
    }
  }

  /**
   * Simulates a loss of power: open stores die, and of the writes since the last flush only those remain for which
   * `survives` returns true. LevelDB may silently lose any of them, even in the middle (D4).
   */
  crash(survives: (write: UnflushedWrite) => boolean): void {
    for (const [name, medium] of this.#media) {
      medium.opened?.die();
      medium.opened = undefined;
      medium.log = medium.log.filter(({ number }) => survives({ store: name, number }));
      medium.current = medium.durable.clone();
      for (const write of medium.log) play(medium.current, write.changes);
      // Like LevelDB, recovery writes the readable part of the log into immutable files.
      medium.durable = medium.current.clone();
      medium.log = [];
    }
  }

  /** Simulates flipped bits in the durable files of a store, which can then no longer be opened. */
  damage(name: string): void {
    const medium = this.#media.get(name);
    if (medium === undefined) throw new Error(`store ${name} does not exist`);
    assert(medium.opened === undefined, `store ${name} is open`);
    medium.isDamaged = true;
  }
}

class MemorySnapshot implements StoreSnapshot {
  constructor(readonly tree: Tree) {}

  close(): void {
    // A snapshot holds nothing but memory.
  }
}

class MemoryScan implements StoreScan {
  readonly #entries: IterableIterator<[string, Pair]>;
  readonly #stopsAt: (id: string) => boolean;
  readonly #keysOnly: boolean;
  readonly #beforeScan: () => Promise<void> | undefined;
  #left: number;

  constructor(tree: Tree, options: ScanOptions, beforeScan: () => Promise<void> | undefined) {
    const first = options.gte && keyId(options.gte);
    const end = options.lt && keyId(options.lt);
    this.#keysOnly = options.keysOnly === true;
    this.#left = options.limit ?? Number.POSITIVE_INFINITY;
    this.#beforeScan = beforeScan;
    if (options.reverse === true) {
      this.#entries = tree.entriesReversed(end, undefined, true);
      this.#stopsAt = (id) => first !== undefined && id < first;
    } else {
      this.#entries = tree.entries(first);
      this.#stopsAt = (id) => end !== undefined && id >= end;
    }
  }

  async next(maxEntries: number, maxBytes: number): Promise<Pair[]> {
    await this.#beforeScan();
    const page: Pair[] = [];
    let bytes = 0;
    while (page.length < maxEntries && bytes < maxBytes && this.#left > 0) {
      const { done, value: entry } = this.#entries.next();
      if (done === true || this.#stopsAt(entry[0])) {
        this.#left = 0;
        break;
      }
      const pair: Pair = this.#keysOnly ? [entry[1][0], EMPTY] : entry[1];
      page.push(pair);
      bytes += pair[0].length + pair[1].length;
      this.#left -= 1;
    }
    return page;
  }

  async close(): Promise<void> {
    this.#left = 0;
  }
}

/** An ordered store in memory, for the simulator and for tests. Keys and values that it returns must not be changed. */
export class MemoryStore implements OrderedStore {
  readonly #name: string;
  readonly #medium: Medium;
  readonly #hooks: MemoryStoreHooks;
  #open = true;
  #writing = false;

  /** Called by MemoryStoreDirectory.open alone. */
  constructor(name: string, medium: Medium, hooks: MemoryStoreHooks) {
    this.#name = name;
    this.#medium = medium;
    this.#hooks = hooks;
  }

  readonly isAwake = true;

  hold(): undefined {
    // A store in memory stays open until it is closed.
  }

  release(): void {
    // A store in memory stays open until it is closed.
  }

  getSync(key: Buffer, snapshot?: StoreSnapshot): Buffer | undefined {
    return this.#tree(snapshot).get(keyId(key))?.[1];
  }

  async getMany(keys: Buffer[], snapshot?: StoreSnapshot): Promise<(Buffer | undefined)[]> {
    const tree = this.#tree(snapshot);
    const values = keys.map((key) => tree.get(keyId(key))?.[1]);
    await this.#hooks.beforeScan?.(this.#name);
    this.#assertOpen();
    return values;
  }

  async *count(
    range: KeyRange & { readonly snapshot?: StoreSnapshot },
  ): AsyncGenerator<number, void, undefined> {
    const scan = this.scan({ ...range, keysOnly: true });
    for (;;) {
      const { length } = await scan.next(COUNT_PART_ENTRIES, Number.MAX_SAFE_INTEGER);
      if (length === 0) return;
      yield length;
    }
  }

  async *countParts(
    range: KeyRange & { readonly snapshot: StoreSnapshot },
    partEntries: number,
  ): AsyncGenerator<{ count: number; last: Buffer }, void, undefined> {
    const scan = this.scan({ ...range, keysOnly: true });
    for (;;) {
      const page = await scan.next(partEntries, Number.MAX_SAFE_INTEGER);
      const last = page.at(-1);
      if (last === undefined) return;
      yield { count: page.length, last: last[0] };
    }
  }

  scan(options: ScanOptions): StoreScan {
    // Iterating over a clone keeps the scan at one point in time while writes continue.
    const tree = this.#tree(options.snapshot).clone();
    return new MemoryScan(tree, options, () => {
      this.#assertOpen();
      return this.#hooks.beforeScan?.(this.#name);
    });
  }

  snapshot(): MemorySnapshot {
    return new MemorySnapshot(this.#tree().clone());
  }

  async turn(): Promise<void> {
    await this.#hooks.beforeScan?.(this.#name);
    this.#assertOpen();
  }

  async write(operations: Iterable<Operation>): Promise<void> {
    this.#assertOpen();
    assert(!this.#writing, 'a write may not start before the one before it has resolved');
    this.#writing = true;
    try {
      const changes = Array.from(operations, toChange);
      await this.#hooks.beforeWrite?.(this.#name);
      this.#assertOpen();
      const medium = this.#medium;
      medium.writeCount += 1;
      medium.log.push({ number: medium.writeCount, changes });
      play(medium.current, changes);
      await this.#hooks.afterWrite?.(this.#name);
      this.#assertOpen();
    } finally {
      this.#writing = false;
    }
  }

  async flush(): Promise<void> {
    this.#assertOpen();
    const medium = this.#medium;
    const durable = medium.current.clone();
    const { writeCount } = medium;
    await this.#hooks.beforeFlush?.(this.#name);
    this.#assertOpen();
    medium.durable = durable;
    medium.log = medium.log.filter(({ number }) => number > writeCount);
  }

  async approximateSizeBytes(range: KeyRange): Promise<number> {
    this.#assertOpen();
    let bytes = 0;
    const end = range.lt && keyId(range.lt);
    for (const [id, [key, value]] of this.#medium.durable.entries(range.gte && keyId(range.gte))) {
      if (end !== undefined && id >= end) break;
      bytes += key.length + value.length;
    }
    return bytes;
  }

  async close(): Promise<void> {
    this.#open = false;
    if (this.#medium.opened === this) this.#medium.opened = undefined;
  }

  /** Closes the store as a crash of the node does: all its operations under way fail. */
  die(): void {
    this.#open = false;
  }

  #tree(snapshot?: StoreSnapshot): Tree {
    this.#assertOpen();
    if (snapshot === undefined) return this.#medium.current;
    assert(snapshot instanceof MemorySnapshot, 'a snapshot belongs to the store that made it');
    return snapshot.tree;
  }

  #assertOpen(): void {
    if (!this.#open) throw new StoreClosedError(new Error(`store ${this.#name} is closed`));
  }
}
