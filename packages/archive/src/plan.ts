import type { BaseInfo } from './base-object.js';
import {
  findShards,
  readBaseInfo,
  ShardContents,
  type Stored,
  type StoredBase,
  type StoredLog,
  showShard,
} from './catalog.js';
import { archiveErrors } from './errors.js';
import { type ArchivedEntry, type ArchivedShard, LogObjectReader } from './log-object.js';
import type { ManifestEntry } from './manifest.js';
import { logPrefix, parseName, shardPrefix } from './names.js';
import { type Run, showRun } from './runs.js';
import type { ObjectStore, StoreCall } from './store.js';

/** How far to restore: one of the two, or neither, which is as far as the archive goes. */
export interface RestoreLimit {
  /** The last revision wanted. */
  readonly toRevision?: number | undefined;
  /** Entries of that time, ms since 1970, and earlier ones. */
  readonly toTimeMs?: number | undefined;
}

/** What to restore. */
export interface RestoreRequest {
  /** The name that the table had when it was archived. */
  readonly table: string;
  /** Undefined: there is one only. */
  readonly clusterId?: string | undefined;
  /** Undefined: the one that the limit lies in, else the last of that name. */
  readonly shardId?: number | undefined;
  readonly limit: RestoreLimit;
}

/** A log object, and which of its entries are wanted. */
export interface PlannedLog extends Run {
  readonly log: StoredLog;
  readonly told: ManifestEntry | undefined;
}

/** What makes a table as it was. */
export interface RestorePlan {
  readonly shard: ArchivedShard;
  readonly limit: RestoreLimit;
  /** What it begins with; undefined: nothing, and the log begins with the shard's very first entry. */
  readonly base: PlannedBase | undefined;
  /** One behind the other, without a hole. */
  readonly logs: readonly PlannedLog[];
  /** An entry behind the limit is known, so that none within it is still to be stored. */
  readonly isLimitPassed: boolean;
  /** The first entry of a log object that is not read, since its time is later than the limit's. */
  readonly leftOut: ReachedPoint | undefined;
  /** To be read. */
  readonly sizeBytes: number;
}

/** A base, as `BaseObjectReader` expects it, and what it says of itself. */
export interface PlannedBase {
  readonly info: BaseInfo;
  readonly name: string;
  readonly sizeBytes: number;
}

/**
 * Which objects make a table as it was at a revision or at a moment. No plan crosses a hole: then the error says exactly
 * what is missing, and what can be reached. Errors: nothingArchived, ambiguous, notReachable, and the store's.
 */
export async function planRestore(
  store: ObjectStore,
  request: RestoreRequest,
  call: StoreCall,
): Promise<RestorePlan> {
  const { shard, base, successor } = await findStart(store, request, call);
  const from = base ? base.info.revision + 1 : shard.firstIndex;
  const contents = await ShardContents.load(store, shard, { from }, call);
  const { logs, isLimitPassed, leftOut } = await coverage(store, contents, from, request.limit, call);
  if (successor !== undefined && request.limit.toTimeMs !== undefined && !isLimitPassed) {
    throw archiveErrors.notReachable(
      `table "${request.table}"`,
      showLimit(request.limit),
      `shard ${shard.shardId} ended before that, and of shard ${successor.shardId}, which took its place by a restore, the archive begins with ${successor.begin}; --shard ${shard.shardId} restores the end of the other`,
    );
  }
  const logBytes = logs.reduce((sum, { log }) => sum + log.sizeBytes, 0);
  const sizeBytes = (base?.sizeBytes ?? 0) + logBytes;
  return { shard, limit: request.limit, base, logs, isLimitPassed, leftOut, sizeBytes };
}

interface Start {
  readonly shard: ArchivedShard;
  readonly base: PlannedBase | undefined;
  /**
   * The shard that took over from that one, where it was filled by a load: what it held before the archive begins is in
   * no entry, and so it is not known what the table was between the end of one and the beginning of the other (T2).
   */
  readonly successor: { readonly shardId: number; readonly begin: string } | undefined;
}

