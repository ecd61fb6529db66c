import {
  ApiError,
  type Call,
  errors,
  type NodeParts,
  Status,
  type TableLog,
  tableApiError,
} from '@coxswain/node';
import type { maintenance } from '@coxswain/protocol';
import { replication } from '@coxswain/protocol';
import type { Clock, Log, RateLimit } from '@coxswain/runtime';
import { type SnapshotPlace, type Table, type TableView, writeSnapshotPieces } from '@coxswain/table';
import { backupEvents } from './events.js';
import { checkLeaderRole } from './role.js';
import { noTransfers, type TransferCounters } from './transfer-counters.js';

/** Milliseconds within which the table must become readable. */
const OPEN_MS = 5_000;

/** The call of a streaming RPC, as its handler sees it. */
export interface StreamedCall extends Call {
  /** Aborted when nobody waits for the rest. */
  readonly signal: AbortSignal;
}

/** The call of Maintenance.Backup. */
export interface BackupCall extends StreamedCall {
  /** The monotonic time at which the caller gives up unless a first message has come, in milliseconds. */
  readonly openingDeadlineMs: number;
}

/** The parts of the node that backups use. */
export type BackupNode = Pick<NodeParts, 'cluster' | 'logs' | 'reports'>;

export interface BackupsOptions {
  readonly clock: Clock;
  readonly log: Log;
  /** The limit of bytes per second that all backups of this node share. */
  readonly rate: RateLimit;
  /** Backups at the same time; further ones are refused with tooBusy. */
  readonly callsMax: number;
}

/** Maintenance.Backup (docs/protocol.md §4): streams a table at one revision in chunks, below 1 MiB each. */
export class Backups {
  readonly #node: BackupNode;
  readonly #options: BackupsOptions;
  readonly #counters: TransferCounters = noTransfers();

  constructor(node: BackupNode, options: BackupsOptions) {
    this.#node = node;
    this.#options = options;
  }

  get counters(): Readonly<TransferCounters> {
    return this.#counters;
  }

  /**
   * Streams the table as it is now or, with a revision in the request, as it was then. With a key, it continues after
   * that key an earlier backup that broke off, which is possible while the table keeps its history (A5). It holds no
   * more than a chunk, at the pace of its reader. Errors: notForThisRole, tableNotSet, tableToMaintainNotFound,
   * tooBusy, backupOfAnotherShard, revisionCompacted, revisionInFuture, and those of a linearizable read.
   */
  async *backup(
    request: maintenance.BackupRequest,
    call: BackupCall,
  ): AsyncGenerator<replication.SnapshotChunk> {
    checkLeaderRole(this.#node.cluster.role, 'Backup');
    if (request.table.length === 0) throw errors.tableNotSet();
    const counters = this.#counters;
    if (counters.underWay >= this.#options.callsMax) throw errors.tooBusy();
    counters.underWay++;
    let isWhole = false;
    try {
      isWhole = yield* this.#chunks(request, call);
    } catch (error) {
      throw tableApiError(error);
    } finally {
      counters.underWay--;
      if (isWhole) counters.succeeded++;
      else counters.failed++;
    }
  }

  /** Streams the chunks and returns whether all of them were sent. */
  async *#chunks(
    request: maintenance.BackupRequest,
    call: BackupCall,
  ): AsyncGenerator<replication.SnapshotChunk, boolean> {
    const { table: name, revision, afterKey, recordBytes } = request;
    const log = await this.#open(name.toString(), call);
    const { shardId, table } = log;
    if (request.shardId !== 0n && Number(request.shardId) !== shardId) throw errors.backupOfAnotherShard();
    // A table that is replaced or deleted meanwhile is still backed up to its end.
    const release = log.hold();
    let view: TableView | undefined;
    let isWhole = false;
    try {
      view = table.view(revision === 0n ? undefined : Number(revision));
      let point: replication.BackupPoint | undefined = this.#point(shardId, table, view);
      const behind =
        afterKey.length === 0
          ? {}
          : { behind: { lastKey: afterKey, stockLoaderSumBytes: Number(recordBytes) } };
      const pieces = writeSnapshotPieces(view, { table: name, repeatsForStockLoader: true, ...behind });
      let keyCount = 0;
      for await (const { frames, place } of pieces) {
        await this.#options.rate.pay(frames.length, call.signal);
        if (call.signal.aborted) return false;
        yield chunk(frames, place, point);
        point = undefined;
        this.#counters.bytes += frames.length;
        if (place === undefined) continue;
        this.#counters.keys += place.keyCount - keyCount;
        keyCount = place.keyCount;
      }
      isWhole = true;
      return true;
    } finally {
      if (view !== undefined) {
        const kind = isWhole ? backupEvents.tableBackedUp : backupEvents.tableBackupFailed;
        this.#options.log(kind, { table: name.toString(), revision: view.revision });
      }
      view?.close();
      release();
    }
  }

  async #open(name: string, call: BackupCall): Promise<TableLog> {
    const deadlineMs = Math.min(call.openingDeadlineMs, this.#options.clock.monotonicMs() + OPEN_MS);
    try {
      return await this.#node.logs.open(name, { deadlineMs });
    } catch (error) {
      if (error instanceof ApiError && error.status === Status.NotFound)
        throw errors.tableToMaintainNotFound();
      throw error;
    }
  }

  #point(shardId: number, table: Table, view: TableView): replication.BackupPoint {
    const { revision, state } = view;
    const isNow = revision === state.revision;
    return {
      clusterId: this.#node.reports.status().clusterId ?? '',
      shardId: BigInt(shardId),
      revision: BigInt(revision),
      timeMs: isNow ? BigInt(state.lastTimeMs) : 0n,
      keyCount: BigInt(view.keyCount ?? 0),
      sizeBytes: BigInt(table.approximateSizeBytes),
    };
  }
}

function chunk(
  data: Buffer,
  place: SnapshotPlace | undefined,
  point: replication.BackupPoint | undefined,
): replication.SnapshotChunk {
  return replication.SnapshotChunk.fromPartial({
    data,
    len: BigInt(data.length),
    ...(place && {
      lastKey: place.lastKey,
      recordBytes: BigInt(place.stockLoaderSumBytes),
      keyCount: BigInt(place.keyCount),
    }),
    ...(point && { point }),
  });
}
