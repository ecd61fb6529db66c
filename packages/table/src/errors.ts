/** What went wrong in a table, for code that decides by it. Texts may change, codes may not. */
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

/** Base of this package's errors. */
export abstract class TableError extends Error {
  abstract readonly code: TableErrorCode;

  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = new.target.name;
  }
}

/**
 * The store lost a batch that was written before one that it still has, or the whole of what it held (D4).
 * The replica must be fenced and rebuilt from its peers: nothing that it says can be believed.
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

/** No whole store lies in a store's place (D4): files are missing, or hold bytes that were not written there. */
export class StoreDamagedError extends TableError {
  readonly code = 'storeDamaged';

  constructor(store: string, detail: string, options?: ErrorOptions) {
    super(`store ${store} is damaged: ${detail}`, options);
  }
}

/** Why the system refuses the files of a store that may well be whole. */
export type StoreObstacle = 'noRoom' | 'descriptors' | 'permission' | 'readOnly' | 'inUse';

const OBSTACLES: Readonly<Record<StoreObstacle, string>> = {
  noRoom: 'there is no room on its disk: make room',
  descriptors: 'the process has no file descriptors left: raise its limit (ulimit -n, LimitNOFILE)',
  permission: 'there is no permission for its files: correct their owner and mode',
  readOnly: 'its file system is read-only: mount it for writing',
  inUse: 'another process has it open: stop that process',
};

/** The system refuses the files of a store, for a reason that says nothing against what they hold (D6). */
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

/** The store was closed under a read that was on its way: its table was replaced, deleted or opened again. */
export class StoreClosedError extends TableError {
  readonly code = 'closed';

  constructor(cause: unknown) {
    super('the store was closed during a read', { cause });
  }
}

/** Nobody waits any more for the ranges of a Txn that was applied, so they are not read to their end. */
export class AnswerAbandonedError extends TableError {
  readonly code = 'answerAbandoned';

  constructor() {
    super('nobody waits for the answer any more');
  }
}

/**
 * The table was opened in the middle of an entry with a large effect (A4): it cannot be read until that entry
 * has been applied to its end. UNAVAILABLE for the API.
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

/** An entry holds something that this version does not know. It is never skipped (A8): upgrade the node. */
export class UnknownCommandError extends TableError {
  readonly code = 'unknownCommand';

  constructor(what: string, index: number) {
    super(`entry ${index} holds ${what}, which this version does not know: upgrade this node`);
  }
}

/** A read below the history floor (A5). OUT_OF_RANGE for the API. */
export class RevisionCompactedError extends TableError {
  readonly code = 'revisionCompacted';

  constructor(
    revision: number,
    readonly historyFloor: number,
  ) {
    super(`revision ${revision} has been compacted: the oldest readable revision is ${historyFloor}`);
  }
}

/** A read above the applied revision. OUT_OF_RANGE for the API. */
export class RevisionInFutureError extends TableError {
  readonly code = 'revisionInFuture';

  constructor(
    revision: number,
    readonly appliedRevision: number,
  ) {
    super(`revision ${revision} is in the future: the latest revision is ${appliedRevision}`);
  }
}

/** The ranges of a read-only Txn pass the response cap. RESOURCE_EXHAUSTED for the API. */
export class ResponseTooLargeError extends TableError {
  readonly code = 'responseTooLarge';

  constructor(sizeBytesMax: number) {
    super(`the ranges of the transaction hold more than ${sizeBytesMax} bytes`);
  }
}

/** Whether it was for lack of room on the disk, or of quota, that a store failed (D6). LevelDB says it in words only. */
export function isStoreFull(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const { code } = error as { code?: unknown };
  if (code === 'ENOSPC' || code === 'EDQUOT') return true;
  return /No space left on device|Disk quota exceeded/.test(error.message) || isStoreFull(error.cause);
}
