import { BackupRecord } from './backup-record.js';
import { BaseObjectReader } from './base-object.js';
import { findShards, readBaseInfo, readLogHeader, type ShardFilter, type StoredBase } from './catalog.js';
import { ArchiveError } from './errors.js';
import type { ArchivedShard } from './log-object.js';
import { encodeChapter, type ManifestEntry, readChapter } from './manifest.js';
import { type ArchiveName, logPrefix, manifestName, parseName, shardPrefix } from './names.js';
import { type Run, Runs } from './runs.js';
import type { ObjectStore, StoreCall } from './store.js';

/** The part of an archive that pruning keeps. */
export interface Retention {
  /** Milliseconds for which every moment stays restorable; 0 keeps everything for ever. */
  readonly ageMs: number;
  /** The number of newest bases of each table that stay, however old they are; at least 1. */
  readonly basesMin: number;
}

/** The options for pruning. */
export interface PruneOptions {
  readonly retention: Retention;
  /** The time from which ages are counted back, in milliseconds since 1970. */
  readonly nowMs: number;
  /** True finds out what would be removed, and removes nothing. */
  readonly isDryRun: boolean;
}

/** The objects that pruning has removed of a shard, or would remove. */
export interface PrunedShard {
  readonly shard: ArchivedShard;
  readonly baseCount: number;
  readonly logCount: number;
  readonly gapCount: number;
  readonly sizeBytes: number;
  /**
   * The removed entries that no backup of the archive's log holds yet; empty when such backups are never made
   * (FlushAndBackupBinlog).
   */
  readonly unbacked: readonly Run[];
  /**
   * The base that stays as the oldest, with which the shard's archive then begins, and the time at which it was made,
   * in milliseconds since 1970; undefined when nothing is removed, or everything.
   */
  readonly oldest: { readonly revision: number; readonly timeMs: number } | undefined;
}

/** Objects that are removed at the same time. */
const DELETES_AT_A_TIME = 8;

/**
 * Removes the objects that are older than the retention allows, shard by shard. It reads a base that stays to its end
 * before it removes anything older, and keeps everything after that base. When a shard was replaced so long ago that no
 * moment within the retention needs it, all of it is removed. Pruning may break off anywhere without harm. Throws the
 * store's errors.
 */
export async function* prune(
  store: ObjectStore,
  filter: ShardFilter,
  options: PruneOptions,
  call: StoreCall,
): AsyncGenerator<PrunedShard, void, undefined> {
  const shards = await findShards(store, { ...filter, shardId: undefined }, call);
  for (const [i, shard] of shards.entries()) {
    if (filter.shardId !== undefined && shard.shardId !== filter.shardId) continue;
    const successors = shards
      .slice(i + 1)
      .filter(
        ({ clusterId, table }) => clusterId === shard.clusterId && table === shard.table && table !== '',
      );
    yield await new ShardPruning(store, shard, options, call).run(successors);
  }
}

/**
 * Prunes one shard that nothing has replaced, in the same way as `prune`. The node that archives the shard calls this.
 * Rejects with the store's errors.
 */
export async function pruneShard(
  store: ObjectStore,
  shard: ArchivedShard,
  options: PruneOptions,
  call: StoreCall,
): Promise<PrunedShard> {
  return new ShardPruning(store, shard, options, call).run([]);
}

/** A base whose description can be read, and the time at which it was made, in milliseconds since 1970. */
interface KnownBase {
  readonly base: StoredBase;
  readonly timeMs: number;
}

class ShardPruning {
  readonly #store: ObjectStore;
  readonly #shard: ArchivedShard;
  readonly #options: PruneOptions;
  readonly #call: StoreCall;
  readonly #count = { base: 0, log: 0, gap: 0, manifest: 0 };
  #sizeBytes = 0;
  readonly #unbacked = new Runs();
  /** The last entry of the shard that a backup of the archive's log holds; undefined when no such backups are made. */
  #backedUpTo: number | undefined;

  constructor(store: ObjectStore, shard: ArchivedShard, options: PruneOptions, call: StoreCall) {
    this.#store = store;
    this.#shard = shard;
    this.#options = options;
    this.#call = call;
  }

