/** The kind of an error of the log. Hosts distinguish errors by this code, never by their text. */
export type WalErrorCode = 'WAL_FULL' | 'WAL_CORRUPT' | 'WAL_FORMAT' | 'WAL_FAILED' | 'WAL_CLOSED';

/** The base of every error of the log. */
export abstract class WalError extends Error {
  abstract readonly code: WalErrorCode;

  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = new.target.name;
  }
}

/** There is no room on the disk (D6). The append had no effect; it may be made again after `Wal.reopen`. */
export class WalFullError extends WalError {
  readonly code = 'WAL_FULL';
}

/** The disk does not hold the bytes that were written to it (D5). Nothing has been changed. */
export class WalCorruptError extends WalError {
  readonly code = 'WAL_CORRUPT';

  constructor(
    readonly file: string,
    /** The offset in the file, in bytes, at which the damage begins. */
    readonly offset: number,
    reason: string,
    options?: ErrorOptions,
  ) {
    super(
      `the write-ahead log is corrupt: ${file} at offset ${offset}: ${reason}: it is never repaired, go on as if this disk were lost (docs/backup-and-recovery.md)`,
      options,
    );
  }
}

/** The log was written by a newer program. Nothing has been changed. */
export class WalFormatError extends WalError {
  readonly code = 'WAL_FORMAT';
}

/** A write or a sync failed for another reason than a full disk; the log is unusable until the node restarts (D6). */
export class WalFailedError extends WalError {
  readonly code = 'WAL_FAILED';
}

/** The log was closed before the append was durable. */
export class WalClosedError extends WalError {
  readonly code = 'WAL_CLOSED';
}

/** True for the errors of a disk, or of a quota, that has no room left: the only ones that the log survives (D6). */
export function isNoSpaceError(error: unknown): boolean {
  const code = (error as { code?: unknown } | undefined)?.code;
  return code === 'ENOSPC' || code === 'EDQUOT';
}

/** Throws an Error, which stops the node, when an invariant of the log does not hold. */
export function invariant(holds: boolean, message: string): asserts holds {
  if (!holds) throw new Error(`write-ahead log invariant broken: ${message}`);
}
