import { createHash } from 'node:crypto';
import { backupFileNames } from '@coxswain/backup';
import type { Call, NodeParts, TableInfo, TableLog } from '@coxswain/node';
import { ApiError, Status, tableApiError } from '@coxswain/node';
import type { Clock } from '@coxswain/runtime';
import { writeSnapshot } from '@coxswain/table';
import type { BackupRequest } from './agent-request.js';
import { AgentRequestError } from './key-value-block.js';
import { logRecords, reaches } from './log-records.js';
import { clusterMark, formatSessionId } from './session-id.js';
import { type TarFile, writeTar } from './tar.js';

/** Tables that are opened at the same time. For each, the node asks the table's leader for its position. */
const OPENINGS_MAX = 32;
const EXTENSION = '.bak';
/** The extension of a file of changes; as long as the other one, so that both leave as much room for the name. */
const LOG_EXTENSION = '.log';

/** The parts of the node that a backup uses. `Node` implements them. */
export type AgentNode = Pick<NodeParts, 'tables' | 'cluster' | 'logs' | 'reports'>;

/** A table that is held at one point in time until it is released. */
interface HeldTable extends TableInfo {
  readonly point: {
    readonly revision: number;
    readonly timeMs: number;
    /** The index of the log after which a follower cluster continues from this backup. */
    readonly leaderIndex: number;
  };
  /** For a backup of level 1: the revision after which its changes begin; undefined for a full backup. */
  readonly baseRevision: number | undefined;
  /** Streams the table's file; every call streams the same bytes. */
  content(): AsyncIterable<Buffer>;
  /** Releases the table; calling it twice is harmless. */
  release(): void;
}

/** A table whose file has been generated once, to learn its size and hash. */
interface MeasuredTable extends HeldTable {
  readonly md5: string;
  readonly sizeBytes: number;
}

/**
 * Makes a backup directory of all tables as a tar. Each table is held at one point in time from the beginning on. A tar
 * states the size of a file before its content, so each file is generated twice: once to be measured, and once to be
 * sent. That costs the time to read it again, but neither memory nor disk, whatever the table's size; both passes read
 * the same view, so they give the same bytes. All files are measured before the first is sent: a client gives up when
 * nothing comes for 30 s within the stream, and must hear of unreadable data before the stream begins. The manifest
 * comes last, so a tar that has it is complete.
 */
export class AgentBackup {
  /**
   * The session id, which a later backup of level 1 names to get the changes since this one; undefined when there are
   * too many tables for one.
   */
  readonly sid: string | undefined;
  readonly #tables: readonly MeasuredTable[];
  readonly #request: BackupRequest;
  readonly #clusterId: string;
  readonly #startedMs: number;
  readonly #clock: Clock;

  private constructor(
    tables: readonly MeasuredTable[],
    request: BackupRequest,
    {
      clusterId,
      clock,
      startedMs,
    }: { readonly clusterId: string; readonly clock: Clock; readonly startedMs: number },
  ) {
    this.#tables = tables;
    this.#request = request;
    this.#clusterId = clusterId;
    this.#clock = clock;
    this.#startedMs = startedMs;
    this.sid = formatSessionId({
      cluster: clusterMark(clusterId),
      revisions: new Map(tables.map(({ shardId, point }) => [shardId, point.revision])),
    });
  }

  /**
   * Holds every table and measures its file; the call's deadline is for the first, the signal for both. The caller must
   * close the backup. Rejects with AgentRequestError for a backup that cannot be made, with the node's errors, with
   * LogGoneError when a log was compacted meanwhile, and with the signal's reason.
   */
  static async open(
    node: AgentNode,
    request: BackupRequest,
    { clock, call, signal }: { readonly clock: Clock; readonly call: Call; readonly signal: AbortSignal },
  ): Promise<AgentBackup> {
    const startedMs = clock.nowMs();
    const { clusterId } = node.reports.status();
    if (clusterId === undefined || node.cluster.role === undefined) {
      throw new AgentRequestError('this node does not know its cluster yet: try again later');
    }
    const { since } = request;
    if (since !== undefined && node.cluster.role !== 'leader') {
      throw new AgentRequestError(
        'a follower cluster makes full backups only: use backup-level=0, or ask the leader cluster',
      );
    }
    if (since !== undefined && since.cluster !== clusterMark(clusterId)) {
      throw new AgentRequestError(
        'the sid is of a backup of another cluster: make a full backup (backup-level=0)',
      );
    }
    const held: HeldTable[] = [];
    const measured: MeasuredTable[] = [];
    try {
      const infos = await node.tables.list(call);
      for (let at = 0; at < infos.length; at += OPENINGS_MAX) {
        const opened = infos
          .slice(at, at + OPENINGS_MAX)
          .map((info) => hold(node, info, since?.revisions.get(info.shardId), clock, call));
        const settled = await Promise.allSettled(opened);
        for (const result of settled) {
          if (result.status === 'fulfilled' && result.value !== undefined) held.push(result.value);
        }
        const failed = settled.find((result) => result.status === 'rejected');
        if (failed !== undefined) throw failed.reason;
      }
      for (const table of held) measured.push({ ...table, ...(await measure(table.content(), signal)) });
    } catch (error) {
      for (const table of held) table.release();
      throw error;
    }
    return new AgentBackup(measured, request, { clusterId, clock, startedMs });
  }

