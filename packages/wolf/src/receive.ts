import type { wolfRaft } from '@coxswain/protocol';
import {
  type AppendRequest,
  type Entry,
  type Message,
  NO_NODE,
  type NodeId,
  type VoteRequest,
} from '@coxswain/raft';
import { readAppendEntries, type WolfAppendEntries } from './append-entries.js';
import { toRaftEntry } from './entries.js';
import { SecondLeader, WolfError, wolfErrors } from './errors.js';
import { toNodeId, toWolfId } from './ids.js';
import { isSameMembership } from './membership.js';
import { checkTermLeap } from './term-leap.js';

/** What the receiving side asks of this node's replica. `Raft` has all of it but `members`. */
export interface ReplicaView {
  readonly id: NodeId;
  /** The configured members of the group, this node among them. */
  readonly members: readonly NodeId[];
  readonly term: number;
  /** Who leads, or led, in `term`, this node among them; NO_NODE where that is not known. */
  readonly leaderOfTerm: NodeId;
  readonly commitIndex: number;
  /** The term of the entry at `index`; undefined where it is compacted away or past the end. */
  termAt(index: number): number | undefined;
}

/** The call is answered without the core: it changes nothing. */
export interface Decided<Response> {
  readonly kind: 'decided';
  readonly response: Response;
  /** Set where the caller says that it leads in a term that has another leader. */
  readonly secondLeader?: SecondLeader;
}

/** The core decides: step `message`, and give `settle` each message that the core then sends to `message.from`. */
export interface Stepped<Request extends Message, Response> {
  readonly kind: 'stepped';
  readonly message: Request;
  /**
   * The answer to the call, when `answer` is the core's to it; undefined when it belongs to another call. Several calls
   * of one peer may wait, and one answer may settle more than one.
   */
  settle(answer: Message, replica: ReplicaView): Response | undefined;
  /**
   * The answer where the core took the message in without a word, as it does with a request for a vote while it hears
   * from a leader. Undefined for calls that the core always answers.
   */
  unanswered(replica: ReplicaView): Response | undefined;
}

type Answer = { readonly $case: 'errorRes'; readonly value: wolfRaft.RaftErrorRes };

/** The answer `error_res` to any call. An error that is not a WolfError is a broken invariant and is thrown on. */
export function answerFailure(msgId: string, error: unknown): { response: Answer } {
  if (!(error instanceof WolfError)) throw error;
  return { response: { $case: 'errorRes', value: { msgId, code: error.code, msg: error.message } } };
}

/** Gives what `decide` gives, or its WolfError as an answer. */
function answered<T>(msgId: string, decide: () => T): T | Decided<{ response: Answer }> {
  try {
    return decide();
  } catch (error) {
    return refused(msgId, error);
  }
}

/** The WolfError as what was decided; any other error is thrown on. */
export function refused(msgId: string, error: unknown): Decided<{ response: Answer }> {
  const decided = { kind: 'decided', response: answerFailure(msgId, error) } as const;
  return error instanceof SecondLeader ? { ...decided, secondLeader: error } : decided;
}

/**
 * AppendEntries, as a follower of ours answers it:
 *
 * - an earlier term: `success` false without `conflict_opt`;
 * - a log that does not match: `success` false, and `conflict_opt` is the commit index and its term, never a higher index:
 *   a real leader counts it as the follower's match (trap 1). A heartbeat is held to it as well (trap 2);
 * - entries at or below the commit index are compared and passed over, never replaced, also where `prev_log_index` is 0
 *   (trap 6). Where one differs nothing is taken, and the answer is the same refusal;
 * - `success` true only when the log holds, durably, all that the request has.
 *
 * Never throws: other refusals are answered with `error_res`.
 */
export function receiveAppendEntries(
  { msgId, req }: wolfRaft.RaftAppendEntriesReq,
  replica: ReplicaView,
): Decided<wolfRaft.RaftAppendEntriesRes> | Stepped<AppendRequest, wolfRaft.RaftAppendEntriesRes> {
  return answered(msgId, () => appendOf(msgId, readAppendEntries(req), replica));
}

