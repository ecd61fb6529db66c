import type { Clock, Random, RateLimit } from '@coxswain/runtime';
import { type TableView, writeSnapshot } from '@coxswain/table';
import { BaseObjectReader, writeBaseObject } from './base-object.js';
import { ArchiveError } from './errors.js';
import { type ArchivedShard, LogObjectReader, LogObjectWriter } from './log-object.js';
import { baseEntry, encodeGap, logEntry, type ManifestEntry, ShardManifest } from './manifest.js';
import {
  type ArchiveName,
  baseName,
  gapName,
  HASH_DIGITS,
  logPrefix,
  parseName,
  shardPrefix,
} from './names.js';
import { type PrunedShard, pruneShard, type Retention } from './prune.js';
import type { ObjectStore, StoreCall } from './store.js';

/** The parts of the node that a shard's archive uses. */
export interface ShardArchiveEnvironment {
  readonly clock: Clock;
  readonly random: Random;
  readonly store: ObjectStore;
  /** The rate limit for bases, in compressed bytes. */
  readonly baseRate: RateLimit;
}

/** The node's knowledge of a shard's log. */
export interface KnownLog {
  /** The index up to which the cluster knows that the log is archived; 0 for nothing. */
  readonly archivedIndex: number;
  /** The index of the first entry that can still be stored. */
  readonly firstIndex: number;
}

/** The newest base of a shard, by which the next one is scheduled. */
export interface LastBase {
  readonly revision: number;
  /** When the base was made, in milliseconds since 1970. */
  readonly timeMs: number;
}

/**
 * The end of a shard's archive, to which the node that leads the table adds. Callers make one call of `putLog` or
 * `putGap` at a time, and one of `putBase`.
 */
export class ShardArchive {
  readonly #environment: ShardArchiveEnvironment;
  readonly #shard: ArchivedShard;
  readonly #manifest: ShardManifest;
  /** The last addition to the manifest: each one waits for the one before it. */
  #adding: Promise<unknown> = Promise.resolve();
  #endIndex: number;
  /** The index from which on nothing is missing, up to the end. */
  #runFirst: number;
  #lastBase: LastBase | undefined;
  #archivedTimeMs = 0;
  #gapCount: number;
  readonly #beganMs: number;

  private constructor(
    environment: ShardArchiveEnvironment,
    shard: ArchivedShard,
    manifest: ShardManifest,
    found: Found,
  ) {
    this.#environment = environment;
    this.#shard = shard;
    this.#manifest = manifest;
    this.#endIndex = found.endIndex;
    this.#runFirst = found.runFirst;
    this.#lastBase = found.lastBase;
    this.#archivedTimeMs = found.archivedTimeMs;
    this.#gapCount = found.gapCount;
    this.#beganMs = found.beganMs || environment.clock.nowMs();
  }

  /** Opens a shard's archive and finds its end. Rejects with the store's errors. */
  static async open(
    environment: ShardArchiveEnvironment,
    shard: ArchivedShard,
    known: KnownLog,
    call: StoreCall,
  ): Promise<ShardArchive> {
    const manifest = await ShardManifest.open(environment.store, shard, call);
    const found = await find(environment.store, shard, manifest.newestEntries, known, call);
    return new ShardArchive(environment, shard, manifest, found);
  }

  /** The index of the last entry that is stored, or is marked as missing; 0 when there is nothing yet. */
  get endIndex(): number {
    return this.#endIndex;
  }

  /** The time of the last stored entry, in milliseconds since 1970; 0 when it is not known here. */
  get archivedTimeMs(): number {
    return this.#archivedTimeMs;
  }

  /** The number of marked gaps: runs of entries that were gone before they could be stored. */
  get gapCount(): number {
    return this.#gapCount;
  }

  /** The newest base; undefined when there is none that can be read. */
  get lastBase(): LastBase | undefined {
    return this.#lastBase;
  }

  /**
   * The time from which on the first base becomes due, in milliseconds since 1970: that of the shard's first entry, or,
   * when that is not known, the time at which this archive was opened.
   */
  get beganMs(): number {
    return this.#beganMs;
  }

