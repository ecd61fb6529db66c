/** The code by which callers distinguish the errors of a table. Texts may change, codes may not. */
export type TableErrorCode =
  | 'gap'
  | 'storeDamaged'
  | 'storeUnusable'
  | 'closed'
  | 'halfApplied'
  | 'unknownCommand'
  | 'revisionCompacted'
  | 'revisionInFuture'
  | 'responseTooLarge'
  | 'answerAbandoned';

/** The base class of this package's errors. */
export abstract class TableError extends Error {
  abstract readonly code: TableErrorCode;

  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = new.target.name;
  }
}

/**
 * The store lost a batch that was written before one that it still has, or it lost everything (D4). The replica must be
 * fenced and rebuilt from its peers, since its content cannot be trusted.
 */
export class TableGapError extends TableError {
  readonly code = 'gap';

  constructor(
    readonly table: string,
    detail: string,
  ) {
    super(`table ${table} has lost writes: ${detail}`);
  }
}

/**
 * The place of a store does not hold a complete store (D4): files are missing, or hold bytes that were not written
 * there.
 */
export class StoreDamagedError extends TableError {
  readonly code = 'storeDamaged';

  constructor(store: string, detail: string, options?: ErrorOptions) {
    super(`store ${store} is damaged: ${detail}`, options);
  }
}

/** The reasons for which the system refuses the files of a store that may well be complete. */
export type StoreObstacle = 'noRoom' | 'descriptors' | 'permission' | 'readOnly' | 'inUse';

const OBSTACLES: Readonly<Record<StoreObstacle, string>> = {
  noRoom: 'there is no room on its disk: make room',
  descriptors: 'the process has no file descriptors left: raise its limit (ulimit -n, LimitNOFILE)',
  permission: 'there is no permission for its files: correct their owner and mode',
  readOnly: 'its file system is read-only: mount it for writing',
  inUse: 'another process has it open: stop that process',
};

/** The system refuses the files of a store, for a reason that casts no doubt on their content (D6). */
export class StoreUnusableError extends TableError {
  readonly code = 'storeUnusable';

  constructor(
    store: string,
    readonly obstacle: StoreObstacle,
    detail: string,
    options?: ErrorOptions,
  ) {
    super(`store ${store} cannot be used: ${OBSTACLES[obstacle]} (${detail})`, options);
  }
}

/** The table was closed, or closed itself when a write failed or an entry could not be applied; see `cause`. */
export class TableClosedError extends TableError {
  readonly code = 'closed';

  constructor(
    readonly table: string,
    cause?: unknown,
  ) {
    super(cause === undefined ? `table ${table} is closed` : `table ${table} closed itself after an error`, {
      cause,
    });
  }
}

/** The store was closed during a read: its table was replaced, deleted or opened again. */
export class StoreClosedError extends TableError {
  readonly code = 'closed';

  constructor(cause: unknown) {
    super('the store was closed during a read', { cause });
  }
}

/**
 * Nobody waits any more for the answer of a read, or of a Txn that was applied, so its ranges are not read to their
 * end.
 */
export class AnswerAbandonedError extends TableError {
  readonly code = 'answerAbandoned';

  constructor() {
    super('nobody waits for the answer any more');
  }
}

/**
 * The table was opened in the middle of an entry with a large effect (A4). It cannot be read until that entry has been
 * applied to its end. The API answers UNAVAILABLE.
 */
export class TableHalfAppliedError extends TableError {
  readonly code = 'halfApplied';

  constructor(
    readonly table: string,
    index: number,
  ) {
    super(`table ${table} must first apply entry ${index} to its end`);
  }
}

/** An entry holds something that this version does not know. It is never skipped (A8): the node must be upgraded. */
export class UnknownCommandError extends TableError {
  readonly code = 'unknownCommand';

  constructor(what: string, index: number) {
    super(`entry ${index} holds ${what}, which this version does not know: upgrade this node`);
  }
}

/** A read asked for a revision below the history floor (A5). The API answers OUT_OF_RANGE. */
export class RevisionCompactedError extends TableError {
  readonly code = 'revisionCompacted';

  constructor(
    revision: number,
    readonly historyFloor: number,
  ) {
    super(`revision ${revision} has been compacted: the oldest readable revision is ${historyFloor}`);
  }
}

/** A read asked for a revision above the applied one. The API answers OUT_OF_RANGE. */
export class RevisionInFutureError extends TableError {
  readonly code = 'revisionInFuture';

  constructor(
    revision: number,
    readonly appliedRevision: number,
  ) {
    super(`revision ${revision} is in the future: the latest revision is ${appliedRevision}`);
  }
}

/** The ranges of a read-only Txn exceed the response cap. The API answers RESOURCE_EXHAUSTED. */
export class ResponseTooLargeError extends TableError {
  readonly code = 'responseTooLarge';

  constructor(sizeBytesMax: number) {
    super(`the ranges of the transaction hold more than ${sizeBytesMax} bytes`);
  }
}

/**
 * Returns whether a store failed because the disk, or a quota, has no room (D6). LevelDB reports that in words only.
 */
export function isStoreFull(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const { code } = error as { code?: unknown };
  if (code === 'ENOSPC' || code === 'EDQUOT') return true;
  return /No space left on device|Disk quota exceeded/.test(error.message) || isStoreFull(error.cause);
}
