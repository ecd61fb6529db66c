import type { Restored, Restorer, StreamedCall } from '@coxswain/backup';
import { checkLeaderRole, type RestoreSource } from '@coxswain/backup';
import { ApiError, errors, type NodeParts, Status, type TableLog } from '@coxswain/node';
import type { maintenance } from '@coxswain/protocol';
import { type Clock, pause, type RateLimit } from '@coxswain/runtime';
import { readSnapshotRecords, SnapshotDamagedError, type SnapshotRecords } from '@coxswain/stream';
import { CommandKind } from '@coxswain/table';
import type { Archiver } from './archiver.js';
import { BaseObjectReader } from './base-object.js';
import { CountingStore } from './counting-store.js';
import { ArchiveError, type ArchiveErrorCode } from './errors.js';
import { FoldedLog } from './folded-log.js';
import { type ArchivedEntry, END_OF_SHARD } from './log-object.js';
import {
  PlanReader,
  planRestore,
  type RestoreLimit,
  type RestorePlan,
  type RestoreRequest,
  readLog,
} from './plan.js';
import type { ObjectStore } from './store.js';

const OPEN_MS = 5_000;
const PROGRESS_MS = 500;
/** How often it is looked whether the end of a log is archived by now. */
const LOOK_MS = 200;
/** An archive that fails may be about to come back. */
const PATIENCE_MS = 3_000;
/** How long it is waited for the end of the log of a table that is gone. */
const END_MS = 15_000;
const READ_BYTES_MAX = 256 * 1024;

const STATUS: Readonly<Record<ArchiveErrorCode, Status>> = {
  targetInvalid: Status.FailedPrecondition,
  credentialsMissing: Status.FailedPrecondition,
  accessDenied: Status.FailedPrecondition,
  clockWrong: Status.FailedPrecondition,
  bucketMissing: Status.FailedPrecondition,
  regionWrong: Status.FailedPrecondition,
  objectMissing: Status.FailedPrecondition,
  objectTooLarge: Status.FailedPrecondition,
  storeUnreachable: Status.Unavailable,
  certificateRefused: Status.FailedPrecondition,
  storeFailed: Status.Unavailable,
  storeFull: Status.FailedPrecondition,
  timedOut: Status.Unavailable,
  aborted: Status.Unavailable,
  objectDamaged: Status.FailedPrecondition,
  tooManyObjects: Status.FailedPrecondition,
  nothingArchived: Status.NotFound,
  ambiguous: Status.InvalidArgument,
  notReachable: Status.OutOfRange,
};

/** The archive that this node writes. */
export type WrittenArchive = Pick<Archiver, 'store' | 'flush' | 'archivedIndex' | 'errorOf' | 'isEnding'>;

export interface ArchiveRestoresOptions {
  readonly clock: Clock;
  /** Undefined: none is configured. */
  readonly archive: WrittenArchive | undefined;
  /** Of all restores of this node together, compressed. */
  readonly rate: RateLimit;
  /** At a time. Above: tooBusy. */
  readonly callsMax: number;
}

type ArchiveRestoreNode = Pick<NodeParts, 'cluster' | 'logs' | 'reports'>;

/**
 * Maintenance.RestoreArchive: a table as it was at a revision or at a moment, from a base and the log behind it, in place
 * of the table or as a new one. All that is used is checked, and nothing of it serves before all of it is there (T2).
 */
export class ArchiveRestores {
  readonly #node: ArchiveRestoreNode;
  readonly #restorer: Restorer;
  readonly #options: ArchiveRestoresOptions;
  #calls = 0;

  constructor(node: ArchiveRestoreNode, restorer: Restorer, options: ArchiveRestoresOptions) {
    this.#node = node;
    this.#restorer = restorer;
    this.#options = options;
  }

