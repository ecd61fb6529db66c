import { readBaseInfo, readLogHeader, type StoredBase, type StoredLog } from './catalog.js';
import type { ArchivedShard } from './log-object.js';
import { parseName, shardPrefix } from './names.js';
import { type Run, Runs } from './runs.js';
import type { ObjectStore, StoreCall } from './store.js';

/**
 * The archived parts of a shard, as the names of its objects show them. Only `verifyShard` finds out whether they are
 * whole.
 */
export interface ShardOverview {
  readonly shard: ArchivedShard;
  readonly baseCount: number;
  readonly logCount: number;
  readonly sizeBytes: number;
  /** The revisions that a restore can reach. */
  readonly restorable: readonly Run[];
  /**
   * The time of the first revision that can be restored, in milliseconds since 1970; undefined when it is not known, or
   * there is none.
   */
  readonly firstTimeMs: number | undefined;
  /**
   * The time of the last revision that can be restored, in milliseconds since 1970; undefined when it is not known, or
   * there is none.
   */
  readonly lastTimeMs: number | undefined;
  /** The marked gaps: entries that were gone before they could be stored. */
  readonly gaps: readonly Run[];
}

/**
 * Describes a shard by the names of its objects, and by looking into a few of them. It holds no more than the bases and
 * the contiguous ranges. Rejects with the store's errors.
 */
export async function describeShard(
  store: ObjectStore,
  shard: ArchivedShard,
  call: StoreCall,
): Promise<ShardOverview> {
  const runs = new Runs();
  const gaps = new Runs();
  const bases: StoredBase[] = [];
  let logCount = 0;
  let sizeInAll = 0;
  let first: StoredLog | undefined;
  let last: StoredLog | undefined;
  for await (const { name, sizeBytes } of store.list(shardPrefix(shard), call)) {
    const parsed = parseName(name);
    if (!parsed || parsed.kind === 'manifest') continue;
    sizeInAll += sizeBytes;
    if (parsed.kind === 'base') bases.push({ ...parsed, sizeBytes });
    if (parsed.kind === 'gap') gaps.add(parsed);
    if (parsed.kind !== 'log') continue;
    logCount++;
    runs.add(parsed);
    const log = { ...parsed, sizeBytes };
    if (log.first === shard.firstIndex) first = log;
    if (!last || log.last > last.last) last = log;
  }
  bases.sort((a, b) => a.revision - b.revision);
  const restorable = restorableRuns(shard, bases, runs);
  const [oldest] = bases;
  const beginsWithLog = first !== undefined && restorable[0]?.first === shard.firstIndex - 1;
  const firstTimeMs = beginsWithLog
    ? (await readLogHeader(store, first!, call))?.firstTimeMs
    : oldest && (await readBaseInfo(store, oldest, call))?.timeMs;
  const newest = bases.at(-1);
  const endsWithLog = last !== undefined && last.last > (newest?.revision ?? 0);
  const lastTimeMs = endsWithLog
    ? (await readLogHeader(store, last!, call))?.lastTimeMs
    : newest && (await readBaseInfo(store, newest, call))?.timeMs;
  return {
    shard,
    baseCount: bases.length,
    logCount,
    sizeBytes: sizeInAll,
    restorable,
    firstTimeMs: firstTimeMs || undefined,
    lastTimeMs: lastTimeMs || undefined,
    gaps: [...gaps],
  };
}

/**
 * Returns the revisions that a restore can reach, in order, as runs that begin with one of the bases or with the
 * beginning of the log.
 */
export function restorableRuns(
  { firstIndex }: ArchivedShard,
  bases: readonly { readonly revision: number }[],
  log: Runs,
): Run[] {
  const restorable = new Runs();
  const starts = bases.map(({ revision }) => revision);
  if (firstIndex > 0 && log.find(firstIndex)) starts.push(firstIndex - 1);
  for (const start of starts) {
    restorable.add({ first: start, last: log.find(start + 1)?.last ?? start });
  }
  return [...restorable];
}