function appendOf(
  msgId: string,
  request: WolfAppendEntries,
  replica: ReplicaView,
): Decided<wolfRaft.RaftAppendEntriesRes> | Stepped<AppendRequest, wolfRaft.RaftAppendEntriesRes> {
  const { term } = request;
  // Nobody can lead in term 0.
  if (term < replica.term || term === 0)
    return { kind: 'decided', response: appendAnswer(msgId, replica.term, false) };
  checkTermLeap(term, replica.term, wolfErrors.appendFailed);
  const from = peerOf(request.leaderId, replica, 'leader_id', wolfErrors.appendFailed);
  checkLeader(from, term, replica, wolfErrors.appendFailed);
  const entries = entriesOf(request, replica);
  const message = beyondCommit(request, from, entries, replica);
  if (message === undefined)
    return { kind: 'decided', response: conflictAnswer(msgId, replica.term, replica) };
  const lastIndex = message.prevIndex + message.entries.length;
  return {
    kind: 'stepped',
    message,
    settle(answer, view) {
      if (answer.type !== 'appendResponse' || answer.to !== from || answer.term < term) return undefined;
      if (answer.term > term) return appendAnswer(msgId, answer.term, false);
      if (answer.rejected)
        return answer.index === message.prevIndex ? conflictAnswer(msgId, answer.term, view) : undefined;
      return answer.index >= lastIndex ? appendAnswer(msgId, answer.term, true) : undefined;
    },
    unanswered: () => undefined,
  };
}

/** The entries for the core. Throws WolfError RAFT_APPEND_ENTRIES_FAILED where no leader could have sent them. */
function entriesOf(
  { term, prevLogIndex, prevLogTerm, entries }: WolfAppendEntries,
  replica: ReplicaView,
): Entry[] {
  let lastTerm = prevLogIndex === 0 ? 0 : prevLogTerm;
  if (lastTerm > term) throw wolfErrors.appendFailed(`prev_log_term ${prevLogTerm} is above term ${term}`);
  const members = replica.members.map((id) => toWolfId(id)!);
  return entries.map((entry, place) => {
    if (entry.index !== prevLogIndex + 1 + place)
      throw wolfErrors.appendFailed(
        `entries[${place}] has index ${entry.index}, not ${prevLogIndex + 1 + place}`,
      );
    if (entry.term < lastTerm || entry.term > term || entry.term === 0)
      throw wolfErrors.appendFailed(
        `entry ${entry.index} has term ${entry.term}, which does not follow ${lastTerm} up to ${term}`,
      );
    lastTerm = entry.term;
    const { payload } = entry;
    if (payload.type === 'configChange' && !isSameMembership(payload.membership, members))
      throw wolfErrors.appendFailed(
        `entry ${entry.index} changes the members, which are what wolf.members names for good: ${members.join(', ')}`,
      );
    return toRaftEntry(entry);
  });
}

/**
 * The request without what is committed here already. Undefined: it differs from that (trap 6). The core itself would
 * answer a request that reaches back with its commit index, which this protocol cannot say along with success.
 */
function beyondCommit(
  { term, prevLogIndex, prevLogTerm, leaderCommit }: WolfAppendEntries,
  from: NodeId,
  entries: readonly Entry[],
  replica: ReplicaView,
): AppendRequest | undefined {
  const { id: to, commitIndex } = replica;
  const head = { type: 'append', from, to, term, commit: leaderCommit, isToAnswer: true } as const;
  const prevTerm = prevLogIndex === 0 ? 0 : prevLogTerm;
  if (prevLogIndex >= commitIndex) return { ...head, prevIndex: prevLogIndex, prevTerm, entries };
  const differs = (index: number, sent: number): boolean => {
    const here = replica.termAt(index);
    // Compacted entries were committed, and so are in every leader's log.
    return here !== undefined && here !== sent;
  };
  if (differs(prevLogIndex, prevTerm)) return undefined;
  const committed = Math.min(entries.length, commitIndex - prevLogIndex);
  for (let place = 0; place < committed; place++)
    if (differs(entries[place]!.index, entries[place]!.term)) return undefined;
  return {
    ...head,
    prevIndex: commitIndex,
    prevTerm: replica.termAt(commitIndex) ?? 0,
    entries: entries.slice(committed),
  };
}

function appendAnswer(
  msgId: string,
  term: number,
  success: boolean,
  conflictOpt?: wolfRaft.ConflictOpt,
): wolfRaft.RaftAppendEntriesRes {
  return { response: { $case: 'okRes', value: { msgId, term: BigInt(term), success, conflictOpt } } };
}

