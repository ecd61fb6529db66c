import type {
  AppendResponse,
  HeartbeatResponse,
  NodeId,
  PreVoteResponse,
  ReadContext,
  VoteResponse,
} from './types.js';

/** The sender and the recipient of an answer, and its term. */
interface Envelope {
  readonly from: NodeId;
  readonly to: NodeId;
  readonly term: number;
}

export function preVoteResponse(envelope: Envelope, granted: boolean): PreVoteResponse {
  const { from, to, term } = envelope;
  return { type: 'preVoteResponse', from, to, term, granted };
}

export function voteResponse({ from, to, term }: Envelope, granted: boolean): VoteResponse {
  return { type: 'voteResponse', from, to, term, granted };
}

/** Makes the answer that the log matches the leader's up to `index`. */
export function appendResponse({ from, to, term }: Envelope, index: number): AppendResponse {
  return { type: 'appendResponse', from, to, term, index, rejected: false, hintIndex: 0, hintTerm: 0 };
}

/** Makes the answer that the log does not match at `index`; `hint` is the place where it may (§5.3). */
export function appendRefusal(
  { from, to, term }: Envelope,
  index: number,
  hint: { readonly index: number; readonly term: number },
): AppendResponse {
  return {
    type: 'appendResponse',
    from,
    to,
    term,
    index,
    rejected: true,
    hintIndex: hint.index,
    hintTerm: hint.term,
  };
}

export function heartbeatResponse(
  { from, to, term }: Envelope,
  context: ReadContext,
  commit: number,
): HeartbeatResponse {
  return { type: 'heartbeatResponse', from, to, term, context, commit };
}
