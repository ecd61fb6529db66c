/** A broken invariant of the consensus core: a bug or a damaged disk. The host stops the node. */
export class RaftInvariantError extends Error {
  override readonly name = 'RaftInvariantError';
}

/**
 * Checks an invariant, in production too: a replica that continues after a broken invariant can lose data that others
 * were promised. Throws RaftInvariantError. The message may be a function, so that a check on the hot path formats
 * nothing.
 */
export function assert(condition: boolean, message: string | (() => string)): asserts condition {
  if (!condition) throw new RaftInvariantError(typeof message === 'string' ? message : message());
}