function conflictAnswer(msgId: string, term: number, replica: ReplicaView): wolfRaft.RaftAppendEntriesRes {
  const { commitIndex } = replica;
  const commitTerm = replica.termAt(commitIndex) ?? 0;
  return appendAnswer(msgId, term, false, { index: BigInt(commitIndex), term: BigInt(commitTerm) });
}

/**
 * Vote, by Raft's rule. While the core hears from a leader it takes a later term in without a word: `unanswered` then
 * gives the refusal, in the term that the node stays in. Never throws.
 */
export function receiveVote(
  request: wolfRaft.RaftVoteReq,
  replica: ReplicaView,
): Decided<wolfRaft.RaftVoteRes> | Stepped<VoteRequest, wolfRaft.RaftVoteRes> {
  const { msgId } = request;
  return answered(msgId, () => {
    const exact = (value: bigint, field: string) => toNumber(value, field, wolfErrors.voteFailed);
    const term = exact(request.term, 'term');
    const lastIndex = exact(request.lastLogIndex, 'last_log_index');
    const lastTerm = exact(request.lastLogTerm, 'last_log_term');
    const candidate = exact(request.candidateId, 'candidate_id');
    if (term < replica.term || term === 0)
      return { kind: 'decided', response: voteAnswer(msgId, replica.term, false) };
    checkTermLeap(term, replica.term, wolfErrors.voteFailed);
    const from = peerOf(candidate, replica, 'candidate_id', wolfErrors.voteFailed);
    // A log that ends in a later term than the one that it campaigns in is nobody's.
    if (lastTerm > term) throw wolfErrors.voteFailed(`last_log_term ${lastTerm} is above term ${term}`);
    const to = replica.id;
    const message: VoteRequest = { type: 'vote', from, to, term, lastIndex, lastTerm, isTransfer: false };
    return {
      kind: 'stepped',
      message,
      settle: (answer) => {
        if (answer.type !== 'voteResponse' || answer.to !== from) return undefined;
        // An answer to a request of an earlier term.
        if (answer.granted ? answer.term !== term : answer.term < term) return undefined;
        return voteAnswer(msgId, answer.term, answer.granted);
      },
      unanswered: (view) => voteAnswer(msgId, view.term, false),
    };
  });
}

function voteAnswer(msgId: string, term: number, voteGranted: boolean): wolfRaft.RaftVoteRes {
  return { response: { $case: 'okRes', value: { msgId, term: BigInt(term), voteGranted } } };
}

type Fail = (reason: string) => WolfError;

/** The member that a call names as its sender. Throws where it is this node, or no member. */
export function peerOf(
  wolfId: number,
  replica: Pick<ReplicaView, 'id' | 'members'>,
  field: string,
  fail: Fail,
): NodeId {
  const id = toNodeId(wolfId);
  if (id === replica.id) throw fail(`${field} ${wolfId} is this node itself`);
  if (!replica.members.includes(id))
    throw fail(`${field} ${wolfId} is not among the members that wolf.members names`);
  return id;
}

/**
 * Throws SecondLeader where `term` is this node's and has another leader than `from`. A term has one (§5.2): each of two
 * could have an entry of its own acknowledged at one index, and this node would count the one for the other.
 */
export function checkLeader(
  from: NodeId,
  term: number,
  { id, term: current, leaderOfTerm }: Pick<ReplicaView, 'id' | 'term' | 'leaderOfTerm'>,
  fail: Fail,
): void {
  if (term !== current || leaderOfTerm === NO_NODE || leaderOfTerm === from) return;
  const known =
    leaderOfTerm === id
      ? `this node leads in term ${term} itself`
      : `member ${toWolfId(leaderOfTerm)} leads in term ${term}`;
  const { code, message } = fail(
    `${known}, and member ${toWolfId(from)} cannot: two nodes have the same id, or one lost its disk`,
  );
  throw new SecondLeader(code, message, term, toWolfId(from)!);
}

/** A uint64 that this node can keep exactly. Throws above 2^53-1. */
export function toNumber(value: bigint, field: string, fail: Fail): number {
  if (value > BigInt(Number.MAX_SAFE_INTEGER))
    throw fail(`${field} is above 2^53-1, the largest that this node takes`);
  return Number(value);
}