/** The newest base that is not behind the limit, of the newest shard that has one; or a shard's very first entry. */
async function findStart(store: ObjectStore, request: RestoreRequest, call: StoreCall): Promise<Start> {
  const { table, clusterId, shardId, limit } = request;
  const shards = await findShards(store, { table, clusterId, shardId }, call);
  if (shards.length === 0) throw archiveErrors.nothingArchived(store.url, table);
  const clusterIds = [...new Set(shards.map((shard) => shard.clusterId))];
  if (clusterIds.length > 1) throw archiveErrors.ambiguous(store.url, table, clusterIds);
  let first: string | undefined;
  let successor: Start['successor'];
  for (const shard of shards.reverse()) {
    let oldest: string | undefined;
    const bases = await listBases(store, shard, call);
    for (const base of bases) {
      const info = await readBaseInfo(store, base, call);
      if (!info) continue;
      if (isWithin(limit, info.revision, info.timeMs)) {
        return { shard, base: { info, name: base.name, sizeBytes: base.sizeBytes }, successor };
      }
      oldest = `revision ${info.revision}, of ${showTime(info.timeMs)}`;
      first = oldest;
    }
    const begin = await findBegin(store, shard, call);
    if (!begin) {
      if (shard.firstIndex === 0) successor = { shardId: shard.shardId, begin: oldest ?? 'nothing yet' };
      continue;
    }
    // Its time takes a look into it, which must not stand in the way where no time is asked for.
    const timeMs = limit.toTimeMs === undefined ? 0 : await readFirstTime(store, begin, call);
    if (isWithin(limit, begin.first, timeMs)) return { shard, base: undefined, successor };
    first = `revision ${begin.first}${timeMs > 0 ? `, of ${showTime(timeMs)}` : ''}`;
    successor = undefined;
  }
  throw archiveErrors.notReachable(
    `table "${table}"`,
    showLimit(limit),
    first === undefined
      ? 'there is neither a base nor the beginning of its log that can be read'
      : `the archive begins with ${first}`,
  );
}

/** The newest first. */
async function listBases(store: ObjectStore, shard: ArchivedShard, call: StoreCall): Promise<StoredBase[]> {
  const bases: Stored<'base'>[] = [];
  for await (const { name, sizeBytes } of store.list(`${shardPrefix(shard)}base/`, call)) {
    const parsed = parseName(name);
    if (parsed?.kind === 'base') bases.push({ ...parsed, sizeBytes });
  }
  return bases.sort((a, b) => b.revision - a.revision);
}

/** The object of the shard's very first entry: nothing else is needed before it. */
async function findBegin(
  store: ObjectStore,
  shard: ArchivedShard,
  call: StoreCall,
): Promise<StoredLog | undefined> {
  if (shard.firstIndex === 0) return undefined;
  for await (const { name, sizeBytes } of store.list(logPrefix(shard, shard.firstIndex), call)) {
    const parsed = parseName(name);
    if (parsed?.kind === 'log') return { ...parsed, sizeBytes };
  }
  return undefined;
}

async function readFirstTime(store: ObjectStore, log: StoredLog, call: StoreCall): Promise<number> {
  const reader = new LogObjectReader(
    { ...log, ...log.shard, sizeBytes: undefined },
    store.get(log.name, call),
  );
  return (await reader.readHeader()).firstTimeMs;
}

function isWithin({ toRevision, toTimeMs }: RestoreLimit, revision: number, timeMs: number): boolean {
  return revision <= (toRevision ?? revision) && timeMs <= (toTimeMs ?? timeMs);
}

/** The log objects that hold every entry from `from` to the limit. */
async function coverage(
  store: ObjectStore,
  contents: ShardContents,
  from: number,
  limit: RestoreLimit,
  call: StoreCall,
): Promise<Pick<RestorePlan, 'logs' | 'isLimitPassed' | 'leftOut'>> {
  const { toRevision = Number.POSITIVE_INFINITY, toTimeMs = Number.POSITIVE_INFINITY } = limit;
  const planned: PlannedLog[] = [];
  let next = from;
  let at = 0;
  while (next <= toRevision) {
    let longest: StoredLog | undefined;
    for (; at < contents.logs.length && contents.logs[at]!.first <= next; at++) {
      const log = contents.logs[at]!;
      if (log.last >= next && log.last > (longest?.last ?? 0)) longest = log;
    }
    const before = planned.at(-1);
    if (!longest) {
      const hole = { first: next, last: (contents.logs[at]?.first ?? endOf(contents, next) + 1) - 1 };
      const isEnd = hole.last < hole.first;
      if (isEnd && limit.toRevision === undefined)
        return { logs: planned, isLimitPassed: false, leftOut: undefined };
      const times = before && (await contents.logTimes(store, before.log, call));
      if (times && times.lastTimeMs > toTimeMs) break;
      throw archiveErrors.notReachable(
        showShard(contents.shard),
        showLimit(limit),
        isEnd
          ? `the archive ends with revision ${next - 1}${times ? `, of ${showTime(times.lastTimeMs)}` : ''}`
          : await describeHole(store, contents, hole, call),
      );
    }
    const told = contents.told.get(longest.name);
    if (told?.kind === 'log' && told.firstTimeMs > toTimeMs) {
      const leftOut = { revision: next, timeMs: told.firstTimeMs };
      return { logs: planned, isLimitPassed: true, leftOut };
    }
    planned.push({ log: longest, told, first: next, last: Math.min(longest.last, toRevision) });
    if (told?.kind === 'log' && told.lastTimeMs > toTimeMs) break;
    next = longest.last + 1;
  }
  return { logs: planned, isLimitPassed: true, leftOut: undefined };
}

