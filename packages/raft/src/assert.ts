/** A broken invariant of the consensus core: a bug or a damaged disk. The host stops the node. */
export class RaftInvariantError extends Error {
  override readonly name = 'RaftInvariantError';
}

/**
 * States what must hold, in production too: a replica that goes on after a broken invariant can lose what
 * others were promised. The message may be a function, so that a check on the hot path formats nothing.
 */
export function assert(condition: boolean, message: string | (() => string)): asserts condition {
  if (!condition) throw new RaftInvariantError(typeof message === 'string' ? message : message());
}
