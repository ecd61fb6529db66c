import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import type { ShardKey } from '@coxswain/archive';
import {
  type ArchivedEntry,
  type ArchivedShard,
  ArchiveError,
  archiveErrors,
  FoldedLog,
  LogObjectReader,
  type ObjectStore,
  type Run,
  readWhole,
  replayedStream,
  showRun,
} from '@coxswain/archive';
import { compressToFrames } from '@coxswain/stream';
import { isBackupId, partName } from './binlog-backup-names.js';

/** Bytes of the longest list of objects that is read: enough for every name that one backup may hold. */
const LIST_BYTES_MAX = 256 * 1024 * 1024;
/** Bytes of the largest mark that is read. A mark says which entries are in no backup: JSON of a few numbers. */
const MARK_BYTES_MAX = 64 * 1024;
/** Objects whose beginnings are read at the same time. */
const OPENED_AT_ONCE_MAX = 8;
const OPENING_BRACE = 0x7b;

/** One object of a backup, with the run of a shard's log entries that it holds. */
interface LogPart extends Run {
  readonly name: string;
}

/** The parts of one shard's log that the given backups hold. */
interface BackedUpShard extends ArchivedShard {
  readonly parts: LogPart[];
  /** Entries that a mark declares to be in no backup. */
  readonly gaps: Run[];
}

/** The state of a table in a full backup, after which its log continues. */
export interface LogStart {
  readonly shardId: number;
  readonly revision: number;
}

/** The entries of a table's log from one entry on, without a hole, ready to be replayed. */
export interface BackedUpLog extends Run {
  readonly shard: ArchivedShard;
  /** True when it begins with the shard's first entry, so that replaying it makes the whole table. */
  readonly isWhole: boolean;
  readonly parts: readonly LogPart[];
}

/**
 * Reads backups that FlushAndBackupBinlog made, given in the order in which they were made
 * (docs/operations-protocols.md §2). They hold logs, as MySQL's binlogs do: a table can be made from them alone when
 * they reach back to its first write, and otherwise on top of a full backup.
 */
export class BinlogBackupReader {
  readonly #store: ObjectStore;
  readonly #shards: ReadonlyMap<string, BackedUpShard>;

  private constructor(store: ObjectStore, shards: ReadonlyMap<string, BackedUpShard>) {
    this.#store = store;
    this.#shards = shards;
  }

  /**
   * Reads the list of each backup and the beginning of each object. `onProgress` gets the number of objects read so far
   * and their total. Errors: backupMissing, objectDamaged, and those of the store.
   */
  static async open(
    store: ObjectStore,
    ids: readonly string[],
    onProgress: (done: number, ofAll: number) => void = () => undefined,
  ): Promise<BinlogBackupReader> {
    const names: string[] = [];
    for (const id of ids) names.push(...(await listOf(store, id)));
    const shards = new Map<string, BackedUpShard>();
    let next = 0;
    let done = 0;
    const work = async (): Promise<void> => {
      for (let place = next++; place < names.length; place = next++) {
        await open(store, names[place]!, shards);
        onProgress(++done, names.length);
      }
    };
    await Promise.all(Array.from({ length: OPENED_AT_ONCE_MAX }, work));
    for (const { parts } of shards.values()) parts.sort((a, b) => a.first - b.first || b.last - a.last);
    return new BinlogBackupReader(store, shards);
  }

