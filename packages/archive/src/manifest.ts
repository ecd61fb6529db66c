import type { BaseInfo } from './base-object.js';
import { ArchiveError, archiveErrors } from './errors.js';
import type { ArchivedShard, LogExtent } from './log-object.js';
import { type ArchiveName, manifestName, parseName, type ShardKey, shardPrefix } from './names.js';
import { type ObjectStore, readWhole, type StoreCall } from './store.js';

/**
 * A shard's manifest is kept in chapters, so that what is written again after each object stays small however long the
 * archive grows: a chapter ends after 1000 objects, and a base begins one. Only pruning changes a chapter that is not
 * the newest.
 */

/** The manifest's record of a stored object. */
export interface ManifestObject {
  /** The object's whole name within the store. */
  readonly name: string;
  readonly sizeBytes: number;
  /** The object's SHA-256, in hex. */
  readonly sha256: string;
}

/** A line of the manifest, which records one stored object. */
export type ManifestEntry =
  | (ManifestObject & LogExtent & { readonly kind: 'log' })
  | (ManifestObject & { readonly kind: 'base'; readonly revision: number; readonly timeMs: number })
  | (ManifestObject & { readonly kind: 'gap'; readonly first: number; readonly last: number });

/** One chapter of the manifest, as it is stored. */
export interface ManifestChapter extends ArchivedShard {
  readonly entries: readonly ManifestEntry[];
}

const FORMAT = 1;
const ENTRIES_MAX = 1000;
/** The largest chapter that is read, in bytes: ten times the size of 1000 lines of 500 bytes, which are shorter. */
const CHAPTER_BYTES_MAX = 8 * 1024 * 1024;
const GAP_BYTES_MAX = 64 * 1024;

/** The manifest of one shard, to which the node that leads the table adds. Callers make one call at a time. */
export class ShardManifest {
  readonly #store: ObjectStore;
  readonly #shard: ArchivedShard;
  /** The number in the newest chapter's name; undefined when there is no chapter. */
  #chapter: number | undefined;
  /** The entries of the newest chapter; undefined when there is none that can be continued. */
  #entries: ManifestEntry[] | undefined;
  /** True when this copy has an entry that the store's lacks, because storing it failed. */
  #isBehind = false;

  private constructor(
    store: ObjectStore,
    shard: ArchivedShard,
    chapter: number | undefined,
    entries: readonly ManifestEntry[] | undefined,
  ) {
    this.#store = store;
    this.#shard = shard;
    this.#chapter = chapter;
    this.#entries = entries && [...entries];
  }

  /**
   * Opens a shard's manifest in order to continue its newest chapter. A damaged chapter is left as it is, and the next
   * entry begins another one. Rejects with the store's errors.
   */
  static async open(store: ObjectStore, shard: ArchivedShard, call: StoreCall): Promise<ShardManifest> {
    let newest: number | undefined;
    for await (const { name } of store.list(`${shardPrefix(shard)}manifest/`, call)) {
      const parsed = parseName(name);
      if (parsed?.kind === 'manifest') newest = Math.max(newest ?? 0, parsed.chapter);
    }
    if (newest === undefined) return new ShardManifest(store, shard, undefined, undefined);
    try {
      const { entries } = await readChapter(store, manifestName(shard, newest), call);
      return new ShardManifest(store, shard, newest, entries);
    } catch (error) {
      if (error instanceof ArchiveError && error.code === 'objectDamaged') {
        return new ShardManifest(store, shard, newest, undefined);
      }
      throw error;
    }
  }

  /**
   * The entries of the newest chapter. A base begins a chapter, so the newest base is among them, unless more than 1000
   * objects were stored after it.
   */
  get newestEntries(): readonly ManifestEntry[] {
    return this.#entries ?? [];
  }

