import { TABLE_NAME_RULE } from '../meta/table-name.js';
import { answersOf, counted } from './counted.js';

/** gRPC status codes, by their numbers on the wire. */
export enum Status {
  InvalidArgument = 3,
  DeadlineExceeded = 4,
  NotFound = 5,
  PermissionDenied = 7,
  Unknown = 2,
  ResourceExhausted = 8,
  FailedPrecondition = 9,
  OutOfRange = 11,
  Unimplemented = 12,
  Internal = 13,
  Unavailable = 14,
  Unauthenticated = 16,
}

/**
 * An error that a caller is meant to see: its status and text are part of the API (docs/protocol.md §2). The status
 * is UNAVAILABLE only where nothing was or can have been done, because clients repeat such calls.
 */
export class ApiError extends Error {
  override readonly name = 'ApiError';
  /**
   * The name under which the error is declared, or empty. Programs judge errors by it: a text may change, a code may
   * not.
   */
  readonly code: string;
  constructor(
    readonly status: Status,
    message: string,
    { code = '', ...options }: ApiErrorOptions = {},
  ) {
    super(message, options);
    this.code = code;
  }

  /** Whether this is `outcomeUnknown`, the one error after which a write may have been applied (P1). */
  get isOutcomeUnknown(): boolean {
    return this.code === 'outcomeUnknown';
  }
}

/** The options of an ApiError: its cause, and its code. */
export interface ApiErrorOptions extends ErrorOptions {
  /** The name under which the error is declared; see `ApiError.code`. */
  readonly code?: string;
}

type Make = (...args: never[]) => ApiError;

/** Gives each declared error of a package its own name as its code. */
export function declareErrors<Declarations extends Readonly<Record<string, Make>>>(
  declarations: Declarations,
): Declarations {
  const named = Object.entries(declarations).map(([code, make]) => [
    code,
    (...args: never[]) => {
      const { status, message, cause } = make(...args);
      return new ApiError(status, message, cause === undefined ? { code } : { code, cause });
    },
  ]);
  return Object.fromEntries(named) as Declarations;
}

const declare = (status: Status, message: string) => () => new ApiError(status, message);