  /** `successors` are the later shards of the same table, in the order in which they replaced each other. */
  async run(successors: readonly ArchivedShard[]): Promise<PrunedShard> {
    const { ageMs, basesMin } = this.#options.retention;
    let oldest: KnownBase | undefined;
    if (ageMs > 0) {
      const { clusterId, shardId } = this.#shard;
      const backedUp = await new BackupRecord(this.#store, clusterId).read(this.#call);
      this.#backedUpTo = backedUp && (backedUp.get(shardId) ?? 0);
      const cutoffMs = this.#options.nowMs - ageMs;
      const behind: KnownBase[] = [];
      for (const successor of successors) behind.push(...(await this.#bases(successor)));
      const replacedMs = successors[0] && (await this.#beginMs(successors[0]));
      const isNeeded = replacedMs === undefined || replacedMs > cutoffMs || behind.length < basesMin;
      if (isNeeded || !(await this.#isWhole(behind.at(-1)!.base))) {
        oldest = await this.#findOldest(cutoffMs, Math.max(basesMin - behind.length, 1));
        if (oldest) await this.#removeBefore(oldest.base.revision);
      } else {
        await this.#remove(() => true);
      }
    }
    const { base: baseCount, log: logCount, gap: gapCount, manifest } = this.#count;
    const hasRemoved = baseCount + logCount + gapCount + manifest > 0;
    return {
      shard: this.#shard,
      baseCount,
      logCount,
      gapCount,
      sizeBytes: this.#sizeBytes,
      unbacked: [...this.#unbacked],
      oldest: hasRemoved && oldest ? { revision: oldest.base.revision, timeMs: oldest.timeMs } : undefined,
    };
  }

  /**
   * Finds the base that stays as the oldest: the newest whole one that is not after the cutoff, or an older one when
   * too few would stay. Resolves with undefined when nothing is to be removed.
   */
  async #findOldest(cutoffMs: number, basesMin: number): Promise<KnownBase | undefined> {
    const bases = await this.#bases(this.#shard);
    const newestBefore = bases.findLastIndex(({ timeMs }) => timeMs <= cutoffMs);
    for (let at = Math.min(newestBefore, bases.length - basesMin); at >= 0; at--) {
      const known = bases[at]!;
      // Reading the base is only worth while when something goes.
      if (at === 0 && !(await this.#hasLogBefore(known.base.revision))) return undefined;
      if (await this.#isWhole(known.base)) return known;
    }
    return undefined;
  }

  async #hasLogBefore(revision: number): Promise<boolean> {
    for await (const { name } of this.#store.list(`${shardPrefix(this.#shard)}log/`, this.#call)) {
      const parsed = parseName(name);
      if (parsed?.kind === 'log' && parsed.last <= revision) return true;
    }
    return false;
  }

  /** Returns the bases of a shard by revision, without those whose description cannot be read. */
  async #bases(shard: ArchivedShard): Promise<KnownBase[]> {
    const bases: KnownBase[] = [];
    for await (const { name, sizeBytes } of this.#store.list(`${shardPrefix(shard)}base/`, this.#call)) {
      const parsed = parseName(name);
      if (parsed?.kind !== 'base') continue;
      const info = await readBaseInfo(this.#store, parsed, this.#call);
      if (info) bases.push({ base: { ...parsed, sizeBytes }, timeMs: info.timeMs });
    }
    return bases.sort((a, b) => a.base.revision - b.base.revision);
  }

  async #isWhole({ name, shard, revision, sizeBytes }: StoredBase): Promise<boolean> {
    const content = this.#store.get(name, this.#call);
    try {
      for await (const _chunks of new BaseObjectReader(
        { name, shard, revision, sizeBytes },
        content,
      ).backup());
      return true;
    } catch (error) {
      if (error instanceof ArchiveError && error.code === 'objectDamaged') return false;
      throw error;
    }
  }

  /**
   * Returns the first moment that can be restored from a shard, in milliseconds since 1970; undefined when there is
   * none.
   */
  async #beginMs(shard: ArchivedShard): Promise<number | undefined> {
    const times = (await this.#bases(shard)).map(({ timeMs }) => timeMs);
    for await (const { name } of this.#store.list(logPrefix(shard, shard.firstIndex), this.#call)) {
      const parsed = parseName(name);
      const header = parsed?.kind === 'log' && (await readLogHeader(this.#store, parsed, this.#call));
      if (header) times.push(header.firstTimeMs);
    }
    return times.length === 0 ? undefined : Math.min(...times);
  }

  /**
   * Removes everything that a restore from the base of this revision does not need. It shortens the manifest first, so
   * that no chapter lists removed objects but the newest, which the archiving node continues.
   */
  async #removeBefore(revision: number): Promise<void> {
    const chapters: number[] = [];
    for await (const { name } of this.#store.list(`${shardPrefix(this.#shard)}manifest/`, this.#call)) {
      const parsed = parseName(name);
      if (parsed?.kind === 'manifest') chapters.push(parsed.chapter);
    }
    const newest = Math.max(-1, ...chapters);
    const goes = (object: ArchiveName | ManifestEntry): boolean => {
      if (object.kind === 'manifest') return false;
      return object.kind === 'base' ? object.revision < revision : object.last <= revision;
    };
    for (const chapter of chapters) if (chapter !== newest) await this.#shorten(chapter, goes);
    await this.#remove(goes);
  }

  async #shorten(chapter: number, goes: (entry: ManifestEntry) => boolean): Promise<void> {
    const name = manifestName(this.#shard, chapter);
    try {
      const { entries, ...shard } = await readChapter(this.#store, name, this.#call);
      const left = entries.filter((entry) => !goes(entry));
      if (left.length === entries.length || this.#options.isDryRun) return;
      if (left.length === 0) await this.#store.delete(name, this.#call);
      else await this.#store.put(name, encodeChapter({ ...shard, entries: left }), this.#call);
    } catch (error) {
      // A chapter that cannot be read lists nothing; one that is missing was removed by another pruning.
      const { code } = error as ArchiveError;
      if (code !== 'objectDamaged' && code !== 'objectMissing') throw error;
    }
  }

  async #remove(goes: (object: ArchiveName) => boolean): Promise<void> {
    let names: string[] = [];
    const removeSome = async (): Promise<void> => {
      await Promise.all(names.map((name) => this.#store.delete(name, this.#call)));
      names = [];
    };
    // Names sort so that the bases come first, and the log's objects from the oldest on: what remains has no hole,
    // wherever this breaks off.
    for await (const { name, sizeBytes } of this.#store.list(shardPrefix(this.#shard), this.#call)) {
      const parsed = parseName(name);
      if (!parsed || !goes(parsed)) continue;
      this.#count[parsed.kind]++;
      this.#sizeBytes += sizeBytes;
      const { kind } = parsed;
      if ((kind === 'log' || kind === 'gap') && parsed.last > (this.#backedUpTo ?? parsed.last)) {
        this.#unbacked.add({ first: Math.max(parsed.first, this.#backedUpTo! + 1), last: parsed.last });
      }
      if (this.#options.isDryRun) continue;
      names.push(name);
      if (names.length >= DELETES_AT_A_TIME) await removeSome();
    }
    await removeSome();
  }
}
