import type { wolfRaft } from '@coxswain/protocol';
import type {
  AppendRequest,
  AppendResponse,
  Heartbeat,
  InstallSnapshot,
  Message,
  NodeId,
  VoteRequest,
} from '@coxswain/raft';
import { writeAppendEntries } from './append-entries.js';
import { toWolfEntry } from './entries.js';
import { toWolfId } from './ids.js';
import { believableTerm } from './term-leap.js';

/** The part of this node's replica that the calling side uses. `Raft` implements it. */
export interface LogTerms {
  /** Returns the term of the entry at `index`; undefined when it is compacted away or past the end. */
  termAt(index: number): number | undefined;
}

/** A message of the core as a call to its peer. */
export type Call =
  | {
      readonly method: 'AppendEntries';
      readonly request: wolfRaft.RaftAppendEntriesReq;
      /**
       * Converts the answer to a message for this node's core; undefined when it means nothing: `error_res`, or
       * nonsense.
       */
      answered(response: wolfRaft.RaftAppendEntriesRes): Message | undefined;
    }
  | {
      readonly method: 'Vote';
      readonly request: wolfRaft.RaftVoteReq;
      answered(response: wolfRaft.RaftVoteRes): Message | undefined;
    };

type Sent = AppendRequest | Heartbeat | VoteRequest;

/**
 * Converts the core's messages for one peer of one group to calls, and the answers to messages for the core. The host
 * must report a call that gets no answer, or `error_res`, with `Raft.reportUnreachable`: lost entries show in no other
 * way.
 *
 * It remembers up to which index the peer's log is known to match in this term. A real peer answers an AppendEntries
 * without entries with success, whatever its log holds (trap 2), so only an answer to one with entries, or an installed
 * snapshot, proves a match.
 */
export class PeerCalls {
  readonly #self: NodeId;
  readonly #peer: NodeId;
  #term = 0;
  #verifiedIndex = 0;

  constructor(self: NodeId, peer: NodeId) {
    this.#self = self;
    this.#peer = peer;
  }

  /**
   * Converts a message to a call. `msgId` comes back in the answer; real peers use the same one for every call of an
   * RPC.
   */
  call(message: Sent, log: LogTerms, msgId: string): Call {
    switch (message.type) {
      case 'append':
        return this.#append(message, msgId);
      case 'heartbeat':
        return this.#heartbeat(message, log, msgId);
      case 'vote':
        return this.#vote(message, msgId);
    }
  }

  /**
   * Converts the answer to the last chunk of a snapshot to a message for the core: the peer's log begins after the
   * snapshot. Returns undefined for `error_res`; the host then passes false to `Raft.reportSnapshot`, else true before
   * it steps this.
   */
  installed(
    message: InstallSnapshot,
    { response }: wolfRaft.RaftInstallSnapshotRes,
  ): AppendResponse | undefined {
    if (response?.$case !== 'okRes') return undefined;
    const term = believableTerm(response.value.term, message.term);
    if (term === undefined || term < message.term) return undefined;
    if (term > message.term) return this.#response(term, 0);
    this.#enter(message.term);
    this.#verifiedIndex = Math.max(this.#verifiedIndex, message.snapshot.index);
    return this.#response(term, message.snapshot.index);
  }