  /** The number of tables that the backup holds in full, and of those of which it holds only the changes. */
  get tableCounts(): { readonly full: number; readonly incremental: number } {
    const incremental = this.#tables.filter(({ baseRevision }) => baseRevision !== undefined).length;
    return { full: this.#tables.length - incremental, incremental };
  }

  /** The number of files, including the manifest. */
  get fileCount(): number {
    return this.#tables.length + 1;
  }

  /**
   * Streams the tar at the pace of its reader, holding at most a chunk of it. Throws LogGoneError when a log was
   * compacted meanwhile.
   */
  tar(): AsyncGenerator<Buffer> {
    return writeTar(this.#files());
  }

  /** Releases every table that is still held. */
  close(): void {
    for (const table of this.#tables) table.release();
  }

  async *#files(): AsyncGenerator<TarFile> {
    const { directory, isForReplication } = this.#request;
    const prefix = directory === '' ? '' : `${directory}/`;
    const tables: object[] = [];
    const names = this.#tables.map(({ name }) => name);
    const fileNames = backupFileNames(names, EXTENSION);
    for (const table of this.#tables) {
      const { name, shardId, point, baseRevision, md5, sizeBytes } = table;
      const fileName = `${fileNames.get(name)}${baseRevision === undefined ? EXTENSION : LOG_EXTENSION}`;
      tables.push({
        name,
        file_name: fileName,
        md5,
        type: baseRevision === undefined ? 'FULL' : 'INCREMENTAL',
        ...(baseRevision !== undefined && { base_revision: baseRevision }),
        cluster_id: this.#clusterId,
        shard_id: shardId,
        revision: point.revision,
        time: rfc3339(point.timeMs),
        ...(isForReplication && { leader_index: point.leaderIndex }),
      });
      yield { name: prefix + fileName, sizeBytes, modifiedMs: this.#startedMs, content: table.content() };
      // This file is sent, so its table may be dropped from now on.
      table.release();
    }
    const manifest = {
      started: rfc3339(this.#startedMs),
      finished: rfc3339(this.#clock.nowMs()),
      ...(this.sid !== undefined && { sid: this.sid }),
      tables,
    };
    const bytes = Buffer.from(`${JSON.stringify(manifest, null, 2)}\n`);
    yield {
      name: `${prefix}manifest.json`,
      sizeBytes: bytes.length,
      modifiedMs: this.#startedMs,
      content: [bytes],
    };
  }
}

/** Holds a table as of now; undefined when it was deleted meanwhile. */
async function hold(
  node: AgentNode,
  info: TableInfo,
  baseRevision: number | undefined,
  clock: Clock,
  call: Call,
): Promise<HeldTable | undefined> {
  try {
    const log = await node.logs.open(info.name, call);
    const table = { ...info, shardId: log.shardId };
    // The sid names another shard when the table was replaced: revisions of the two cannot be compared (T1).
    const isSameShard = log.shardId === info.shardId;
    const after = isSameShard ? baseRevision : undefined;
    const release = log.hold();
    try {
      const changes = after === undefined ? undefined : holdLog(table, log, after, release, clock);
      return changes ?? holdView(table, log, release);
    } catch (error) {
      release();
      throw tableApiError(error);
    }
  } catch (error) {
    if (error instanceof ApiError && error.status === Status.NotFound) return undefined;
    throw error;
  }
}

/**
 * Holds the changes after `after`; undefined when the log does not have them all, so that the table comes in full and
 * nothing is ever missing.
 */
function holdLog(
  table: TableInfo,
  log: TableLog,
  after: number,
  release: () => void,
  clock: Clock,
): HeldTable | undefined {
  const upTo = log.appliedIndex;
  if (after > upTo || !reaches(log, after)) return undefined;
  const timeMs = log.table.lastTimeMs;
  return {
    ...table,
    baseRevision: after,
    point: { revision: upTo, timeMs, leaderIndex: upTo },
    content: () => logRecords(log, { after, upTo }, clock),
    release,
  };
}

function holdView(table: TableInfo, log: TableLog, release: () => void): HeldTable {
  const view = log.table.view();
  const { revision, lastTimeMs, leaderIndex, appliedIndex } = view.state;
  return {
    ...table,
    baseRevision: undefined,
    point: { revision, timeMs: lastTimeMs, leaderIndex: leaderIndex ?? appliedIndex },
    content: () => writeSnapshot(view, { table: Buffer.from(table.name), repeatsForStockLoader: true }),
    release: () => {
      view.close();
      release();
    },
  };
}

/** Reads a file's content once, for its size and its MD5 in hex. Rejects with the signal's reason. */
async function measure(
  content: AsyncIterable<Buffer>,
  signal: AbortSignal,
): Promise<{ md5: string; sizeBytes: number }> {
  const hash = createHash('md5');
  let sizeBytes = 0;
  for await (const chunk of content) {
    // Measuring may take minutes, in which nothing is sent: the client may leave meanwhile.
    signal.throwIfAborted();
    hash.update(chunk);
    sizeBytes += chunk.length;
  }
  return { md5: hash.digest('hex'), sizeBytes };
}

function rfc3339(timeMs: number): string {
  return new Date(timeMs).toISOString();
}
