import { createHash } from 'node:crypto';
import type { ObjectStore, S3Options, StoreCall } from '@coxswain/archive';
import {
  ArchiveError,
  type ArchiveName,
  archiveErrors,
  BackupRecord,
  HASH_DIGITS,
  parseName,
  Runs,
  type ShardKey,
} from '@coxswain/archive';
import { checkLeaderRole } from '@coxswain/backup';
import { type Call, errors, type NodeParts } from '@coxswain/node';
import type { moco } from '@coxswain/protocol';
import { type Clock, type Log, pause } from '@coxswain/runtime';
import { CommandKind } from '@coxswain/table';
import { agentEvents } from '../events.js';
import { gzipped } from '../gzip.js';
import { isBackupId, partName } from './binlog-backup-names.js';
import type { OneAtATime } from './one-at-a-time.js';

/**
 * Milliseconds within which every entry written by now must be in the archive, including those that other nodes store.
 */
const FLUSH_MS = 60_000;
const FLUSH_LOOK_MS = 100;
/** Milliseconds within which the bucket must say whether it has the backup. */
const CHECK_MS = 30_000;
const READ_BYTES_MAX = 1024 * 1024;
const OBJECTS_MAX = 1_000_000;
const MARK_FORMAT = 1;
/** The first two bytes of a gzip file. */
const GZIP = Buffer.from([0x1f, 0x8b]);

/** The parts of the node that flushes and backups use. `Node` implements them. */
export type BinlogNode = Pick<NodeParts, 'tables' | 'cluster' | 'logs' | 'maintenance' | 'reports'>;

/** The archive of this node's cluster. */
export interface BinlogArchive {
  readonly store: ObjectStore;
  /** Resolves when every entry that this node had applied, of the tables that it leads, is stored, or when aborted. */
  flush(signal: AbortSignal): Promise<void>;
}

/** The parts of the process that flushes and backups use, the archive among them. */
export interface BinlogBackupsOptions {
  readonly clock: Clock;
  readonly log: Log;
  readonly requests: OneAtATime;
  /** The archive of this node's cluster; undefined when none is configured. */
  readonly archive: BinlogArchive | undefined;
  /** Opens the bucket that a request names. Throws ArchiveErrors. */
  readonly openBucket: (options: S3Options) => ObjectStore;
  /** Returns, by table, the index up to which every follower cluster has the log. */
  readonly followedUpTo: () => Promise<ReadonlyMap<string, number>>;
}

/** The last backup that this process began. */
export interface BinlogBackupStatus {
  readonly state: 'none' | 'running' | 'done' | 'failed';
  readonly backupId: string;
  readonly objects: number;
  readonly objectsDone: number;
  /** Bytes copied so far, as stored in the archive. */
  readonly bytes: number;
  readonly error: string | undefined;
}

/** The name of an object of the archive that holds log entries, or of the mark for entries that were never archived. */
type BinlogName = Extract<ArchiveName, { readonly kind: 'log' | 'gap' }>;

/**
 * BackupBinlogService of moco-agent (docs/operations-protocols.md §2): backs up this cluster's archive in the place of
 * MySQL's binlogs.
 */
