import { BaseObjectReader } from './base-object.js';
import { ArchiveError, archiveErrors } from './errors.js';
import { type ArchivedShard, LogObjectReader } from './log-object.js';
import { type ManifestChapter, type ManifestEntry, readChapter } from './manifest.js';
import {
  type ArchiveName,
  isClusterId,
  manifestName,
  parseName,
  type ShardKey,
  shardPrefix,
} from './names.js';
import { Runs } from './runs.js';
import type { ObjectStore, StoreCall } from './store.js';

/** An object in the listing of a store, with the parts of its name. */
export type Stored<Kind extends ArchiveName['kind']> = Extract<ArchiveName, { kind: Kind }> & {
  readonly sizeBytes: number;
};

/** A log object in the listing of a store. */
export type StoredLog = Stored<'log'>;
/** A base in the listing of a store. */
export type StoredBase = Stored<'base'>;
/** A gap's object in the listing of a store. */
export type StoredGap = Stored<'gap'>;

/** Selects shards of an archive; a property that is undefined selects all. */
export interface ShardFilter {
  readonly clusterId?: string | undefined;
  readonly table?: string | undefined;
  readonly shardId?: number | undefined;
}

/** The most objects of one shard that are held in memory. */
const OBJECTS_MAX = 1_000_000;

/**
 * Returns the shards of an archive that the filter selects; those of a cluster are in the order of their ids, in which
 * they were made. Rejects with the store's errors.
 */
export async function findShards(
  store: ObjectStore,
  filter: ShardFilter,
  call: StoreCall,
): Promise<ArchivedShard[]> {
  const clusterIds: string[] = [];
  if (filter.clusterId !== undefined) clusterIds.push(filter.clusterId);
  else for await (const folder of store.folders('', call)) clusterIds.push(folder);
  const shards: ArchivedShard[] = [];
  for (const clusterId of clusterIds.filter(isClusterId).sort()) {
    for (const shardId of await shardIds(store, clusterId, call)) {
      if (filter.shardId !== undefined && shardId !== filter.shardId) continue;
      const shard = await identify(store, { clusterId, shardId }, call);
      if (filter.table === undefined || shard.table === filter.table) shards.push(shard);
    }
  }
  return shards;
}

async function shardIds(store: ObjectStore, clusterId: string, call: StoreCall): Promise<number[]> {
  const ids: number[] = [];
  for await (const folder of store.folders(`${clusterId}/`, call)) {
    if (/^[1-9]\d{0,15}$/.test(folder)) ids.push(Number(folder));
  }
  return ids.filter(Number.isSafeInteger).sort((a, b) => a - b);
}

/**
 * Finds out whose shard it is: as the newest readable chapter of its manifest says, or, without one, any readable
 * object. When there is none either, the name of the table is empty.
 */
async function identify(store: ObjectStore, key: ShardKey, call: StoreCall): Promise<ArchivedShard> {
  const chapters: number[] = [];
  for await (const { name } of store.list(`${shardPrefix(key)}manifest/`, call)) {
    const parsed = parseName(name);
    if (parsed?.kind === 'manifest') chapters.push(parsed.chapter);
  }
  for (const chapter of chapters.sort((a, b) => b - a)) {
    const read = await unlessDamaged(() => readChapter(store, manifestName(key, chapter), call));
    if (read) return { ...key, table: read.table, firstIndex: read.firstIndex };
  }
  for await (const { name } of store.list(shardPrefix(key), call)) {
    const parsed = parseName(name);
    const said =
      parsed?.kind === 'base'
        ? await readBaseInfo(store, parsed, call)
        : parsed?.kind === 'log' && (await readLogHeader(store, parsed, call));
    if (said) return { ...key, table: said.table, firstIndex: said.firstIndex };
  }
  return { ...key, table: '', firstIndex: 0 };
}

