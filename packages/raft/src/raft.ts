import { assert } from './assert.js';
import { type RaftConfig, validateConfig } from './config.js';
import { Leadership, type LeadershipHost, type PeerStatus, type ProposeResult } from './leadership.js';
import { Log } from './log.js';
import { voteResult } from './quorum.js';
import {
  appendRefusal,
  appendResponse,
  heartbeatResponse,
  preVoteResponse,
  voteResponse,
} from './responses.js';
import {
  type AppendRequest,
  type HardState,
  type Heartbeat,
  type InstallSnapshot,
  type Membership,
  type Message,
  NO_NODE,
  type NodeId,
  type PreVoteRequest,
  type PreVoteResponse,
  type ReadContext,
  type ReadState,
  type Ready,
  type StorageAppend,
  type VoteRequest,
  type VoteResponse,
} from './types.js';

export type Role = 'follower' | 'preCandidate' | 'candidate' | 'leader';

/**
 * One replica of one Raft group: a step machine without I/O, clock or randomness of its own. The host feeds it ticks,
 * messages and proposals, takes the consequences with `ready`, and reports which entries became durable and which were
 * applied. See DESIGN.md for the contract, and for why the order of things is safe.
 *
 * This class holds the parts that every role shares (terms, votes, the follower's side of the log); `Leadership` holds
 * the parts of a leader.
 */
export class Raft {
  readonly id: NodeId;
  /** While false this replica never campaigns (its state machine is being rebuilt), but votes and appends. */
  canCampaign = true;

  readonly #log: Log;
  #currentRole: Role = 'follower';
  #currentTerm: number;
  #vote: NodeId;
  #knownLeader: NodeId = NO_NODE;
  /** The leader of this term, kept even when `knownLeader` is forgotten: a term has one leader at most (§5.2). */
  #electedInTerm: NodeId = NO_NODE;
  #currentMembership: Membership;
  /** Present while this replica leads. */
  #leadership: Leadership | undefined;
  /** The answers to this replica's campaign, its own among them. */
  readonly #votes = new Map<NodeId, boolean>();
  #ticksSinceContact = 0;
  #electionTimeoutTicks = 0;

  #messages: Message[] = [];
  /** Messages that may leave only when everything up to the next `StorageAppend` is durable (D1). */
  #responses: Message[] = [];
  #reads: ReadState[] = [];
  /** Appends that were handed out for storing and are not acknowledged, oldest first. */
  readonly #appendsInFlight: StorageAppend[] = [];
  #submitted: HardState;
  #durable: HardState;
  readonly #leadershipHost: LeadershipHost;

  readonly #config: RaftConfig;