  /**
   * True when the last stored entry can be restored: nothing is missing from there back to the shard's first entry, or
   * to a base.
   */
  get isRestorable(): boolean {
    if (this.#runFirst === this.#shard.firstIndex) return true;
    return this.#lastBase !== undefined && this.#lastBase.revision >= this.#runFirst - 1;
  }

  /**
   * Makes the next run begin at `first`. The entries between the end and `first` are not needed, or are marked as a
   * gap.
   */
  beginRunAt(first: number): void {
    this.#runFirst = first;
    this.#endIndex = first - 1;
  }

  /** Begins a log object, which holds the entries from the first one after the end on. */
  beginLog(): LogObjectWriter {
    return new LogObjectWriter(this.#shard);
  }

  /**
   * Stores the entries of an object, which follow the end, and moves the end past them. When only the manifest could
   * not be written this rejects, too, but the entries are stored and the end has moved.
   */
  async putLog(writer: LogObjectWriter, call: StoreCall): Promise<void> {
    const object = await writer.finish();
    await this.#environment.store.put(object.name, object.content, call);
    this.#endIndex = object.last;
    if (object.lastTimeMs > 0) this.#archivedTimeMs = object.lastTimeMs;
    await this.#add(logEntry(object), call);
  }

  /** Marks entries that follow the end as a gap: they are gone, and were never stored. Moves the end past them. */
  async putGap(first: number, last: number, call: StoreCall): Promise<void> {
    const { clock, store } = this.#environment;
    const name = gapName(this.#shard, first, last);
    const content = encodeGap({ ...this.#shard, first, last, timeMs: clock.nowMs() });
    const stored = await store.put(name, content, call);
    this.#gapCount++;
    this.#runFirst = last + 1;
    this.#endIndex = last;
    await this.#add({ kind: 'gap', name, first, last, ...stored }, call);
  }

  /** Stores the whole table, as it is in the view, as a base. */
  async putBase(view: TableView, call: StoreCall): Promise<void> {
    const { clock, random, store } = this.#environment;
    const { revision, state } = view;
    const { lastTimeMs } = state;
    const base = { ...this.#shard, revision, timeMs: Math.max(clock.nowMs(), lastTimeMs), lastTimeMs };
    const unique = random.bytes(HASH_DIGITS / 2).toString('hex');
    const name = baseName(this.#shard, revision, unique);
    const stored = await store.put(name, writeBaseObject(base, this.#paced(view, call)), call);
    this.#lastBase = { revision, timeMs: base.timeMs };
    await this.#add(baseEntry(base, { name, ...stored }), call);
  }

  /** Removes what the retention does not keep. The gaps that were removed are not counted any more. */
  async prune(retention: Retention, call: StoreCall): Promise<PrunedShard> {
    const { clock, store } = this.#environment;
    const options = { retention, nowMs: clock.nowMs(), isDryRun: false };
    const pruned = await pruneShard(store, this.#shard, options, call);
    this.#gapCount -= pruned.gapCount;
    return pruned;
  }

  async *#paced(view: TableView, { signal }: StoreCall): AsyncGenerator<Buffer> {
    const table = Buffer.from(this.#shard.table);
    const never = new AbortController().signal;
    for await (const piece of writeSnapshot(view, { table, repeatsForStockLoader: true })) {
      await this.#environment.baseRate.pay(piece.length, signal ?? never);
      yield piece;
    }
  }

  async #add(entry: ManifestEntry, call: StoreCall): Promise<void> {
    const before = this.#adding;
    const added = before.catch(() => undefined).then(() => this.#manifest.add(entry, call));
    this.#adding = added;
    await added;
  }
}

/** The end of a shard's archive, as `find` found it. */
interface Found {
  readonly endIndex: number;
  readonly runFirst: number;
  readonly lastBase: LastBase | undefined;
  readonly archivedTimeMs: number;
  readonly gapCount: number;
  /** The time of the shard's first entry, in milliseconds since 1970; 0 when it is not needed, or not known. */
  readonly beganMs: number;
}

/**
 * Finds the end of an archive, as the newest chapter of the manifest records it. The cluster may know of more: when a
 * deposed leader put an older chapter in place of the newest, or when the store was put back to an earlier state. Then
 * the entries that the log still has are stored once more. When the log lacks some of them the archive may lack them,
 * too, and a run begins after all that the cluster knows of.
 */
async function find(
  store: ObjectStore,
  shard: ArchivedShard,
  newest: readonly ManifestEntry[],
  { archivedIndex, firstIndex }: KnownLog,
  call: StoreCall,
): Promise<Found> {
  const gaps = await named(store, `${shardPrefix(shard)}gaps/`, 'gap', call);
  const lastBase = await findLastBase(store, shard, newest, call);
  let endIndex = 0;
  let archivedTimeMs = 0;
  for (const entry of newest) {
    if (entry.kind !== 'base') endIndex = Math.max(endIndex, entry.last);
    if (entry.kind === 'log') archivedTimeMs = Math.max(archivedTimeMs, entry.lastTimeMs);
  }
  const facts = { lastBase, archivedTimeMs, gapCount: gaps.length, beganMs: 0 };
  const beginAt = (first: number): Found => ({ ...facts, endIndex: first - 1, runFirst: first });
  // A chapter that a base begins does not list the log before it, which the cluster knows of.
  if (endIndex === 0 && newest.length > 0) endIndex = archivedIndex;
  // Nothing is stored, or nobody knows what: all that the log has is stored, maybe once more.
  if (endIndex === 0) return beginAt(Math.max(shard.firstIndex, firstIndex));
  if (endIndex < archivedIndex && firstIndex > endIndex + 1) return beginAt(archivedIndex + 1);
  const gapEnd = gaps.reduce((end, { last }) => Math.max(end, last), 0);
  if (gapEnd > 0) return { ...facts, endIndex, runFirst: gapEnd + 1 };
  // Retention removes the oldest objects, so the stored ones begin with a base, or with the shard's first entry.
  if (lastBase !== undefined) return { ...facts, endIndex, runFirst: lastBase.revision + 1 };
  const beganMs = await findBegin(store, shard, call);
  if (beganMs === undefined) return beginAt(endIndex + 1);
  return { ...facts, endIndex, runFirst: shard.firstIndex, beganMs };
}

/**
 * Returns when the shard's first entry was stamped, in milliseconds since 1970; undefined when that entry is not
 * stored.
 */
async function findBegin(
  store: ObjectStore,
  shard: ArchivedShard,
  call: StoreCall,
): Promise<number | undefined> {
  if (shard.firstIndex === 0) return undefined;
  const [first] = await named(store, logPrefix(shard, shard.firstIndex), 'log', call);
  if (first === undefined) return undefined;
  const expected = { ...first, ...first.shard };
  return await unlessDamaged(async () => {
    const { firstTimeMs } = await new LogObjectReader(expected, store.get(first.name, call)).readHeader();
    return firstTimeMs;
  });
}

/** Returns the newest base that can be read; undefined when there is none. */
async function findLastBase(
  store: ObjectStore,
  shard: ArchivedShard,
  newest: readonly ManifestEntry[],
  call: StoreCall,
): Promise<LastBase | undefined> {
  const bases = await named(store, `${shardPrefix(shard)}base/`, 'base', call);
  for (const { name, revision } of bases.reverse()) {
    const told = newest.find((entry) => entry.name === name);
    if (told?.kind === 'base') return { revision, timeMs: told.timeMs };
    const timeMs = await unlessDamaged(async () => {
      const content = store.get(name, call);
      return (await new BaseObjectReader({ name, shard, revision }, content).readInfo()).timeMs;
    });
    if (timeMs !== undefined) return { revision, timeMs };
  }
  return undefined;
}

/** Runs a read, and resolves with undefined when the object is damaged or was removed. */
async function unlessDamaged<T>(read: () => Promise<T>): Promise<T | undefined> {
  try {
    return await read();
  } catch (error) {
    if (!(error instanceof ArchiveError)) throw error;
    if (error.code !== 'objectDamaged' && error.code !== 'objectMissing') throw error;
    return undefined;
  }
}

/**
 * Returns the objects of a kind whose names begin with `prefix`, in the order of their names, whatever the store's
 * order is.
 */
async function named<Kind extends ArchiveName['kind']>(
  store: ObjectStore,
  prefix: string,
  kind: Kind,
  call: StoreCall,
): Promise<Extract<ArchiveName, { kind: Kind }>[]> {
  const names: Extract<ArchiveName, { kind: Kind }>[] = [];
  for await (const { name } of store.list(prefix, call)) {
    const parsed = parseName(name);
    if (parsed?.kind === kind) names.push(parsed as Extract<ArchiveName, { kind: Kind }>);
  }
  return names.sort((a, b) => (a.name < b.name ? -1 : 1));
}