  /** The sorted names of the tables whose logs the backups hold. */
  get tables(): string[] {
    return [
      ...new Set([...this.#shards.values()].flatMap(({ table, parts }) => (parts.length > 0 ? [table] : []))),
    ].sort();
  }

  /**
   * Returns the log to replay in order to get the table in its latest backed-up state; with `after`, on top of a full
   * backup of that state. Returns undefined when the backups hold nothing newer of the table. Errors: ambiguous, and
   * backupIncomplete when entries are missing.
   */
  log(table: string, after?: LogStart): BackedUpLog | undefined {
    const shard = this.#newestShard(table);
    if (shard === undefined || shard.shardId < (after?.shardId ?? 0)) return undefined;
    // No log has the content that a shard had before its log begins: a restore filled it, or the archive was configured
    // later (T2).
    const isContinued = after?.shardId === shard.shardId;
    const begin = shard.parts[0]?.first ?? 0;
    const isWhole = !isContinued && shard.firstIndex > 0 && begin === shard.firstIndex;
    if (!isContinued && !isWhole) {
      throw archiveErrors.backupIncomplete(
        table,
        `its log begins with revision ${begin} of shard ${shard.shardId}, which is not its first: give a full backup of that shard as --dir, from coxswain backup, or the backups before these`,
      );
    }
    const first = isContinued ? after.revision + 1 : shard.firstIndex;
    const { parts, last } = withoutHole(shard, first);
    return { shard, isWhole, parts, first, last };
  }

  #newestShard(table: string): BackedUpShard | undefined {
    const shards = [...this.#shards.values()].filter(
      (shard) => shard.table === table && shard.parts.length > 0,
    );
    const clusters = [...new Set(shards.map(({ clusterId }) => clusterId))];
    if (clusters.length > 1) throw archiveErrors.ambiguous(this.#store.url, table, clusters);
    return shards.sort((a, b) => b.shardId - a.shardId)[0];
  }

  /**
   * Streams the log for `Restorer`, without the header of a stream: a log that is the whole table as pairs, as far as it
   * can be folded, and the rest as commands to replay. It reads each object to its end, so that all of it is checked.
   */
  async *stream(log: BackedUpLog): AsyncGenerator<Buffer> {
    if (!log.isWhole) {
      yield* replayedStream(this.#entries(log));
      return;
    }
    const folded = new FoldedLog();
    const isAllFolded = await folded.fold(this.#entries(log));
    for await (const { bytes } of folded.mergedInto([])) yield compressToFrames(bytes);
    yield* replayedStream(isAllFolded ? [] : this.#entries({ ...log, first: folded.lastIndex + 1 }));
  }

  async *#entries({ shard, parts, first }: BackedUpLog): AsyncGenerator<ArchivedEntry[]> {
    let next = first;
    for (const part of parts) {
      if (part.last < first) continue;
      const { clusterId, shardId } = shard;
      const expected = { ...part, clusterId, shardId };
      const content = gunzipped(this.#store, part.name);
      for await (const entries of new LogObjectReader(expected, content).entries()) {
        const wanted = entries.filter(({ index }) => index >= next);
        if (wanted.length > 0) yield wanted;
      }
      next = Math.max(next, part.last + 1);
    }
  }
}

/**
 * Returns the parts that hold every entry from `first` to the last one that any backup has or any mark names. Throws
 * backupIncomplete for a missing entry.
 */
function withoutHole(
  { table, parts, gaps }: BackedUpShard,
  first: number,
): { readonly parts: readonly LogPart[]; readonly last: number } {
  const wanted: LogPart[] = [];
  let next = first;
  const refuse = (hole: Run): never => {
    const isMarked = gaps.some((gap) => gap.first <= hole.last && gap.last >= hole.first);
    throw archiveErrors.backupIncomplete(
      table,
      isMarked
        ? `${showRun(hole)} cannot be had: no backup took them before the archive lost them: give a full backup that was made later as --dir`
        : `${showRun(hole)} cannot be had: give the backups between these, too, in the order in which they were made`,
    );
  };
  for (const part of parts) {
    if (part.last < next) continue;
    if (part.first > next) refuse({ first: next, last: part.first - 1 });
    wanted.push(part);
    next = part.last + 1;
  }
  const lost = Math.max(0, ...gaps.map(({ last }) => last));
  if (lost >= next) refuse({ first: next, last: lost });
  return { parts: wanted, last: next - 1 };
}

/** Reads the names of a backup's objects. The list is stored last, so a backup without one was never finished. */
async function listOf(store: ObjectStore, id: string): Promise<string[]> {
  if (!isBackupId(id)) throw archiveErrors.backupMissing(store.url, id);
  let list: Buffer;
  try {
    list = await readWhole(store, id, LIST_BYTES_MAX, {});
  } catch (error) {
    if (error instanceof ArchiveError && error.code === 'objectMissing') {
      throw archiveErrors.backupMissing(store.url, id);
    }
    throw error;
  }
  const names = list.length === 0 ? [] : list.toString().split('\n');
  if (names.some((name, place) => name !== partName(id, place))) {
    throw archiveErrors.objectDamaged(id, 'it does not list the objects of a backup');
  }
  return names;
}

/** Reads the beginning of an object and adds the object to its shard, as a part of the log or as a gap. */
async function open(store: ObjectStore, name: string, shards: Map<string, BackedUpShard>): Promise<void> {
  const content = gunzipped(store, name);
  const beginning = await content.next();
  const piece = beginning.done ? Buffer.alloc(0) : beginning.value;
  const whole = rejoined(piece, content);
  try {
    if (piece[0] === OPENING_BRACE) {
      const { clusterId, shardId, first, last } = await readMark(name, whole);
      shardOf(shards, { clusterId, shardId }).gaps.push({ first, last });
      return;
    }
    const { first, last, ...shard } = await new LogObjectReader({ name }, whole).readHeader();
    const found = shardOf(shards, shard);
    found.parts.push({ name, first, last });
    Object.assign(found, { table: shard.table, firstIndex: shard.firstIndex });
  } finally {
    await content.return(undefined);
  }
}

/**
 * Returns the shard's entry and adds an empty one when it is new. A mark names no table; the shard's other objects do.
 */
function shardOf(shards: Map<string, BackedUpShard>, { clusterId, shardId }: ShardKey): BackedUpShard {
  const key = `${clusterId}/${shardId}`;
  const found = shards.get(key) ?? { clusterId, shardId, table: '', firstIndex: 0, parts: [], gaps: [] };
  shards.set(key, found);
  return found;
}

async function readMark(name: string, content: AsyncIterable<Buffer>): Promise<ShardKey & Run> {
  const pieces: Buffer[] = [];
  let sizeBytes = 0;
  for await (const piece of content) {
    sizeBytes += piece.length;
    if (sizeBytes > MARK_BYTES_MAX) throw archiveErrors.objectDamaged(name, 'it is too large for a mark');
    pieces.push(piece);
  }
  let mark: Partial<ShardKey & Run> | undefined;
  try {
    mark = JSON.parse(Buffer.concat(pieces).toString()) as typeof mark;
  } catch (cause) {
    throw archiveErrors.objectDamaged(name, 'it is no JSON', { cause });
  }
  const { clusterId, shardId, first, last } = mark ?? {};
  const isMark = typeof clusterId === 'string' && [shardId, first, last].every(Number.isSafeInteger);
  if (!isMark) throw archiveErrors.objectDamaged(name, 'it is no mark of missing entries');
  return { clusterId, shardId: shardId!, first: first!, last: last! };
}

async function* rejoined(first: Buffer, rest: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  if (first.length > 0) yield first;
  yield* rest;
}

async function* gunzipped(store: ObjectStore, name: string): AsyncGenerator<Buffer, void, undefined> {
  const gunzip = createGunzip();
  const filled = pipeline(Readable.from(store.get(name, {})), gunzip);
  filled.catch(() => undefined);
  try {
    for await (const piece of gunzip) yield piece as Buffer;
    await filled;
  } catch (error) {
    const isOfGzip = String((error as NodeJS.ErrnoException).code).startsWith('Z_');
    throw isOfGzip
      ? archiveErrors.objectDamaged(name, 'it is not gzip as it was stored', { cause: error })
      : error;
  }
}