  /**
   * Tells how far it is, and at last what was reached. Errors: notForThisRole, tableNotSet, noArchive, tooBusy,
   * archiveFailed, archiveIncomplete, and those of `Restorer.restore`.
   */
  async *restore(
    request: maintenance.RestoreArchiveRequest,
    call: StreamedCall,
  ): AsyncGenerator<maintenance.RestoreArchiveProgress> {
    checkLeaderRole(this.#node.cluster.role, 'RestoreArchive');
    if (request.table.length === 0) throw errors.tableNotSet();
    const { archive } = this.#options;
    if (archive === undefined) throw errors.noArchive();
    if (this.#calls >= this.#options.callsMax) throw errors.tooBusy();
    this.#calls++;
    const aborter = new AbortController();
    const signal = AbortSignal.any([call.signal, aborter.signal]);
    const counting = new CountingStore(archive.store, this.#options.rate);
    const progress = { bytesTotal: 0 };
    try {
      const restore = this.#restore(request, { archive, counting, progress }, { ...call, signal });
      yield* this.#untilDone(restore, () => ({ bytes: counting.bytes, bytesTotal: progress.bytesTotal }));
    } catch (error) {
      throw toApiError(error);
    } finally {
      // Who leaves early breaks it off.
      aborter.abort();
      this.#calls--;
    }
  }

  async *#untilDone(
    restore: Promise<maintenance.RestoredPoint>,
    progress: () => { readonly bytes: number; readonly bytesTotal: number },
  ): AsyncGenerator<maintenance.RestoreArchiveProgress> {
    const message = (done: maintenance.RestoredPoint | undefined): maintenance.RestoreArchiveProgress => {
      const { bytes, bytesTotal } = progress();
      // An object that is read twice counts once.
      return { bytes: BigInt(Math.min(bytes, bytesTotal)), bytesTotal: BigInt(bytesTotal), done };
    };
    const aborter = new AbortController();
    const ended = restore.finally(() => aborter.abort());
    // It is waited for below, unless the caller has left: then nobody wants to know.
    ended.catch(() => undefined);
    while (!aborter.signal.aborted) {
      await pause(this.#options.clock, PROGRESS_MS, aborter.signal);
      if (!aborter.signal.aborted) yield message(undefined);
    }
    yield message(await ended);
  }

  async #restore(
    request: maintenance.RestoreArchiveRequest,
    { archive, counting, progress }: Sources,
    call: StreamedCall,
  ): Promise<maintenance.RestoredPoint> {
    const { clusterId } = this.#node.reports.status();
    const asked = toRequest(request, clusterId);
    if (asked.clusterId === clusterId) await this.#untilArchived(archive, asked, call);
    const plan = await this.#plan(archive, asked, call);
    progress.bytesTotal = plan.sizeBytes;
    const reader = new PlanReader(counting, plan);
    const into = request.into.length > 0 ? request.into.toString() : asked.table;
    const restored = request.dryRun
      ? await readAll(sourceOf(counting, plan, reader, call.signal))
      : await this.#restorer.restore(into, await foldedSourceOf(counting, plan, reader, call.signal), call);
    const { revision, timeMs } = reader.reached;
    const { leftOut } = reader;
    return {
      revision: BigInt(revision),
      timeMs: BigInt(timeMs),
      fromShardId: BigInt(plan.shard.shardId),
      shardId: BigInt(restored.shardId),
      keyCount: BigInt(restored.keyCount),
      leftOutRevision: BigInt(leftOut?.revision ?? 0),
      leftOutTimeMs: BigInt(leftOut?.timeMs ?? 0),
    };
  }

  /** The end of a shard that was deleted or replaced just now may be on its way. */
  async #plan(
    archive: WrittenArchive,
    asked: RestoreRequest,
    { signal }: StreamedCall,
  ): Promise<RestorePlan> {
    const { clock } = this.#options;
    let giveUpMs: number | undefined;
    for (;;) {
      if (signal.aborted) throw errors.requestBrokenOff();
      // As long as this node stores it there is nothing to give up.
      if (!archive.isEnding(asked.table)) {
        giveUpMs ??= clock.monotonicMs() + END_MS;
        const plan = await planRestore(archive.store, asked, { signal });
        if (!this.#isEndWanted(plan, asked) || (await hasEnd(archive.store, plan, signal))) return plan;
        if (clock.monotonicMs() >= giveUpMs) throw errors.archiveIncomplete(endMissing(plan));
      }
      await pause(clock, LOOK_MS, signal);
    }
  }

  /** A cluster knows which of its shards serve. Of others, and of other clusters, what is there is all that there is. */
  #isEndWanted({ shard }: RestorePlan, { limit }: RestoreRequest): boolean {
    const { clusterId, tables } = this.#node.reports.status();
    if (shard.clusterId !== clusterId || limit.toRevision !== undefined) return false;
    return !tables.some(({ shardId }) => shardId === shard.shardId);
  }

  /**
   * A table that is there may have been written to a moment ago: waits until all that the limit asks for is archived.
   * Without a limit that is what is applied by now.
   */
  async #untilArchived(
    archive: WrittenArchive,
    { table, shardId, limit }: RestoreRequest,
    call: StreamedCall,
  ): Promise<void> {
    const log = await this.#openLog(table, call);
    if (log === undefined || (shardId !== undefined && shardId !== log.shardId)) return;
    const { clock } = this.#options;
    const wanted = await lastWanted(log, archive.archivedIndex(log.shardId), limit, clock);
    const isArchived = (): boolean => archive.archivedIndex(log.shardId) >= wanted;
    if (isArchived()) return;
    const aborter = new AbortController();
    // Where another node archives the table its object is stored when it is old enough.
    const flushed = archive.flush(AbortSignal.any([aborter.signal, call.signal]));
    const beganMs = clock.monotonicMs();
    try {
      while (!isArchived()) {
        if (call.signal.aborted) throw errors.requestBrokenOff();
        const error = archive.errorOf(log.shardId);
        if (error !== undefined && clock.monotonicMs() - beganMs >= PATIENCE_MS) {
          throw errors.archiveFailed(Status.Unavailable, error);
        }
        await pause(clock, LOOK_MS, call.signal);
      }
    } finally {
      aborter.abort();
      await flushed;
    }
  }