/** The last entry that is known to have been in the archive, or to be missing; below `next` where nothing is. */
function endOf(contents: ShardContents, next: number): number {
  const lasts = [...contents.told.values(), ...contents.gaps].map((entry) =>
    entry.kind === 'base' ? 0 : entry.last,
  );
  return lasts.reduce((end, last) => Math.max(end, last), next - 1);
}

async function describeHole(
  store: ObjectStore,
  contents: ShardContents,
  hole: Run,
  call: StoreCall,
): Promise<string> {
  const isMarked = contents.gaps.some(({ first, last }) => first <= hole.last && last >= hole.first);
  const why = isMarked
    ? `${showRun(hole)} are a gap: they were gone before they could be archived (archive.max-backlog)`
    : `${showRun(hole)} are missing: objects were lost or deleted`;
  const behind = contents.bases.find(({ revision }) => revision >= hole.last);
  const timeMs = behind && (await contents.baseTimeMs(store, behind, call));
  const next =
    behind === undefined
      ? 'nothing behind them'
      : `then from the base of revision ${behind.revision}${timeMs === undefined ? '' : `, of ${showTime(timeMs)},`} on`;
  return `${why}; what can be restored is up to revision ${hole.first - 1}, and ${next}`;
}

function showLimit({ toRevision, toTimeMs }: RestoreLimit): string {
  if (toRevision !== undefined) return `revision ${toRevision}`;
  return toTimeMs === undefined ? 'its end' : showTime(toTimeMs);
}

function showTime(timeMs: number): string {
  return new Date(timeMs).toISOString();
}

/** What a restore reached. */
export interface ReachedPoint {
  readonly revision: number;
  /** Of the last entry that has a time, else of the base. */
  readonly timeMs: number;
}

/** Reads the entries of a plan in order, up to its limit. Each object is read to its end, so that all of it is checked. */
export class PlanReader {
  readonly #store: Pick<ObjectStore, 'get'>;
  readonly #plan: RestorePlan;
  #reached: ReachedPoint;
  #leftOut: ReachedPoint | undefined;

  constructor(store: Pick<ObjectStore, 'get'>, plan: RestorePlan) {
    this.#store = store;
    this.#plan = plan;
    const { revision = plan.shard.firstIndex - 1, timeMs = 0, lastTimeMs = timeMs } = plan.base?.info ?? {};
    this.#reached = { revision, timeMs: lastTimeMs };
    this.#leftOut = plan.leftOut;
  }

  /** Exact once `entries` has ended without an error. */
  get reached(): ReachedPoint {
    return this.#reached;
  }

  /**
   * The first entry that is later than the moment restored to. Undefined when the archive holds none, or the limit is a
   * revision. Exact once `entries` has ended without an error.
   */
  get leftOut(): ReachedPoint | undefined {
    return this.#leftOut;
  }

  /** Yields the commands of the entries after `index`: an internal entry has none. */
  async *commandsAfter(index: number, call: StoreCall): AsyncGenerator<Buffer[], void, undefined> {
    for await (const entries of this.entries(call, index)) {
      yield entries.map(({ command }) => command).filter(({ length }) => length > 0);
    }
  }

  /**
   * Yields the entries after `index`, some at a time. Objects that end before are not read. Errors: objectDamaged, and
   * the store's.
   */
  async *entries(call: StoreCall, index = 0): AsyncGenerator<ArchivedEntry[], void, undefined> {
    const { toTimeMs = Number.POSITIVE_INFINITY } = this.#plan.limit;
    for (const { log, told, first, last } of this.#plan.logs) {
      if (last <= index) continue;
      let isBehind = false;
      for await (const entries of readLog(this.#store, log, told, call)) {
        const wanted: ArchivedEntry[] = [];
        for (const entry of entries) {
          if (entry.index <= index || entry.index < first || entry.index > last) continue;
          if (!isBehind && entry.timeMs > toTimeMs) {
            isBehind = true;
            this.#leftOut = { revision: entry.index, timeMs: entry.timeMs };
          }
          if (isBehind) break;
          wanted.push(entry);
          this.#reach(entry);
        }
        if (wanted.length > 0) yield wanted;
      }
      if (isBehind) return;
    }
  }

  #reach({ index, timeMs }: ArchivedEntry): void {
    // What is internal belongs to no moment.
    if (this.#plan.limit.toTimeMs !== undefined && timeMs === 0) return;
    this.#reached = { revision: index, timeMs: timeMs || this.#reached.timeMs };
  }
}

/** All entries of a log object, checked against what its name and the manifest say. */
export function readLog(
  store: Pick<ObjectStore, 'get'>,
  log: StoredLog,
  told: ManifestEntry | undefined,
  call: StoreCall,
): AsyncGenerator<ArchivedEntry[], void, undefined> {
  const { sha256, sizeBytes } = told ?? {};
  const expected = { ...log, ...log.shard, sha256, sizeBytes };
  return new LogObjectReader(expected, store.get(log.name, call)).entries();
}