/** Every error of the API, declared once. Requests are checked in the order of docs/protocol.md §2. */
export const errors = declareErrors({
  limitNegative: declare(Status.InvalidArgument, 'limit must be a positive number'),
  keysOnlyAndCountOnly: declare(
    Status.InvalidArgument,
    'keys_only and count_only must not be set at the same time',
  ),
  revisionNegative: (field: string) => new ApiError(Status.InvalidArgument, `${field} must not be negative`),
  tableNotSet: declare(Status.InvalidArgument, 'table must be set'),
  keyNotSet: declare(Status.InvalidArgument, 'key must be set'),
  operationNotSet: declare(
    Status.InvalidArgument,
    'every operation of a transaction must be a range, put or delete',
  ),
  compareUnknown: declare(Status.InvalidArgument, 'the operator or the target of a compare is not known'),
  tableNotFound: declare(Status.NotFound, 'table not found'),
  keyTooLong: declare(Status.FailedPrecondition, 'key length exceeded max allowed value'),
  valueTooLong: declare(Status.FailedPrecondition, 'value length exceeded max allowed value'),
  notReady: declare(Status.Unavailable, 'request dropped as the shard is not ready'),
  notFormed: (answering: number, members: number) =>
    new ApiError(
      Status.Unavailable,
      `the cluster has not formed: ${answersOf(answering, members)}: start all of them, with the same raft.initial-members`,
    ),
  noLeader: (table: string, answer: string) =>
    new ApiError(
      Status.Unavailable,
      `${table === '' ? 'the cluster' : `table ${table}`} has no leader: ${answer}`,
    ),
  leaderless: (table: string, reason: string) =>
    new ApiError(Status.Unavailable, `table ${table} has no leader: ${reason}`),
  tooBusy: declare(Status.Unavailable, 'system is too busy try again later'),
  diskFull: declare(
    Status.Unavailable,
    'the disk of the node is full, or nearly: writes are refused until there is room',
  ),
  archiveBehind: declare(
    Status.Unavailable,
    'as much as archive.max-backlog waits to be archived, and archive.on-limit is "stop-writes": writes are refused until less does; see why with "coxswain archive list"',
  ),
  promoting: declare(
    Status.Unavailable,
    'the cluster is being promoted to a leader cluster: it makes and deletes tables when that is done',
  ),
  timeout: declare(Status.Unavailable, 'timeout'),
  deadlineExceeded: declare(Status.DeadlineExceeded, 'deadline exceeded'),
  outcomeUnknown: declare(
    Status.Unknown,
    'outcome unknown: the write may have been applied; read before retrying',
  ),
  shuttingDown: declare(Status.Unavailable, 'request aborted'),
  closing: declare(
    Status.Unavailable,
    'this node is being closed and takes no writes: write through another one',
  ),
  logPaused: declare(
    Status.Unavailable,
    'replication from this node is paused: ask another node of its cluster, or let an operator resume it',
  ),
  replicationPaused: declare(
    Status.Unavailable,
    'replication from the leader cluster is paused, so that a write could not arrive here, and nothing was changed: write there, or let an operator resume it',
  ),
  nameNotSet: declare(Status.InvalidArgument, 'name must be set'),
  nameInvalid: declare(Status.InvalidArgument, `name must be ${TABLE_NAME_RULE}`),
  tableExists: declare(Status.InvalidArgument, 'table already exists'),
  tableToDeleteNotFound: declare(Status.InvalidArgument, 'table not found'),
  tooLargeForWolf: declare(
    Status.FailedPrecondition,
    'the write does not fit into a message of wolf.raft, which is 4 MiB in JSON: a value of 500 KiB always does, and plain text of 1.6 MiB; split it over several keys, or write it to a table of another kind',
  ),
  replicatedElsewhere: (table: string) =>
    new ApiError(
      Status.FailedPrecondition,
      `table ${table} is replicated over wolf.raft, whose members decide what it holds: it is not deleted, restored or loaded; write to it, or restore into another table`,
    ),
  ledElsewhere: (table: string, member: number, address: string) =>
    new ApiError(
      Status.Unavailable,
      `table ${table} is led by member ${member} at ${address}, which is its wolf.raft address and takes no requests: send writes and linearizable reads to the API address of that node, or read serializably here`,
    ),
  tooManyTables: (max: number) =>
    new ApiError(
      Status.ResourceExhausted,
      `a cluster holds at most ${counted(max, 'table')}: delete one first`,
    ),
  tooFewDescriptors: (open: number, max: number) =>
    new ApiError(
      Status.ResourceExhausted,
      `this node has ${open} of ${max} descriptors in use, too many for another table: raise ulimit -n (LimitNOFILE under systemd) on every node and start it again`,
    ),
  memberHasTooFewDescriptors: (member: number, max: number) =>
    new ApiError(
      Status.ResourceExhausted,
      `node ${member} has too few of its ${max} descriptors left for another table: raise ulimit -n (LimitNOFILE under systemd) on every node and start it again`,
    ),
  revisionCompacted: (floor: number) =>
    new ApiError(Status.OutOfRange, `revision is below the oldest one kept, which is ${floor}`),
  revisionInFuture: (applied: number) =>
    new ApiError(Status.OutOfRange, `revision is above the newest one applied, which is ${applied}`),
  tooManyRanges: (what: string, max: number) =>
    new ApiError(
      Status.InvalidArgument,
      `a transaction may hold ${max} ${what} over ranges of keys at most: split it, or name keys one by one`,
    ),
  responseTooLarge: declare(
    Status.ResourceExhausted,
    'the answer would exceed 4 MiB: ask for fewer keys at a time',
  ),
  notForFollower: (method: string) =>
    new ApiError(Status.Unimplemented, `method ${method} not implemented for follower`),
  /**
   * Refuses a method that a leader cluster does not have; `notForThisRole` is its counterpart on a follower cluster.
   * Both texts are Regatta's.
   */
  notForLeader: (method: string) => new ApiError(Status.Unimplemented, `method ${method} not implemented`),
  notForThisRole: (method: string) => new ApiError(Status.Unimplemented, `method ${method} not implemented`),
  tableToMaintainNotFound: declare(Status.NotFound, 'table not found'),
  backupOfAnotherShard: declare(
    Status.FailedPrecondition,
    'the table was replaced since the backup began: back it up anew',
  ),
  requestBrokenOff: declare(Status.Unavailable, 'the request broke off before its end: nothing was changed'),
  restoreWithoutSnapshot: declare(
    Status.InvalidArgument,
    'a restore without a snapshot is refused: send the backup in chunks after the info; one of an empty table has at least the header of its stream',
  ),
  firstMessageNotInfo: declare(Status.InvalidArgument, 'first message should contain info'),
  chunkExpected: declare(Status.InvalidArgument, 'chunk expected'),
  restoreInterrupted: declare(
    Status.Unavailable,
    'the restore was interrupted, and nothing was changed: try again',
  ),
  restoreDamaged: (detail: string) =>
    new ApiError(
      Status.InvalidArgument,
      `the backup is damaged, and nothing was changed by it: ${detail}: restore from another copy`,
    ),
  donorHostInvalid: declare(Status.InvalidArgument, 'invalid donor host name'),
  donorPortInvalid: declare(Status.InvalidArgument, 'invalid donor port'),
  anotherRequest: declare(Status.ResourceExhausted, 'another request is under processing'),
  cloning: declare(
    Status.Unavailable,
    'the cluster is being filled by a clone: writes and changes of tables are refused until all tables have come: wait, and see coxswain status',
  ),
  cloneFailed: declare(
    Status.Unavailable,
    'a clone into this cluster has failed, so writes and new tables are refused: delete the tables that have come and call Clone again, or keep what is there with coxswain clone forget',
  ),
  cloneRunning: (donor: string) =>
    new ApiError(
      Status.FailedPrecondition,
      `the clone of ${donor} is under way: wait for its end; only one that failed can be forgotten`,
    ),
  recipientNotEmpty: (table: string, keyCount: number) =>
    new ApiError(
      Status.FailedPrecondition,
      `recipient is not empty: table "${table}" holds ${counted(keyCount, 'key')}: delete it, or clone into another cluster`,
    ),
  donorNotConfigured: declare(
    Status.FailedPrecondition,
    'the donor outside is not configured: set clone.address, or name a donor',
  ),
  donorFailed: (donor: string, reason: string) =>
    new ApiError(Status.FailedPrecondition, `the donor ${donor} cannot be cloned: ${reason}`),
  donorIsThisCluster: (donor: string) =>
    new ApiError(
      Status.FailedPrecondition,
      `the donor ${donor} is a node of this cluster itself: name a node of another one`,
    ),
  donorIsNone: (donor: string) =>
    new ApiError(
      Status.FailedPrecondition,
      `the donor ${donor} does not give tables: it is another listener, such as the one of wolf.address: name its replication listener, or its API listener, by default 8443`,
    ),
  donorWithoutMaintenance: (donor: string) =>
    new ApiError(
      Status.FailedPrecondition,
      `the donor ${donor} says which tables it has, and does not give them: set maintenance.enabled there, or name its replication listener`,
    ),
  donorRefusesToken: (donor: string) =>
    new ApiError(
      Status.FailedPrecondition,
      `the donor ${donor} refuses the token that this call was sent with: its maintenance token must be the same as here; or name its replication listener, which asks for no token; or set clone.address and clone.token, and send external=true`,
    ),
  externalDonorRefusesToken: (donor: string) =>
    new ApiError(
      Status.FailedPrecondition,
      `the donor ${donor} refuses clone.token: set it to the maintenance token of the donor, or name its replication listener in clone.address, which asks for no token`,
    ),
  archiveNotSet: declare(
    Status.FailedPrecondition,
    'there is no archive to back up: set archive.target on every node',
  ),
  flushTooSlow: declare(
    Status.DeadlineExceeded,
    'the archive did not take in time what was written by now: nothing is lost, and it goes on; try again later',
  ),
  backupIdInvalid: declare(
    Status.InvalidArgument,
    'backup_id must be 1 to 900 bytes that a key in S3 may have: no control characters, and no "." or ".." alone between slashes',
  ),
  backupExists: (backupId: string) =>
    new ApiError(Status.InvalidArgument, `the requested backup has already completed: BackupId=${backupId}`),
  backupIdTaken: (backupId: string, name: string) =>
    new ApiError(
      Status.InvalidArgument,
      `backup_id ${backupId} cannot be used: its object ${name} would replace one that is no part of it: choose another id`,
    ),
  bucketFailed: (reason: string) =>
    new ApiError(Status.Internal, `the bucket cannot be written to: ${reason}`),
  noArchive: declare(
    Status.FailedPrecondition,
    'this node has no archive: set archive.target to where the archive is, and start it anew',
  ),
  /** Passes on the archive's own text, which is written for an operator and names the remedy. */
  archiveFailed: (status: Status, detail: string) =>
    new ApiError(status, `the archive cannot give that, and nothing was changed: ${detail}`),
  archiveIncomplete: (detail: string) =>
    new ApiError(
      Status.FailedPrecondition,
      `the end of the table's log is not in the archive, and nothing was changed: ${detail}`,
    ),
  isLeaderCluster: declare(Status.FailedPrecondition, 'this is a leader cluster already'),
  cannotBeFollowed: declare(Status.FailedPrecondition, 'a follower cluster cannot be a leader cluster'),
  leaderIndexZero: declare(Status.InvalidArgument, 'invalid leaderIndex: leaderIndex must be greater than 0'),
  wrongLeaderCluster: (clusterId: string) =>
    new ApiError(
      Status.FailedPrecondition,
      `this is leader cluster ${clusterId}, and not the one that the follower cluster belongs to: correct replication.leader-address, or reset the follower cluster to take everything from here`,
    ),
  noIncrementalSnapshot: declare(
    Status.FailedPrecondition,
    'incremental snapshots are not kept here; use a full snapshot',
  ),
  tableRequired: declare(Status.InvalidArgument, 'table is required'),
  cannotStream: (table: string) =>
    new ApiError(Status.Unavailable, `unable to stream from table '${table}': table not found`),
  leaderUnreachable: declare(
    Status.Unavailable,
    'no node of the leader cluster can be reached, and nothing was changed: try again when the clusters are connected',
  ),
  appliedByLeaderOnly: declare(
    Status.DeadlineExceeded,
    'the leader cluster has applied the write, and it has not arrived here yet: do not repeat it',
  ),
  loadIncomplete: declare(
    Status.Internal,
    'the loaded shard does not hold every key that was sent: it is not used, load it again',
  ),
  loadReplaced: declare(
    Status.FailedPrecondition,
    'another load or restore of the table, its deletion or its creation came first, and this one has no effect: look at the table, and begin again if it is still wanted',
  ),
  invalidToken: declare(Status.Unauthenticated, 'Invalid token'),
  noToken: declare(Status.Unauthenticated, 'Request unauthenticated with bearer'),
  badAuthorization: declare(Status.Unauthenticated, 'Bad authorization string'),
});