/** Reads the description of a base. Resolves with undefined when the object is damaged or has been removed. */
export async function readBaseInfo(
  store: ObjectStore,
  { name, shard, revision }: Extract<ArchiveName, { kind: 'base' }>,
  call: StoreCall,
): ReturnType<typeof unlessDamaged<Awaited<ReturnType<BaseObjectReader['readInfo']>>>> {
  return unlessDamaged(() =>
    new BaseObjectReader({ name, shard, revision }, store.get(name, call)).readInfo(),
  );
}

/** Reads the header of a log object. Resolves with undefined when the object is damaged or has been removed. */
export async function readLogHeader(
  store: ObjectStore,
  log: Extract<ArchiveName, { kind: 'log' }>,
  call: StoreCall,
): ReturnType<typeof unlessDamaged<Awaited<ReturnType<LogObjectReader['readHeader']>>>> {
  return unlessDamaged(() =>
    new LogObjectReader({ ...log, ...log.shard }, store.get(log.name, call)).readHeader(),
  );
}

/** Runs a read, and resolves with undefined when the object is damaged or was pruned meanwhile. */
async function unlessDamaged<T>(read: () => Promise<T>): Promise<T | undefined> {
  try {
    return await read();
  } catch (error) {
    if (!(error instanceof ArchiveError)) throw error;
    if (error.code !== 'objectDamaged' && error.code !== 'objectMissing') throw error;
    return undefined;
  }
}

/** Selects the part of a shard's contents to load. */
export interface ContentsOptions {
  /**
   * Log objects of which every entry is below this index are left out, and so are chapters of the manifest that cover
   * only such objects.
   */
  readonly from: number;
}

/**
 * The contents of a shard: the listing of its objects, and the manifest's records of them. An object counts as present
 * when it is in the listing, even if the manifest lacks it.
 */
export class ShardContents {
  readonly shard: ArchivedShard;
  /** The log objects, sorted by their first entry; of those that begin alike, the longest comes first. */
  readonly logs: readonly StoredLog[];
  /** The bases, sorted by revision. */
  readonly bases: readonly StoredBase[];
  /** The gaps, sorted by their first entry. */
  readonly gaps: readonly StoredGap[];
  /** The manifest's records of objects, by the object's name. */
  readonly told: ReadonlyMap<string, ManifestEntry>;
  /** The chapters of the manifest in order, by their first index, including those that `from` left out. */
  readonly chapters: readonly number[];
  /** The errors of the chapters that cannot be read. */
  readonly chapterErrors: readonly ArchiveError[];
  /** The runs of entries that the log objects hold. */
  readonly runs = new Runs();

  private constructor(
    shard: ArchivedShard,
    listing: Listing,
    told: ReadonlyMap<string, ManifestEntry>,
    chapterErrors: readonly ArchiveError[],
  ) {
    this.shard = shard;
    this.logs = listing.logs.sort((a, b) => a.first - b.first || b.last - a.last);
    this.bases = listing.bases.sort((a, b) => a.revision - b.revision);
    this.gaps = listing.gaps.sort((a, b) => a.first - b.first);
    this.chapters = listing.chapters;
    this.told = told;
    this.chapterErrors = chapterErrors;
    for (const log of this.logs) this.runs.add(log);
  }

  /**
   * Loads the contents of a shard. Rejects with tooManyObjects above a million objects, and with the store's errors.
   */
  static async load(
    store: ObjectStore,
    shard: ArchivedShard,
    options: ContentsOptions,
    call: StoreCall,
  ): Promise<ShardContents> {
    // The manifest is read first: an object stored meanwhile is in the listing, and so none seems lost.
    const { told, chapters, errors } = await readManifest(store, shard, options, call);
    const listing = await readListing(store, shard, options, call);
    return new ShardContents(shard, { ...listing, chapters }, told, errors);
  }

  /** Returns the manifest's records of objects that are gone. */
  lost(): ManifestEntry[] {
    const names = new Set([...this.logs, ...this.bases, ...this.gaps].map(({ name }) => name));
    return [...this.told.values()].filter(({ name }) => !names.has(name));
  }