  /** Undefined: there is no such table now. */
  async #openLog(table: string, call: StreamedCall): Promise<TableLog | undefined> {
    const deadlineMs = Math.min(call.deadlineMs, this.#options.clock.monotonicMs() + OPEN_MS);
    try {
      return await this.#node.logs.open(table, { deadlineMs });
    } catch (error) {
      if (error instanceof ApiError && error.status === Status.NotFound) return undefined;
      throw error;
    }
  }
}

/** What the limit asks for ends within the archive, or with the end of the shard. */
async function hasEnd(
  store: ObjectStore,
  { logs, limit, isLimitPassed }: RestorePlan,
  signal: AbortSignal,
): Promise<boolean> {
  if (isLimitPassed) return true;
  const planned = logs.at(-1);
  if (planned === undefined) return false;
  let last: ArchivedEntry | undefined;
  for await (const entries of readLog(store, planned.log, planned.told, { signal }))
    last = entries.at(-1) ?? last;
  if (last === undefined) return false;
  return last.timeMs > (limit.toTimeMs ?? last.timeMs) || last.command.equals(END_OF_SHARD);
}

function endMissing({ shard, base, logs }: RestorePlan): string {
  const last = logs.at(-1)?.last ?? base?.info.revision ?? 0;
  return `shard ${shard.shardId}, which has no table any more, is there up to revision ${last}, and what came then is still to be stored, or is lost with the node that had it: wait, or restore to revision ${last}`;
}

/** What a restore reads from. */
interface Sources {
  readonly archive: WrittenArchive;
  readonly counting: CountingStore;
  readonly progress: { bytesTotal: number };
}

