import type { Metadata } from './metadata.js';
import { Status } from './status.js';

/**
 * The progress of a call when it failed, which decides what may have happened (P1):
 * - `neverSent`: there was no connection to send it on, or it was given up before. It had no effect.
 * - `refused`: the server declares that it did not begin with it (REFUSED_STREAM, or GOAWAY with a lower stream). It
 *   had no effect.
 * - `lost`: it was sent, and no status came: the stream or the connection broke off, or this side gave up waiting. Its
 *   outcome is unknown.
 * - `answered`: the server, or a proxy before it, gave a status.
 * - `unusable`: an answer came of which no message could be made. The server may well have carried out the call.
 */
export type FailureOrigin = 'neverSent' | 'refused' | 'lost' | 'answered' | 'unusable';

const NOTHING: Metadata = new Map();

/** A call that failed. The message is for a log; `code`, `details` and `origin` are for programs. */
export class CallError extends Error {
  override readonly name = 'CallError';
  constructor(
    readonly code: Status,
    /** The server's own text, which may be empty, or this side's finding. */
    readonly details: string,
    readonly origin: FailureOrigin,
    /** The metadata that the server sent with its status. */
    readonly metadata: Metadata = NOTHING,
    options?: ErrorOptions,
  ) {
    super(`${code} ${Status[code] ?? ''}: ${details}`, options);
  }

  /** True when the call certainly had no effect, whatever it asked for. */
  get wasNeverProcessed(): boolean {
    return this.origin === 'neverSent' || this.origin === 'refused';
  }
}