  /** @throws RaftInvariantError when the log, the hard state and the applied index contradict each other. */
  constructor(config: RaftConfig) {
    this.#config = config;
    validateConfig(config);
    this.id = config.id;
    this.#log = new Log(config.log, config.hardState.commit, config.applied);
    this.#currentTerm = config.hardState.term;
    this.#vote = config.hardState.vote;
    this.#submitted = config.hardState;
    this.#durable = config.hardState;
    this.#currentMembership = config.membership;
    this.#leadershipHost = {
      send: (message) => this.#messages.push(message),
      answerRead: ({ context, from, index }) => {
        if (from === this.id) this.#reads.push({ context, index });
        else
          this.#messages.push({
            type: 'readIndexResponse',
            from: this.id,
            to: from,
            term: this.#currentTerm,
            context,
            index,
          });
      },
    };
    assert(
      this.#currentTerm >= this.#log.lastTerm,
      'the log holds entries of a term later than the hard state',
    );
    if (config.remembersLeader && this.#log.hasEntryOf(this.#currentTerm)) this.#electedInTerm = this.#vote;
    this.#restartElectionTimer();
  }

  get role(): Role {
    return this.#currentRole;
  }

  get term(): number {
    return this.#currentTerm;
  }

  /** The known leader, or NO_NODE. */
  get leader(): NodeId {
    return this.#knownLeader;
  }

  /**
   * The node that was elected in `term`, even if it is silent now; NO_NODE when this replica has not heard of one. It
   * remembers one since its start or, with `remembersLeader`, since it has an entry of the term.
   */
  get leaderOfTerm(): NodeId {
    return this.#electedInTerm;
  }

  get commitIndex(): number {
    return this.#log.commit;
  }

  get appliedIndex(): number {
    return this.#log.applied;
  }

  get lastIndex(): number {
    return this.#log.lastIndex;
  }

  /** Returns the term of the entry at `index`; undefined when it is compacted away or past the end. */
  termAt(index: number): number | undefined {
    return this.#log.term(index);
  }

  get membership(): Membership {
    return this.#currentMembership;
  }

  /** True for a leader that has committed an entry of its own term (P2). */
  get hasCommittedInTerm(): boolean {
    return this.#leadership?.hasCommittedInTerm ?? false;
  }

  /** The voter to which this leader is handing its leadership over, or NO_NODE. Meanwhile proposals are refused. */
  get transferTarget(): NodeId {
    return this.#leadership?.transferTarget ?? NO_NODE;
  }

  /**
   * True for a leader whose followers all have every entry and know it committed, with nothing pending. Its host may
   * let the group go quiet.
   */
  get isIdle(): boolean {
    return (
      this.#leadership?.isIdle === true &&
      this.#log.applied === this.#log.commit &&
      this.#appendsInFlight.length === 0 &&
      !this.hasReady()
    );
  }

  /** The leader's view of its peers; empty on other replicas. */
  peerStatuses(): readonly PeerStatus[] {
    return this.#leadership?.peerStatuses ?? [];
  }

  hardState(): HardState {
    return { term: this.#currentTerm, vote: this.#vote, commit: this.#log.commit };
  }

  // Time and commands.

  /** Handles one tick of the host's clock. */
  tick(): void {
    this.#ticksSinceContact++;
    if (this.#leadership === undefined) {
      if (this.#ticksSinceContact >= this.#electionTimeoutTicks) this.campaign();
      return;
    }
    if (this.#ticksSinceContact >= this.#config.electionTicks) {
      this.#ticksSinceContact = 0;
      if (this.#config.checkQuorum && !this.#leadership.checkQuorum()) {
        this.#becomeFollower(this.#currentTerm, NO_NODE);
        return;
      }
    }
    this.#leadership.tick();
  }

  /** Starts an election, with a pre-vote when configured, unless `canCampaign` or the role forbids it. */
  campaign(): void {
    if (this.#leadership !== undefined || !this.#isPromotable()) return;
    if (this.#config.preVote) this.#becomePreCandidate();
    else this.#becomeCandidate({ isTransfer: false });
  }

  /** Appends one entry per element, all or none. They leave for the followers with the next `ready`. */
  propose(data: readonly Buffer[]): ProposeResult {
    return this.#leadership?.propose(data) ?? 'notLeader';
  }

  /**
   * Asks for a read index, which `Ready.reads` will answer, on a follower through its leader. The answer never comes
   * when a message is lost or the leader changes; the host then asks again. Returns false when no leader is known.
   */
  readIndex(context: ReadContext): boolean {
    assert(context !== '', 'a read context must not be empty');
    if (this.#leadership !== undefined) {
      this.#leadership.readIndex(context, this.id);
      return true;
    }
    if (this.#knownLeader === NO_NODE) return false;
    this.#messages.push({
      type: 'readIndex',
      from: this.id,
      to: this.#knownLeader,
      term: this.#currentTerm,
      context,
    });
    return true;
  }

  /** Makes a follower forget its leader, so that it grants votes before its timeout (etcd's forget_leader). */
  forgetLeader(): void {
    if (this.#currentRole === 'follower') this.#knownLeader = NO_NODE;
  }

  /**
   * Begins to hand this leader's leadership over to another voter (thesis 3.10): see `Leadership.transferTo`. Returns
   * false when this replica does not lead or `target` is not another voter. The end shows in `role`, or in
   * `transferTarget` when the transfer has failed.
   */
  transferLeadership(target: NodeId): boolean {
    return this.#leadership?.transferTo(target) ?? false;
  }

  /** Reports that messages to `peer` are being lost: its appends are sent one at a time until it answers. */
  reportUnreachable(peer: NodeId): void {
    this.#leadership?.reportUnreachable(peer);
  }

  /** Reports that `peer` has lost entries that it acknowledged in this term: see `Leadership.reportLost`. */
  reportLost(peer: NodeId): void {
    this.#leadership?.reportLost(peer);
  }

  /** Reports the outcome of the transfer for an InstallSnapshot message. Every such message needs one report. */
  reportSnapshot(peer: NodeId, succeeded: boolean): void {
    this.#leadership?.reportSnapshot(peer, succeeded);
  }

  // Input and output.

  /** Handles a message from another replica. Throws RaftInvariantError for one that is addressed to another node. */
  step(message: Message): void {
    assert(message.to === this.id, () => `a message for node ${message.to} came to node ${this.id}`);
    if (message.term > this.#currentTerm) {
      if (!this.#acceptsHigherTerm(message)) return;
    } else if (message.term < this.#currentTerm && !this.#acceptsLowerTerm(message)) {
      return;
    }
    switch (message.type) {
      case 'preVote':
        this.#answerPreVote(message);
        return;
      case 'vote':
        this.#answerVote(message);
        return;
      case 'preVoteResponse':
      case 'voteResponse':
        this.#countVote(message);
        return;
      case 'append':
        this.#followLeader(message.from);
        this.#append(message);
        return;
      case 'heartbeat':
        this.#followLeader(message.from);
        this.#answerHeartbeat(message);
        return;
      case 'installSnapshot':
        if (message.term === this.#currentTerm) this.#followLeader(message.from);
        this.#installSnapshot(message);
        return;
      case 'appendResponse':
        this.#leadership?.appendResponse(message);
        return;
      case 'heartbeatResponse':
        this.#leadership?.heartbeatResponse(message);
        return;
      case 'readIndex':
        this.#leadership?.readIndex(message.context, message.from);
        return;
      case 'readIndexResponse':
        this.#reads.push({ context: message.context, index: message.index });
        return;
      case 'timeoutNow':
        this.#followLeader(message.from);
        // Without a pre-vote, which asks whether a leader is missed: this one is not.
        if (this.#isPromotable()) this.#becomeCandidate({ isTransfer: true });
        return;
    }
  }

  /** Whether `ready` may have something. It may still turn out empty. */
  hasReady(): boolean {
    return (
      this.#messages.length > 0 ||
      this.#responses.length > 0 ||
      this.#reads.length > 0 ||
      this.#log.hasUnsubmitted ||
      this.#log.hasCommitted ||
      this.#hasNewTermOrVote() ||
      (this.#leadership?.needsFlush ?? false)
    );
  }

  /** Returns everything that follows from the input so far. Each item is handed out once. */
  ready(): Ready {
    this.#leadership?.flush();
    const append = this.#takeAppend();
    const committed = this.#log.takeCommitted(this.#config.maxCommittedBytesPerReady);
    this.#leadership?.handedOut(committed);
    const messages = this.#messages;
    const reads = this.#reads;
    this.#messages = [];
    this.#reads = [];
    return { messages, append, committed, reads };
  }

  /** Reports that the append is durable. The host reports appends in the order in which `ready` handed them out. */
  appended(append: StorageAppend): void {
    assert(append === this.#appendsInFlight.shift(), 'storage was acknowledged out of order');
    if (append.hardState !== undefined) this.#durable = append.hardState;
    // The ABA race: within the append's term an entry, once replaced, is never put back, so an entry that is still
    // here was never replaced. After a term change that is not known, and the write of the new hard state, which
    // names the last entry again, decides instead (DESIGN.md).
    if (append.term === this.#currentTerm) this.#log.acknowledge(append.lastIndex, append.lastTerm);
    if (append.snapshot !== undefined) this.#log.acknowledgeSnapshot(append.snapshot);
    if (this.#currentRole === 'candidate') this.#countOwnVote();
    this.#leadership?.localLogDurable();
  }

  /** Reports that every committed entry up to `index` is applied. */
  applied(index: number): void {
    this.#log.acknowledgeApplied(index);
  }

  #hasNewTermOrVote(): boolean {
    return this.#currentTerm !== this.#submitted.term || this.#vote !== this.#submitted.vote;
  }

  #takeAppend(): StorageAppend | undefined {
    const log = this.#log;
    const responses = this.#responses;
    const hasUnsubmitted = log.hasUnsubmitted;
    if (!hasUnsubmitted && !this.#hasNewTermOrVote()) {
      if (responses.length === 0) return undefined;
      if (this.#appendsInFlight.length === 0) {
        // Nothing is under way, so everything that the responses refer to is durable.
        assert(log.durableIndex === log.lastIndex, 'storage is quiet and the log is not durable');
        for (const response of responses) this.#messages.push(response);
        this.#responses = [];
        return undefined;
      }
    }
    this.#responses = [];
    const { entries, snapshot } = log.submit();
    // The commit index alone is not worth a write: it is a hint, which is written along with something else.
    const isHardStateWorthIt =
      this.#hasNewTermOrVote() || (hasUnsubmitted && this.#log.commit !== this.#submitted.commit);
    const hardState = isHardStateWorthIt ? this.hardState() : undefined;
    if (hardState !== undefined) this.#submitted = hardState;
    const append: StorageAppend = {
      hardState,
      entries,
      snapshot,
      responses,
      term: this.#currentTerm,
      lastIndex: log.lastIndex,
      lastTerm: log.lastTerm,
    };
    this.#appendsInFlight.push(append);
    return append;
  }

  // Terms (§5.1).

  /** Handles a message of a later term, which usually ends this one. Returns false when the message must be ignored. */
  #acceptsHigherTerm(message: Message): boolean {
    switch (message.type) {
      case 'preVote':
      case 'vote':
        // A node that hears a leader does not help to depose it (thesis 4.2.3), or a node that was cut off would. When
        // the leader itself asked for the election, there is nothing to protect.
        if (this.#isInContactWithLeader() && !(message.type === 'vote' && message.isTransfer)) return false;
        // A pre-vote asks about a term in which nobody is yet.
        if (message.type === 'vote') this.#becomeFollower(message.term, NO_NODE);
        return true;
      case 'preVoteResponse':
        // A granted one carries the term that was asked about.
        if (!message.granted) this.#becomeFollower(message.term, NO_NODE);
        return true;
      case 'append':
      case 'heartbeat':
      case 'installSnapshot':
      case 'timeoutNow':
        this.#becomeFollower(message.term, message.from);
        return true;
      default:
        this.#becomeFollower(message.term, NO_NODE);
        return true;
    }
  }

  /** Handles a message of an earlier term. Returns true when it must be handled although it is stale. */
  #acceptsLowerTerm(message: Message): boolean {
    switch (message.type) {
      case 'append':
      case 'heartbeat':
        // With PreVote and CheckQuorum a node with a higher term cannot depose the leader by campaigning, since nobody
        // listens. It sends the leader its term instead, and the leader then begins a new term that this node can
        // follow.
        if (this.#config.checkQuorum || this.#config.preVote)
          this.#sendAppendResponse(message.from, 0, this.#messages);
        return false;
      case 'preVote':
        // The asker must learn the term, or nodes with short logs and high terms, and the reverse, wait for ever.
        this.#messages.push(preVoteResponse(this.#answerTo(message.from), false));
        return false;
      case 'installSnapshot':
        // Its content was committed and stays so; a transfer may well outlive the term that began it.
        return this.#currentRole === 'follower';
      case 'readIndex':
      case 'readIndexResponse':
        // Neither claims authority from its term: the answer depends on the answering leader's alone.
        return true;
      default:
        return false;
    }
  }

  #isInContactWithLeader(): boolean {
    return (
      this.#config.checkQuorum &&
      this.#knownLeader !== NO_NODE &&
      this.#ticksSinceContact < this.#config.electionTicks
    );
  }

  // Roles (§5.2).

  #becomeFollower(term: number, leader: NodeId): void {
    this.#enterTerm(term);
    this.#currentRole = 'follower';
    this.#leadership = undefined;
    this.#knownLeader = leader;
    if (leader !== NO_NODE) this.#electedInTerm = leader;
    this.#restartElectionTimer();
  }

  #becomePreCandidate(): void {
    // Neither the term nor the vote changes: the question costs nobody anything.
    this.#currentRole = 'preCandidate';
    this.#knownLeader = NO_NODE;
    this.#restartElectionTimer();
    this.#votes.clear();
    this.#votes.set(this.id, true);
    if (this.#hasElectionEnded()) return;
    const { id: from } = this;
    const term = this.#currentTerm;
    this.#askVoters((to) =>
      this.#messages.push({ type: 'preVote', from, to, term: term + 1, ...this.#log.end }),
    );
  }

  #becomeCandidate({ isTransfer }: { isTransfer: boolean }): void {
    this.#enterTerm(this.#currentTerm + 1);
    this.#currentRole = 'candidate';
    this.#knownLeader = NO_NODE;
    this.#vote = this.id;
    this.#restartElectionTimer();
    this.#votes.clear();
    // The requests wait for the term, the vote and the log that they speak of to be durable, as the candidate's own
    // vote does: a candidate that forgets a term could win it twice, with two logs (D1, DESIGN.md).
    const { id: from } = this;
    const term = this.#currentTerm;
    this.#askVoters((to) =>
      this.#responses.push({ type: 'vote', from, to, term, ...this.#log.end, isTransfer }),
    );
  }

  #becomeLeader(): void {
    assert(this.#durable.term === this.#currentTerm, 'a leader must not forget its term');
    this.#currentRole = 'leader';
    this.#knownLeader = this.id;
    this.#electedInTerm = this.id;
    this.#restartElectionTimer();
    this.#leadership = new Leadership(
      this.#config,
      this.#currentTerm,
      this.#log,
      this.#currentMembership,
      this.#leadershipHost,
    );
  }

  #enterTerm(term: number): void {
    assert(term >= this.#currentTerm, 'the term must not go back');
    if (term === this.#currentTerm) return;
    this.#currentTerm = term;
    this.#vote = NO_NODE;
    this.#electedInTerm = NO_NODE;
  }

  /**
   * Handles the leader of an append, heartbeat or snapshot of this term: its sender won the election. Of two leaders in
   * one term each may commit an entry of its own at the same index, so a node that hears of both must stop.
   */
  #followLeader(leader: NodeId): void {
    assert(
      this.#electedInTerm === NO_NODE || this.#electedInTerm === leader,
      () => `two leaders in term ${this.#currentTerm}: ${this.#electedInTerm} and ${leader}`,
    );
    this.#electedInTerm = leader;
    if (this.#currentRole === 'follower') {
      this.#knownLeader = leader;
      this.#ticksSinceContact = 0;
    } else {
      this.#becomeFollower(this.#currentTerm, leader);
    }
  }

  #restartElectionTimer(): void {
    const { electionTicks, random } = this.#config;
    this.#ticksSinceContact = 0;
    this.#electionTimeoutTicks = electionTicks + Math.floor(random() * electionTicks);
  }

  /** Learners, nodes that are not members, and replicas without a complete state machine do not stand for election. */
  #isPromotable(): boolean {
    return (
      this.canCampaign &&
      this.#log.pendingSnapshot === undefined &&
      this.#currentMembership.voters.includes(this.id)
    );
  }

  // Elections (§5.2, §5.4.1, thesis 9.6).

  #askVoters(ask: (voter: NodeId) => void): void {
    for (const voter of this.#currentMembership.voters) if (voter !== this.id) ask(voter);
  }

  #answerPreVote(message: PreVoteRequest): void {
    // A leader in this term does not matter when the question is about a later one.
    const isFree = message.term > this.#currentTerm || this.#isFreeToVoteFor(message.from);
    const granted = isFree && this.#isUpToDate(message);
    // A pre-vote promises nothing, so nothing has to be durable. A refusal carries the term that this node is in.
    const term = granted ? message.term : this.#currentTerm;
    this.#messages.push(preVoteResponse({ ...this.#answerTo(message.from), term }, granted));
  }

  #answerTo(to: NodeId): { from: NodeId; to: NodeId; term: number } {
    return { from: this.id, to, term: this.#currentTerm };
  }

  /** Answers a vote. Even a node that does not know itself to be a voter answers: it may have missed its promotion. */
  #answerVote(message: VoteRequest): void {
    const granted = this.#isFreeToVoteFor(message.from) && this.#isUpToDate(message);
    const response = voteResponse(this.#answerTo(message.from), granted);
    if (!granted) {
      this.#messages.push(response);
      return;
    }
    this.#vote = message.from;
    this.#ticksSinceContact = 0;
    // D1: the vote leaves when it is durable.
    this.#responses.push(response);
  }

  /** A node gives one vote per term, and none in a term that has a leader. */
  #isFreeToVoteFor(candidate: NodeId): boolean {
    // In that case the vote names the leader, and perhaps not the node that this replica voted for.
    if (this.#config.remembersLeader && this.#electedInTerm !== NO_NODE) return false;
    return this.#vote === candidate || (this.#vote === NO_NODE && this.#knownLeader === NO_NODE);
  }

  #isUpToDate(message: PreVoteRequest | VoteRequest): boolean {
    return this.#log.isCoveredBy({ index: message.lastIndex, term: message.lastTerm });
  }

  #countVote(message: PreVoteResponse | VoteResponse): void {
    const isExpected =
      message.type === 'voteResponse'
        ? this.#currentRole === 'candidate'
        : this.#currentRole === 'preCandidate' &&
          // A grant of an earlier question does not count for this one.
          message.term === this.#currentTerm + (message.granted ? 1 : 0);
    // The first answer stands, since a node has only one.
    if (!isExpected || this.#votes.has(message.from)) return;
    this.#votes.set(message.from, message.granted);
    this.#hasElectionEnded();
  }

  /** Counts a candidate's own vote once it is durable (D1). */
  #countOwnVote(): void {
    if (
      this.#durable.term !== this.#currentTerm ||
      this.#durable.vote !== this.id ||
      this.#votes.has(this.id)
    )
      return;
    this.#votes.set(this.id, true);
    this.#hasElectionEnded();
  }

  #hasElectionEnded(): boolean {
    // Others may have answered before the host reported the write that let the requests leave.
    if (!this.#votes.has(this.id)) return false;
    switch (voteResult(this.#currentMembership.voters, this.#votes)) {
      case 'won':
        if (this.#currentRole === 'preCandidate') this.#becomeCandidate({ isTransfer: false });
        else this.#becomeLeader();
        return true;
      case 'lost':
        this.#becomeFollower(this.#currentTerm, NO_NODE);
        return true;
      case 'pending':
        return false;
    }
  }

  // The follower's side of the log (§5.3, §7).

  #append(message: AppendRequest): void {
    const log = this.#log;
    if (message.prevIndex < log.commit) {
      // This is an old message. Committed entries match the leader's log, so the commit index is the answer.
      this.#sendAppendResponse(message.from, log.commit, this.#responses);
      return;
    }
    if (log.term(message.prevIndex) !== message.prevTerm) {
      const hint = log.lastIndexWithin(message.prevIndex, message.prevTerm);
      // A refusal promises nothing.
      this.#messages.push(appendRefusal(this.#answerTo(message.from), message.prevIndex, hint));
      return;
    }
    log.merge(message.prevIndex, message.entries);
    // The vote becomes durable with the first of these entries, and so before they are acknowledged. This replica then
    // votes for nobody any more in this term.
    if (this.#config.remembersLeader && this.#log.hasEntryOf(this.#currentTerm)) this.#vote = message.from;
    const last = message.prevIndex + message.entries.length;
    log.commitTo(Math.min(message.commit, last));
    if (message.isToAnswer) this.#sendAppendResponse(message.from, last, this.#responses);
  }

  #sendAppendResponse(to: NodeId, index: number, outbox: Message[]): void {
    outbox.push(appendResponse(this.#answerTo(to), index));
  }

  #answerHeartbeat(message: Heartbeat): void {
    this.#log.commitTo(message.commit);
    // Sent at once: the answer says that this node is in the leader's term now, and promises nothing for after a crash.
    this.#messages.push(heartbeatResponse(this.#answerTo(message.from), message.context, this.#log.commit));
  }

  /** Handles a snapshot whose state has arrived. The host installs it only if it is in `Ready.append.snapshot`. */
  #installSnapshot(message: InstallSnapshot): void {
    const log = this.#log;
    const { snapshot } = message;
    const { voters, learners } = snapshot.membership;
    const isMember = voters.includes(this.id) || learners.includes(this.id);
    if (snapshot.index > log.commit && isMember) {
      if (log.term(snapshot.index) === snapshot.term) {
        // The log has all of it, and now it is known to be committed.
        log.commitTo(snapshot.index);
      } else {
        log.restore(snapshot);
        this.#currentMembership = snapshot.membership;
      }
    }
    this.#sendAppendResponse(message.from, log.commit, this.#responses);
  }
}