function toRequest(
  request: maintenance.RestoreArchiveRequest,
  clusterId: string | undefined,
): RestoreRequest {
  const { limit } = request;
  return {
    table: request.table.toString(),
    clusterId: request.clusterId || clusterId,
    shardId: request.shardId === 0n ? undefined : Number(request.shardId),
    limit: {
      toRevision: limit?.$case === 'toRevision' ? Number(limit.value) : undefined,
      toTimeMs: limit?.$case === 'toTimeMs' ? Number(limit.value) : undefined,
    },
  };
}

/** The last entry within the limit that changes anything, above what is archived; 0: there is none. */
async function lastWanted(
  log: TableLog,
  archivedIndex: number,
  limit: RestoreLimit,
  clock: Clock,
): Promise<number> {
  const { toRevision = Number.POSITIVE_INFINITY, toTimeMs = Number.POSITIVE_INFINITY } = limit;
  const end = Math.min(log.appliedIndex, toRevision);
  let wanted = 0;
  for (let next = Math.max(archivedIndex + 1, log.firstIndex); next <= end; ) {
    for (const { index, timeMs, kind } of log.entries(next, READ_BYTES_MAX)) {
      next = index + 1;
      if (index > end || timeMs > toTimeMs) return wanted;
      if (kind === CommandKind.Command) wanted = index;
    }
    // Much may wait, and whoever else waits for the event loop comes first.
    await new Promise<void>((resolve) => clock.defer(resolve));
  }
  return wanted;
}

/** Opens the pairs of the base, and the commands of the log up to the limit. */
function sourceOf(
  store: Pick<ObjectStore, 'get'>,
  plan: RestorePlan,
  reader: PlanReader,
  signal: AbortSignal,
): Required<RestoreSource> {
  return { records: pairsOf(store, plan, signal), commands: reader.commandsAfter(0, { signal }) };
}

/**
 * Opens the same with as much of the log as can be folded among the pairs, so that only the rest is replayed. The log is
 * read first; an object of it in the middle of which the fold ends is read again for the rest.
 */
async function foldedSourceOf(
  store: Pick<ObjectStore, 'get'>,
  plan: RestorePlan,
  reader: PlanReader,
  signal: AbortSignal,
): Promise<Required<RestoreSource>> {
  const folded = new FoldedLog();
  const isWhole = await folded.fold(reader.entries({ signal }));
  const records = folded.mergedInto(pairsOf(store, plan, signal));
  return { records, commands: isWhole ? noCommands() : reader.commandsAfter(folded.lastIndex, { signal }) };
}

function pairsOf(
  store: Pick<ObjectStore, 'get'>,
  { shard, base }: RestorePlan,
  signal: AbortSignal,
): AsyncGenerator<SnapshotRecords, void, undefined> {
  if (base === undefined) return noRecords();
  const expected = { name: base.name, shard, revision: base.info.revision };
  const object = new BaseObjectReader(expected, store.get(base.name, { signal }));
  return readSnapshotRecords(object.backup());
}

async function* noCommands(): AsyncGenerator<Buffer[], void, undefined> {
  // All of them are folded.
}

async function* noRecords(): AsyncGenerator<SnapshotRecords, void, undefined> {
  // The log makes all of the table.
}

/** Checks all of it, and keeps nothing. */
async function readAll({
  records,
  commands,
}: Required<RestoreSource>): Promise<Pick<Restored, 'shardId' | 'keyCount'>> {
  for await (const _records of records);
  for await (const _commands of commands);
  return { shardId: 0, keyCount: 0 };
}

function toApiError(error: unknown): unknown {
  if (error instanceof ArchiveError) return errors.archiveFailed(STATUS[error.code], error.message);
  return error instanceof SnapshotDamagedError ? errors.restoreDamaged(error.detail) : error;
}