  /**
   * Returns when a base was made, in milliseconds since 1970, as the manifest says, or else the base itself. Resolves
   * with undefined when that cannot be read.
   */
  async baseTimeMs(store: ObjectStore, base: StoredBase, call: StoreCall): Promise<number | undefined> {
    const told = this.told.get(base.name);
    if (told?.kind === 'base') return told.timeMs;
    return (await readBaseInfo(store, base, call))?.timeMs;
  }

  /**
   * Returns the times of the first and of the last entry of a log object that have one, in milliseconds since 1970, as
   * the manifest says, or else the object itself. Resolves with undefined when that cannot be read.
   */
  async logTimes(
    store: ObjectStore,
    log: StoredLog,
    call: StoreCall,
  ): Promise<{ readonly firstTimeMs: number; readonly lastTimeMs: number } | undefined> {
    const told = this.told.get(log.name);
    if (told?.kind === 'log') return told;
    return readLogHeader(store, log, call);
  }
}

interface Listing {
  readonly logs: StoredLog[];
  readonly bases: StoredBase[];
  readonly gaps: StoredGap[];
  readonly chapters: readonly number[];
}

async function readListing(
  store: ObjectStore,
  shard: ArchivedShard,
  { from }: ContentsOptions,
  call: StoreCall,
): Promise<Omit<Listing, 'chapters'>> {
  const logs: StoredLog[] = [];
  const bases: StoredBase[] = [];
  const gaps: StoredGap[] = [];
  for await (const { name, sizeBytes } of store.list(shardPrefix(shard), call)) {
    const parsed = parseName(name);
    if (parsed?.kind === 'base') bases.push({ ...parsed, sizeBytes });
    else if (parsed?.kind === 'gap') gaps.push({ ...parsed, sizeBytes });
    else if (parsed?.kind === 'log' && parsed.last >= from) logs.push({ ...parsed, sizeBytes });
    checkCount(shard, logs.length + bases.length + gaps.length);
  }
  return { logs, bases, gaps };
}

async function readManifest(
  store: ObjectStore,
  shard: ArchivedShard,
  { from }: ContentsOptions,
  call: StoreCall,
): Promise<{ told: Map<string, ManifestEntry>; chapters: number[]; errors: ArchiveError[] }> {
  const chapters: number[] = [];
  for await (const { name } of store.list(`${shardPrefix(shard)}manifest/`, call)) {
    const parsed = parseName(name);
    if (parsed?.kind === 'manifest') chapters.push(parsed.chapter);
  }
  chapters.sort((a, b) => a - b);
  const told = new Map<string, ManifestEntry>();
  const errors: ArchiveError[] = [];
  // A chapter covers the objects from the index in its name up to the next chapter.
  const read = chapters.filter((_, i) => (chapters[i + 1] ?? Number.POSITIVE_INFINITY) > from);
  for (const chapter of read) {
    try {
      const { entries }: ManifestChapter = await readChapter(store, manifestName(shard, chapter), call);
      for (const entry of entries) told.set(entry.name, entry);
    } catch (error) {
      if (!(error instanceof ArchiveError) || error.code === 'aborted') throw error;
      if (error.code === 'objectDamaged') errors.push(error);
      // It was pruned meanwhile.
      else if (error.code !== 'objectMissing') throw error;
    }
    checkCount(shard, told.size);
  }
  return { told, chapters, errors };
}

function checkCount(shard: ArchivedShard, count: number): void {
  if (count > OBJECTS_MAX) throw archiveErrors.tooManyObjects(showShard(shard), OBJECTS_MAX);
}

/** Names a shard in messages. */
export function showShard({ table, shardId }: ArchivedShard): string {
  return table === '' ? `shard ${shardId}` : `table "${table}" (shard ${shardId})`;
}