export class BinlogBackups {
  readonly #node: BinlogNode;
  readonly #options: BinlogBackupsOptions;
  readonly #aborter = new AbortController();
  #status: BinlogBackupStatus = {
    state: 'none',
    backupId: '',
    objects: 0,
    objectsDone: 0,
    bytes: 0,
    error: undefined,
  };
  #running: Promise<void> | undefined;

  constructor(node: BinlogNode, options: BinlogBackupsOptions) {
    this.#node = node;
    this.#options = options;
  }

  get status(): BinlogBackupStatus {
    return this.#status;
  }

  /**
   * Resolves when the archive has every entry that was written by now. Errors: notForThisRole, anotherRequest,
   * flushTooSlow, and those of a linearizable read.
   */
  async flush(request: moco.FlushBinlogRequest, call: Call): Promise<void> {
    checkLeaderRole(this.#node.cluster.role, 'FlushBinlog');
    const release = this.#options.requests.take();
    try {
      await this.#flush(call.deadlineMs);
      if (request.delete) await this.#node.maintenance.compactLogs(await this.#options.followedUpTo());
    } finally {
      release();
    }
  }

  /**
   * Begins a backup and resolves once its upload runs: the bucket answers and does not have the backup. Errors:
   * notForThisRole, archiveNotSet, backupIdInvalid, anotherRequest, backupExists, backupIdTaken, bucketFailed.
   */
  async begin(request: moco.FlushAndBackupBinlogRequest, call: Call): Promise<void> {
    checkLeaderRole(this.#node.cluster.role, 'FlushAndBackupBinlog');
    const { archive, requests } = this.#options;
    if (archive === undefined) throw errors.archiveNotSet();
    const { backupId } = request;
    if (!isBackupId(backupId)) throw errors.backupIdInvalid();
    const release = requests.take();
    let bucket: ObjectStore | undefined;
    try {
      bucket = this.#openBucket(request);
      await this.#checkIsNew(bucket, request, call);
      this.#status = { state: 'running', backupId, objects: 0, objectsDone: 0, bytes: 0, error: undefined };
      this.#running = this.#run(archive, bucket, request).finally(release);
    } catch (error) {
      await bucket?.close();
      release();
      throw error;
    }
  }

  /** Breaks off the backup that is under way, if any, and resolves when it has ended. */
  async stop(): Promise<void> {
    this.#aborter.abort();
    await this.#running;
  }

  // ---- flushing

  async #flush(deadlineMs: number): Promise<void> {
    const { clock, archive } = this.#options;
    if (archive === undefined) return;
    const tooLate = new AbortController();
    const timer = clock.startTimer(Math.max(0, deadlineMs - clock.monotonicMs()), () => tooLate.abort());
    const signal = AbortSignal.any([tooLate.signal, this.#aborter.signal]);
    try {
      await archive.flush(signal);
      // Other nodes store the tables that they lead by themselves, once the entries are old enough.
      for (const { name } of await this.#node.tables.list({ deadlineMs })) {
        await this.#untilArchived(name, { deadlineMs }, signal);
      }
      if (signal.aborted) throw errors.flushTooSlow();
    } finally {
      timer.cancel();
    }
  }

  async #untilArchived(name: string, call: Call, signal: AbortSignal): Promise<void> {
    const log = await this.#node.logs.open(name, call);
    const upTo = log.appliedIndex;
    let from = 0;
    while (!signal.aborted && log.isServing) {
      from = Math.max(from, this.#node.maintenance.archivedIndex(log.shardId) + 1, log.firstIndex);
      // Entries that change nothing are stored together with the next one that does.
      while (from <= upTo) {
        const entries = log.entries(from, READ_BYTES_MAX);
        const command = entries.find(({ kind }) => kind === CommandKind.Command);
        from = command?.index ?? entries.at(-1)!.index + 1;
        if (command !== undefined) break;
      }
      if (from > upTo) return;
      await pause(this.#options.clock, FLUSH_LOOK_MS, signal);
    }
  }

  // ---- the backup

  #openBucket({
    bucketHost,
    bucketPort,
    bucketName,
    bucketRegion,
    accessKeyId,
    secretAccessKey,
  }: moco.FlushAndBackupBinlogRequest): ObjectStore {
    const [, scheme = 'http://', host = ''] = /^(https?:\/\/)?(.*)$/s.exec(bucketHost) ?? [];
    const endpoint = `${scheme}${host}:${bucketPort}`;
    const isEndpoint = /^[\w.:[\]-]+$/.test(host) && URL.canParse(endpoint);
    if (!isEndpoint || bucketPort < 1)
      throw errors.bucketFailed('bucket_host and bucket_port are no address');
    if (!/^[A-Za-z0-9][A-Za-z0-9._-]{1,62}$/.test(bucketName)) {
      throw errors.bucketFailed('bucket_name is no name of a bucket');
    }
    try {
      return this.#options.openBucket({
        endpoint,
        region: bucketRegion,
        bucket: bucketName,
        prefix: '',
        accessKeyId,
        secretAccessKey,
        takesAnyKey: true,
      });
    } catch (error) {
      throw toApiError(error, bucketName);
    }
  }

  async #checkIsNew(
    bucket: ObjectStore,
    { backupId, bucketName }: moco.FlushAndBackupBinlogRequest,
    call: Call,
  ): Promise<void> {
    const { clock } = this.#options;
    const timeoutMs = Math.ceil(Math.min(CHECK_MS, Math.max(1, call.deadlineMs - clock.monotonicMs())));
    const patience = { timeoutMs, signal: this.#aborter.signal };
    try {
      if ((await beginningOf(bucket, backupId, patience)) !== undefined) throw errors.backupExists(backupId);
      await checkReplaceable(bucket, { backupId, name: partName(backupId, 0) }, patience);
    } catch (error) {
      throw toApiError(error, bucketName);
    }
  }

  async #run(
    archive: BinlogArchive,
    bucket: ObjectStore,
    { backupId, bucketName }: moco.FlushAndBackupBinlogRequest,
  ): Promise<void> {
    const { clock, log } = this.#options;
    try {
      log(agentEvents.archiveBackupBegun, { backupId, bucket: bucketName });
      await this.#flush(clock.monotonicMs() + FLUSH_MS);
      await this.#upload(archive.store, bucket, backupId);
      this.#status = { ...this.#status, state: 'done' };
      log(agentEvents.archiveBackupDone, { backupId, objects: this.#status.objects });
    } catch (error) {
      const reason = error instanceof ArchiveError ? toApiError(error, bucketName).message : textOf(error);
      this.#status = { ...this.#status, state: 'failed', error: reason };
      log(agentEvents.archiveBackupFailed, { backupId, reason });
    } finally {
      await bucket.close();
    }
  }

  async #upload(store: ObjectStore, bucket: ObjectStore, backupId: string): Promise<void> {
    const { signal } = this.#aborter;
    const clusterId = this.#node.reports.status().clusterId ?? '';
    const record = new BackupRecord(store, clusterId);
    const before = await record.read({ signal });
    // The order matters: an object that is stored while the objects are listed must not look like a hole.
    const archived = await this.#archivedShards();
    const objects = await newObjects(store, clusterId, before ?? new Map(), signal);
    const parts = before === undefined ? objects : withHoles(objects, before, { archived, clusterId });
    this.#status = { ...this.#status, objects: parts.length };
    const names: string[] = [];
    for (const part of parts) {
      const name = partName(backupId, names.length);
      await checkReplaceable(bucket, { backupId, name }, { signal });
      if (part.kind === 'hole') this.#warnOfHole(part, backupId);
      const content = part.kind === 'hole' ? [markOf(part)] : this.#checked(store, part);
      await bucket.put(name, gzipped(content), { signal });
      names.push(name);
      this.#status = { ...this.#status, objectsDone: names.length };
    }
    await bucket.put(backupId, Buffer.from(names.join('\n')), { signal });
    const upTo = new Map(before);
    for (const { shard, last } of parts) {
      upTo.set(shard.shardId, Math.max(last, upTo.get(shard.shardId) ?? 0));
    }
    await record.write(backupId, upTo, { signal });
  }

  /** Returns, by shard id, the last entry of each table's log that was ever archived, pruned or not. */
  async #archivedShards(): Promise<ReadonlyMap<number, number>> {
    const { clock } = this.#options;
    const tables = await this.#node.tables.list({ deadlineMs: clock.monotonicMs() + FLUSH_MS });
    return new Map(tables.map(({ shardId }) => [shardId, this.#node.maintenance.archivedIndex(shardId)]));
  }

  #warnOfHole({ shard, first, last }: Hole, backupId: string): void {
    this.#options.log(agentEvents.archiveBackupIncomplete, { backupId, shard: shard.shardId, first, last });
  }

  /** Streams an object of the archive and checks its hash: a damaged object must not become part of a backup. */
  async *#checked(store: ObjectStore, object: BinlogName): AsyncGenerator<Buffer> {
    const hash = createHash('sha256');
    for await (const piece of store.get(object.name, { signal: this.#aborter.signal })) {
      hash.update(piece);
      this.#status = { ...this.#status, bytes: this.#status.bytes + piece.length };
      yield piece;
    }
    if (object.kind === 'log' && hash.digest('hex').slice(0, HASH_DIGITS) !== object.hash) {
      throw archiveErrors.objectDamaged(object.name, 'its bytes are not those that were stored');
    }
  }
}

/** Entries that were in the archive, were pruned from it, and are in no backup. */
interface Hole {
  readonly kind: 'hole';
  readonly shard: ShardKey;
  readonly first: number;
  readonly last: number;
}

/**
 * Returns the objects in their order, with a hole wherever entries between the last backup and `archived` (see
 * `#archivedShards`) are missing, since pruning removed them. For a shard that is in no earlier backup, nothing before
 * its first object counts as missing: a load is stored as a base, so where its log begins is unknown.
 */
function withHoles(
  objects: readonly BinlogName[],
  before: ReadonlyMap<number, number>,
  { archived, clusterId }: { readonly archived: ReadonlyMap<number, number>; readonly clusterId: string },
): (BinlogName | Hole)[] {
  const held = new Map<number, Runs>();
  for (const { shard, first, last } of objects) {
    const runs = held.get(shard.shardId) ?? new Runs();
    runs.add({ first, last });
    held.set(shard.shardId, runs);
  }
  const parts: (BinlogName | Hole)[] = [...objects];
  for (const [shardId, upTo] of before) {
    const runs = held.get(shardId) ?? new Runs();
    const last = Math.max(runs.last, archived.get(shardId) ?? 0);
    for (const hole of runs.missing({ first: upTo + 1, last })) {
      parts.push({ kind: 'hole', shard: { clusterId, shardId }, ...hole });
    }
  }
  return parts.sort(inOrder);
}

function inOrder(a: BinlogName | Hole, b: BinlogName | Hole): number {
  return a.shard.shardId - b.shard.shardId || a.first - b.first || a.last - b.last;
}

/** Encodes the mark that stands in a backup in the place of a hole. */
function markOf({ shard, first, last }: Hole): Buffer {
  const mark = { format: MARK_FORMAT, gap: 'pruned', ...shard, first, last };
  return Buffer.from(`${JSON.stringify(mark)}\n`);
}

/** Returns the first bytes of an object, none when it is empty; undefined when there is no such object. */
async function beginningOf(bucket: ObjectStore, name: string, call: StoreCall): Promise<Buffer | undefined> {
  try {
    for await (const piece of bucket.get(name, call)) return piece;
    return Buffer.alloc(0);
  } catch (error) {
    if (error instanceof ArchiveError && error.code === 'objectMissing') return undefined;
    throw error;
  }
}

/**
 * Throws backupIdTaken unless the object is missing or left over from an earlier attempt at the same backup. Those are
 * gzip; the list of another backup, whose id may look like the name of a part, is not.
 */
async function checkReplaceable(
  bucket: ObjectStore,
  { backupId, name }: { readonly backupId: string; readonly name: string },
  call: StoreCall,
): Promise<void> {
  const beginning = await beginningOf(bucket, name, call);
  if (beginning === undefined || beginning.subarray(0, GZIP.length).equals(GZIP)) return;
  throw errors.backupIdTaken(backupId, name);
}

/** Returns the archive's objects that hold entries newer than `before`, sorted by shard and by place in its log. */
async function newObjects(
  store: ObjectStore,
  clusterId: string,
  before: ReadonlyMap<number, number>,
  signal: AbortSignal,
): Promise<BinlogName[]> {
  const found: BinlogName[] = [];
  for await (const { name } of store.list(`${clusterId}/`, { signal })) {
    const parsed = parseName(name);
    if (parsed?.kind !== 'log' && parsed?.kind !== 'gap') continue;
    if (parsed.last <= (before.get(parsed.shard.shardId) ?? 0)) continue;
    if (found.length >= OBJECTS_MAX) throw archiveErrors.tooManyObjects(`cluster ${clusterId}`, OBJECTS_MAX);
    found.push(parsed);
  }
  return found.sort(inOrder);
}

/**
 * Rewords an error of the archive in terms of the request's fields. The archive's own texts name its configuration
 * options.
 */
function toApiError(error: unknown, bucket: string): Error {
  if (!(error instanceof ArchiveError)) return error instanceof Error ? error : new Error(String(error));
  switch (error.code) {
    case 'credentialsMissing':
      return errors.bucketFailed('access_key_id and secret_access_key must be set');
    case 'accessDenied':
      return errors.bucketFailed('the keys are refused: correct access_key_id and secret_access_key');
    case 'bucketMissing':
      return errors.bucketFailed(`there is no bucket "${bucket}": create it, or correct bucket_name`);
    case 'regionWrong':
      return errors.bucketFailed('the bucket is in another region: correct bucket_region');
    case 'certificateRefused':
      return errors.bucketFailed(
        'the certificate there is not believed: give its authority to the nodes in NODE_EXTRA_CA_CERTS',
      );
    case 'storeUnreachable':
    case 'timedOut':
      return errors.bucketFailed('nobody answers there: correct bucket_host and bucket_port');
    default:
      return errors.bucketFailed(error.message);
  }
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