  #append(message: AppendRequest, msgId: string): Call {
    this.#enter(message.term);
    const { term, prevIndex, prevTerm, entries, commit } = message;
    const lastIndex = prevIndex + entries.length;
    // A real follower applies up to the leader's commit index, whatever its log holds there.
    const matched = entries.length > 0 ? lastIndex : Math.min(prevIndex, this.#verifiedIndex);
    const req = writeAppendEntries({
      term,
      leaderId: toWolfId(this.#self)!,
      prevLogIndex: prevIndex,
      prevLogTerm: prevTerm,
      entries: entries.map(toWolfEntry),
      leaderCommit: Math.min(commit, matched),
    });
    return {
      method: 'AppendEntries',
      request: { msgId, req },
      answered: ({ response }) => {
        if (response?.$case !== 'okRes') return undefined;
        const { success, conflictOpt } = response.value;
        const answeredTerm = believableTerm(response.value.term, term);
        if (answeredTerm === undefined || answeredTerm < term) return undefined;
        if (answeredTerm > term) return this.#response(answeredTerm, 0);
        if (!success) return this.#rejection(message, conflictOpt);
        const verified = this.#term === term ? this.#verifiedIndex : 0;
        // Without entries a real peer agrees to anything, so the core must send some.
        if (entries.length === 0 && prevIndex > verified)
          return this.#rejection(message, { index: BigInt(verified), term: 0n });
        if (this.#term === term) this.#verifiedIndex = Math.max(verified, lastIndex);
        return this.#response(term, lastIndex);
      },
    };
  }

  /** Makes an AppendEntries without entries, which follows the last entry that the peer may take for committed. */
  #heartbeat(message: Heartbeat, log: LogTerms, msgId: string): Call {
    const { term, commit, context } = message;
    const prevLogTerm = log.termAt(commit);
    const prevLogIndex = prevLogTerm === undefined ? 0 : commit;
    const req = writeAppendEntries({
      term,
      leaderId: toWolfId(this.#self)!,
      prevLogIndex,
      prevLogTerm: prevLogTerm ?? 0,
      entries: [],
      leaderCommit: prevLogIndex,
    });
    return {
      method: 'AppendEntries',
      request: { msgId, req },
      answered: ({ response }) => {
        if (response?.$case !== 'okRes') return undefined;
        const answeredTerm = believableTerm(response.value.term, term);
        if (answeredTerm === undefined || answeredTerm < term) return undefined;
        // A refusal also shows that the peer is in the leader's term now, which is all that a ReadIndex round asks.
        const knownCommit = response.value.success ? prevLogIndex : 0;
        return {
          type: 'heartbeatResponse',
          from: this.#peer,
          to: this.#self,
          term: answeredTerm,
          context,
          commit: knownCommit,
        };
      },
    };
  }

  #vote(message: VoteRequest, msgId: string): Call {
    const { term, lastIndex, lastTerm } = message;
    return {
      method: 'Vote',
      request: {
        msgId,
        term: BigInt(term),
        candidateId: BigInt(toWolfId(this.#self)!),
        lastLogIndex: BigInt(lastIndex),
        lastLogTerm: BigInt(lastTerm),
      },
      answered: ({ response }) => {
        if (response?.$case !== 'okRes') return undefined;
        const answeredTerm = believableTerm(response.value.term, term);
        const granted = response.value.voteGranted;
        // A vote counts only in the term in which it was asked for.
        if (answeredTerm === undefined || (granted && answeredTerm !== term)) return undefined;
        return { type: 'voteResponse', from: this.#peer, to: this.#self, term: answeredTerm, granted };
      },
    };
  }

  #enter(term: number): void {
    if (term <= this.#term) return;
    this.#term = term;
    this.#verifiedIndex = 0;
  }

  #response(term: number, index: number): AppendResponse {
    return {
      type: 'appendResponse',
      from: this.#peer,
      to: this.#self,
      term,
      index,
      rejected: false,
      hintIndex: 0,
      hintTerm: 0,
    };
  }

  /**
   * Converts a refusal. `conflict_opt` is only a hint where to probe: a real follower names entries that may differ.
   */
  #rejection({ term, prevIndex }: AppendRequest, conflict: wolfRaft.ConflictOpt | undefined): AppendResponse {
    const below = BigInt(Math.max(prevIndex - 1, 0));
    const hint = conflict === undefined || conflict.index > below ? below : conflict.index;
    const hintTerm = conflict !== undefined && conflict.index <= below ? termOf(conflict.term) : undefined;
    return {
      ...this.#response(term, prevIndex),
      rejected: true,
      hintIndex: Number(hint),
      hintTerm: hintTerm ?? 0,
    };
  }
}

/** Converts a term; undefined for one that this node could not keep exactly, which it does not believe. */
function termOf(term: bigint): number | undefined {
  return term > BigInt(Number.MAX_SAFE_INTEGER) ? undefined : Number(term);
}