  /**
   * Adds a stored object. When this rejects, the manifest in the store lacks the object until the next one is added.
   */
  async add(entry: ManifestEntry, call: StoreCall): Promise<void> {
    const isFull = this.#entries === undefined || this.#entries.length >= ENTRIES_MAX;
    if (isFull || entry.kind === 'base') {
      if (this.#isBehind) await this.#write(call);
      // Its name must not sort below another chapter's: leaders continue the newest one.
      this.#chapter = Math.max(firstOf(entry), (this.#chapter ?? -1) + 1);
      this.#entries = [];
    }
    this.#entries!.push(entry);
    this.#isBehind = true;
    await this.#write(call);
  }

  async #write(call: StoreCall): Promise<void> {
    const chapter = encodeChapter({ ...this.#shard, entries: this.#entries! });
    await this.#store.put(manifestName(this.#shard, this.#chapter!), chapter, call);
    this.#isBehind = false;
  }
}

function firstOf(entry: ManifestEntry): number {
  return entry.kind === 'base' ? entry.revision : entry.first;
}

/** Encodes a chapter as JSON. */
export function encodeChapter(chapter: ManifestChapter): Buffer {
  const { clusterId, shardId, table, firstIndex } = chapter;
  // One line for each entry, since people read it, too.
  const lines = chapter.entries.map((entry) => `\n${JSON.stringify(entry)}`);
  const head = JSON.stringify({ format: FORMAT, clusterId, shardId, table, firstIndex });
  return Buffer.from(`${head.slice(0, -1)},"entries":[${lines.join(',')}\n]}\n`);
}

/** Reads a chapter. Rejects with objectDamaged, and with the store's errors. */
export async function readChapter(
  store: ObjectStore,
  name: string,
  call: StoreCall,
): Promise<ManifestChapter> {
  const bytes = await readWhole(store, name, CHAPTER_BYTES_MAX, call);
  const shard = parseName(name)!.shard;
  return checkedChapter(name, shard, parseJson(name, bytes));
}

/** Parses a JSON object of the archive in the format that this version knows. Throws objectDamaged. */
function parseJson(name: string, bytes: Buffer): Readonly<Record<string, unknown>> {
  let value: unknown;
  try {
    value = JSON.parse(bytes.toString('utf8'));
  } catch (error) {
    throw archiveErrors.objectDamaged(name, 'it is no JSON', { cause: error });
  }
  if (value === null || typeof value !== 'object')
    throw archiveErrors.objectDamaged(name, 'it is no JSON object');
  const { format } = value as { format?: unknown };
  if (format !== FORMAT) {
    throw archiveErrors.objectDamaged(
      name,
      `its format is ${String(format)}, and this version knows ${FORMAT}`,
    );
  }
  return value as Readonly<Record<string, unknown>>;
}

function checkedChapter(
  name: string,
  { clusterId, shardId }: ShardKey,
  value: Readonly<Record<string, unknown>>,
): ManifestChapter {
  const { table, firstIndex, entries } = value;
  if (value['clusterId'] !== clusterId || value['shardId'] !== shardId) {
    throw archiveErrors.objectDamaged(name, 'it is that of another shard');
  }
  if (typeof table !== 'string' || !Number.isSafeInteger(firstIndex) || !Array.isArray(entries)) {
    throw archiveErrors.objectDamaged(name, 'it lacks something');
  }
  for (const entry of entries) {
    if (!isEntryOf(entry, shardId, clusterId)) {
      throw archiveErrors.objectDamaged(name, 'one of its entries is none');
    }
  }
  return { clusterId, shardId, table, firstIndex: firstIndex as number, entries: entries as ManifestEntry[] };
}

/**
 * Whether a value is a manifest's line for an object of this shard. The name says which entries an object holds, so a
 * line that says otherwise is refused.
 */
function isEntryOf(value: unknown, shardId: number, clusterId: string): value is ManifestEntry {
  if (value === null || typeof value !== 'object') return false;
  const entry = value as Readonly<Record<string, unknown>>;
  const { name, kind, sizeBytes, sha256 } = entry;
  if (typeof name !== 'string' || typeof sha256 !== 'string' || !Number.isSafeInteger(sizeBytes))
    return false;
  const parsed = parseName(name);
  if (parsed === undefined || parsed.kind !== kind) return false;
  if (parsed.shard.shardId !== shardId || parsed.shard.clusterId !== clusterId) return false;
  switch (parsed.kind) {
    case 'base':
      return entry['revision'] === parsed.revision && Number.isSafeInteger(entry['timeMs']);
    case 'log':
      return (
        entry['first'] === parsed.first &&
        entry['last'] === parsed.last &&
        Number.isSafeInteger(entry['firstTimeMs']) &&
        Number.isSafeInteger(entry['lastTimeMs'])
      );
    case 'gap':
      return entry['first'] === parsed.first && entry['last'] === parsed.last;
    case 'manifest':
      return false;
  }
}

/** Entries that were gone before they could be stored. */
export interface GapInfo extends ArchivedShard {
  readonly first: number;
  readonly last: number;
  /** When the gap was found, by the leader's clock, in milliseconds since 1970. */
  readonly timeMs: number;
}

/** Encodes the object that marks a gap, as JSON. */
export function encodeGap(gap: GapInfo): Buffer {
  const { clusterId, shardId, table, firstIndex, first, last, timeMs } = gap;
  return Buffer.from(
    `${JSON.stringify({ format: FORMAT, clusterId, shardId, table, firstIndex, first, last, timeMs })}\n`,
  );
}

/** Reads the object that marks a gap. Rejects with objectDamaged, and with the store's errors. */
export async function readGap(
  store: ObjectStore,
  { name, shard, first, last }: Extract<ArchiveName, { kind: 'gap' }>,
  call: StoreCall,
): Promise<GapInfo> {
  const value = parseJson(name, await readWhole(store, name, GAP_BYTES_MAX, call));
  const { clusterId, shardId, timeMs } = value;
  const isThis = clusterId === shard.clusterId && shardId === shard.shardId;
  if (!isThis || value['first'] !== first || value['last'] !== last || !Number.isSafeInteger(timeMs)) {
    throw archiveErrors.objectDamaged(name, 'it says something else than its name');
  }
  return value as unknown as GapInfo;
}

/** Makes the manifest's line for a log object that was stored. */
export function logEntry(object: LogExtent & ManifestObject): ManifestEntry {
  const { name, first, last, firstTimeMs, lastTimeMs, sizeBytes, sha256 } = object;
  return { kind: 'log', name, first, last, firstTimeMs, lastTimeMs, sizeBytes, sha256 };
}

/** Makes the manifest's line for a base that was stored. */
export function baseEntry(base: BaseInfo, stored: ManifestObject): ManifestEntry {
  const { name, sizeBytes, sha256 } = stored;
  return { kind: 'base', name, revision: base.revision, timeMs: base.timeMs, sizeBytes, sha256 };
}
