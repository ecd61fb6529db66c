import { assert } from './assert.js';
import type { RaftConfig } from './config.js';
import type { Log } from './log.js';
import { Progress, type ProgressState } from './progress.js';
import { majorityIndex } from './quorum.js';
import { ReadIndexQueue, type ReadRound } from './read-index.js';
import {
  type AppendResponse,
  type Entry,
  EntryType,
  type HeartbeatResponse,
  type Membership,
  type Message,
  NO_NODE,
  type NodeId,
  type ReadContext,
} from './types.js';

/** The result of a proposal. `transferring`: nothing was appended, because the leadership is being handed over. */
export type ProposeResult = 'appended' | 'notLeader' | 'tooManyUncommitted' | 'transferring';

/** A leader's view of one of its peers, for status pages and tests. */
export interface PeerStatus {
  readonly id: NodeId;
  readonly isLearner: boolean;
  readonly state: ProgressState;
  readonly match: number;
  readonly next: number;
  readonly inflight: number;
  /** True while sending waits for an answer. */
  readonly isPaused: boolean;
  readonly isRecentlyActive: boolean;
  /** The index of the snapshot on its way to the peer, or 0. */
  readonly pendingSnapshot: number;
}

/** The parts of the core that a leadership uses. */
export interface LeadershipHost {
  send(message: Message): void;
  /** Reports that a ReadIndex round of this node, or of `round.from`, is confirmed. */
  answerRead(round: ReadRound): void;
}

/** The transfer of the leadership to a voter (thesis 3.10), and the ticks since it began. */
interface Transfer {
  readonly target: NodeId;
  ticks: number;
}

const NOTHING: { readonly entries: readonly Entry[]; readonly bytes: number } = { entries: [], bytes: 0 };

/**
 * One term of leading: replication (§5.3), commit by counting (§5.4.2), ReadIndex (thesis 6.4). It is made when
 * the election is won and dropped when the term ends, so nothing of it can outlive the term.
 *
 * Appends and ReadIndex heartbeats are not sent by the call that makes them necessary but by `flush`, once per
 * turn of the host: a thousand proposals in a turn are one append per follower.
 */
export class Leadership {
  readonly #peers = new Map<NodeId, Progress>();
  readonly #reads = new ReadIndexQueue();
  /**
   * Questions from before the first commit in this term, held since the commit index is not known to be current (P2).
   */
  #heldReads: Omit<ReadRound, 'index'>[] = [];
  /** The index of the first entry of this term. */
  readonly #firstIndexInTerm: number;
  #uncommittedBytes = 0;
  #ticksSinceHeartbeat = 0;
  #isAppendDue = true;
  #isReadHeartbeatDue = false;
  #transfer: Transfer | undefined;
  /** The last read of the log for an append, kept because the next follower most likely needs the same entries. */
  #lastRead = { from: 0, lastIndex: 0, ...NOTHING };

  readonly #config: RaftConfig;
  readonly #term: number;
  readonly #log: Log;
  readonly #membership: Membership;
  readonly #host: LeadershipHost;

  constructor(config: RaftConfig, term: number, log: Log, membership: Membership, host: LeadershipHost) {
    this.#config = config;
    this.#term = term;
    this.#log = log;
    this.#membership = membership;
    this.#host = host;
    this.#firstIndexInTerm = log.lastIndex + 1;
    for (const id of [...membership.voters, ...membership.learners]) {
      if (id === config.id) continue;
      this.#peers.set(
        id,
        new Progress(this.#firstIndexInTerm, config.maxInflightMessages, config.maxInflightBytes),
      );
    }
    log.push({ index: this.#firstIndexInTerm, term, type: EntryType.Empty, data: Buffer.alloc(0) });
  }

  /** True once an entry of this term is committed: from then on the commit index is current (P2, §8). */
  get hasCommittedInTerm(): boolean {
    return this.#log.commit >= this.#firstIndexInTerm;
  }

  /** The voter to which the leadership is being handed over, or NO_NODE. */
  get transferTarget(): NodeId {
    return this.#transfer?.target ?? NO_NODE;
  }

  /** True when `flush` may have something to send. */
  get needsFlush(): boolean {
    return this.#isAppendDue || this.#isReadHeartbeatDue;
  }

  /**
   * True when every peer has every entry and has confirmed that it knows them committed, no question waits, and no
   * transfer is under way.
   */
  get isIdle(): boolean {
    if (this.#transfer !== undefined) return false;
    const { lastIndex, commit, durableIndex } = this.#log;
    if (commit !== lastIndex || durableIndex !== lastIndex || this.needsFlush) return false;
    if (!this.#reads.isEmpty || this.#heldReads.length > 0) return false;
    for (const peer of this.#peers.values()) {
      if (peer.state !== 'replicate' || peer.match !== lastIndex || peer.knownCommit !== commit) return false;
    }
    return true;
  }

  get peerStatuses(): PeerStatus[] {
    return [...this.#peers].map(([id, peer]) => ({
      id,
      isLearner: this.#membership.learners.includes(id),
      state: peer.state,
      match: peer.match,
      next: peer.next,
      inflight: peer.inflights.count,
      isPaused:
        peer.state === 'probe' ? peer.isProbeSent : peer.state === 'snapshot' || peer.inflights.isFull,
      isRecentlyActive: peer.isRecentlyActive,
      pendingSnapshot: peer.pendingSnapshot,
    }));
  }

  /** Handles one tick of the clock: sends a heartbeat to everyone when it is due. */
  tick(): void {
    // The target would have taken over by now: this leader continues, and takes proposals again.
    if (this.#transfer !== undefined && ++this.#transfer.ticks >= this.#config.electionTicks)
      this.#transfer = undefined;
    this.#ticksSinceHeartbeat++;
    if (this.#ticksSinceHeartbeat < this.#config.heartbeatTicks) return;
    this.#ticksSinceHeartbeat = 0;
    for (const peer of this.#peers.values()) peer.awaitsHeartbeatResponse = true;
    this.#sendHeartbeats();
    // Asked again, since the message before may be lost, and a node that already campaigns ignores it.
    this.#askToCampaign();
  }

  /**
   * Begins to hand the leadership over to a voter, in place of a transfer to another one (thesis 3.10). Until this
   * leader is deposed, or `electionTicks` have passed, it appends no proposals, so that `target` can have its whole
   * log; then it asks `target` to campaign. Returns false, without any effect, when `target` is not another voter.
   */
  transferTo(target: NodeId): boolean {
    if (!this.#peers.has(target) || !this.#membership.voters.includes(target)) return false;
    if (this.#transfer?.target === target) return true;
    this.#transfer = { target, ticks: 0 };
    this.#askToCampaign();
    return true;
  }

  /**
   * Asks the target to campaign once it has every entry: with a shorter log it would lose, and depose this leader in
   * vain.
   */
  #askToCampaign(): void {
    if (this.#transfer === undefined) return;
    const { target: to } = this.#transfer;
    if (this.#peers.get(to)!.match !== this.#log.lastIndex) return;
    this.#host.send({ type: 'timeoutNow', from: this.#config.id, to, term: this.#term });
  }

  /** Returns whether a quorum was heard from since the last call (CheckQuorum), and begins a new period. */
  checkQuorum(): boolean {
    // A voter counts 1 when active: a majority reaches 1 when a majority is active.
    const isActive = majorityIndex(this.#membership.voters, (id) =>
      id === this.#config.id || this.#peers.get(id)!.isRecentlyActive ? 1 : 0,
    );
    for (const peer of this.#peers.values()) peer.isRecentlyActive = false;
    return isActive === 1;
  }

  propose(data: readonly Buffer[]): ProposeResult {
    if (this.#transfer !== undefined) return 'transferring';
    let bytes = 0;
    for (const item of data) bytes += item.length;
    const limit = this.#config.maxUncommittedBytes;
    if (limit > 0 && bytes > 0 && this.#uncommittedBytes > 0 && this.#uncommittedBytes + bytes > limit) {
      return 'tooManyUncommitted';
    }
    this.#uncommittedBytes += bytes;
    const log = this.#log;
    const term = this.#term;
    let index = log.lastIndex;
    for (const item of data) log.push({ index: ++index, term, type: EntryType.Normal, data: item });
    this.#isAppendDue = true;
    return 'appended';
  }

  /** Ends the time of `entries` as uncommitted data: they were handed out for applying. */
  handedOut(entries: readonly Entry[]): void {
    for (const entry of entries) {
      // Entries of earlier terms were never counted.
      if (entry.term === this.#term) this.#uncommittedBytes -= entry.data.length;
    }
  }

  /**
   * Advances the commit index after the local log became durable up to a new index, which counts like a follower's
   * acknowledgement (D1).
   */
  localLogDurable(): void {
    this.#advanceCommit();
  }

  appendResponse(message: AppendResponse): void {
    const peer = this.#peers.get(message.from);
    if (peer === undefined) return;
    peer.isRecentlyActive = true;
    if (message.rejected) {
      // The follower skipped the terms that it cannot share with us; skip ours that it cannot share (§5.3).
      const hint =
        message.hintTerm > 0
          ? this.#log.lastIndexWithin(message.hintIndex, message.hintTerm).index
          : message.hintIndex;
      if (peer.reject(message.index, hint)) this.#isAppendDue = true;
      return;
    }
    assert(
      message.index <= this.#log.lastIndex,
      () =>
        `node ${message.from} acknowledges entry ${message.index} that this leader does not have (its log ends at ${this.#log.lastIndex}): ` +
        'the disk of a member was put back to an earlier state, and what was acknowledged since was lost with it. ' +
        'Stop the member whose disk was restored; see docs/operations.md, "A disk that was rolled back, wiped or exchanged"',
    );
    const isNews = peer.acknowledge(message.index);
    switch (peer.state) {
      case 'probe':
        // This holds without news, too: an empty append was accepted, so the match point is known again.
        if (message.index === peer.match) peer.becomeReplicate();
        break;
      case 'snapshot':
        // Whichever snapshot brought it here, the log can continue from here, so the wait is over.
        if (isNews && peer.match + 1 >= this.#log.firstIndex) peer.becomeReplicate();
        break;
      case 'replicate':
        if (isNews) peer.inflights.freeTo(message.index);
        break;
    }
    if (isNews) {
      this.#advanceCommit();
      if (message.from === this.#transfer?.target) this.#askToCampaign();
    }
    // The window may have opened, or a probe may have ended with more to send.
    this.#isAppendDue = true;
  }

  heartbeatResponse(message: HeartbeatResponse): void {
    const peer = this.#peers.get(message.from);
    if (peer === undefined) return;
    peer.isRecentlyActive = true;
    peer.knownCommit = Math.max(peer.knownCommit, message.commit);
    if (peer.awaitsHeartbeatResponse) {
      // Lost appends show only in a follower that answers and still lacks entries. This check happens once per
      // heartbeat of the clock: ReadIndex rounds come every turn, and would double the append traffic.
      peer.awaitsHeartbeatResponse = false;
      peer.isProbeSent = false;
      if (peer.match < this.#log.lastIndex || peer.state === 'probe') {
        peer.isEmptyAppendDue = true;
        this.#isAppendDue = true;
      }
    }
    if (message.context !== '' && this.#reads.acknowledge(message.from, message.context))
      this.#confirmReads();
  }

  /** Adds a question to the round that no heartbeat has carried yet (P2). */
  readIndex(context: ReadContext, from: NodeId): void {
    if (!this.hasCommittedInTerm) {
      this.#heldReads.push({ context, from });
      return;
    }
    const round: ReadRound = { context, from, index: this.#log.commit };
    if (!this.#reads.add(round)) return;
    this.#isReadHeartbeatDue = true;
    // A leader that is a quorum by itself needs no confirmation.
    this.#confirmReads();
  }

  reportUnreachable(id: NodeId): void {
    const peer = this.#peers.get(id);
    // The appends in the pipeline are most likely lost.
    if (peer?.state === 'replicate') peer.becomeProbe();
  }

  /**
   * Starts over with a follower that lacks entries which it acknowledged in this term: its disk is not the one that it
   * had. None of its acknowledgements counts any more, and its match point is searched for anew.
   */
  reportLost(id: NodeId): void {
    if (!this.#peers.has(id)) return;
    const { maxInflightMessages, maxInflightBytes } = this.#config;
    const peer = new Progress(this.#log.lastIndex + 1, maxInflightMessages, maxInflightBytes);
    peer.isRecentlyActive = true;
    this.#peers.set(id, peer);
    this.#isAppendDue = true;
  }

  reportSnapshot(id: NodeId, succeeded: boolean): void {
    const peer = this.#peers.get(id);
    if (peer?.state !== 'snapshot') return;
    if (!succeeded) peer.pendingSnapshot = 0;
    peer.becomeProbe();
    // The follower speaks next, when it has installed the snapshot; after a failure the next probe waits for a
    // heartbeat.
    peer.isProbeSent = true;
  }

  /** Sends the messages that this turn made necessary. */
  flush(): void {
    if (this.#isReadHeartbeatDue) {
      this.#isReadHeartbeatDue = false;
      // Nothing waits when the turn that asked also answered.
      if (!this.#reads.isEmpty) this.#sendHeartbeats();
    }
    if (!this.#isAppendDue) return;
    this.#isAppendDue = false;
    for (const [id, peer] of this.#peers) this.#sendAppends(id, peer);
  }

  #sendHeartbeats(): void {
    const context = this.#reads.newestContext;
    this.#isReadHeartbeatDue = false;
    for (const [to, peer] of this.#peers) {
      this.#host.send({
        type: 'heartbeat',
        from: this.#config.id,
        to,
        term: this.#term,
        // The follower must not take entries for committed that it does not have: its own tail there may conflict.
        commit: Math.min(peer.match, this.#log.commit),
        context,
      });
    }
  }

  #sendAppends(to: NodeId, peer: Progress): void {
    switch (peer.state) {
      case 'probe':
        // Sent even without entries, since the answer finds the match point.
        if (!peer.isProbeSent) this.#sendAppend(to, peer, true);
        return;
      case 'replicate':
        while (peer.next <= this.#log.lastIndex && !peer.inflights.isFull) {
          if (!this.#sendAppend(to, peer, true)) return;
        }
        if (peer.isEmptyAppendDue || peer.hasNewsOfCommit(this.#log.commit))
          this.#sendAppend(to, peer, false);
        return;
      case 'snapshot':
        return;
    }
  }

  /** Sends one append; returns false when the follower needs a snapshot instead. */
  #sendAppend(to: NodeId, peer: Progress, withEntries: boolean): boolean {
    const prevIndex = peer.next - 1;
    const prevTerm = this.#log.term(prevIndex);
    if (prevTerm === undefined || peer.next < this.#log.firstIndex) {
      this.#sendSnapshot(to, peer);
      return false;
    }
    const { entries, bytes } = withEntries ? this.#read(peer.next) : NOTHING;
    const commit = this.#log.commit;
    // An append that is to find out which ones were lost must be answered; so must a probe.
    const isToAnswer = withEntries || peer.isEmptyAppendDue;
    peer.sent(entries.length, bytes, commit);
    this.#host.send({
      type: 'append',
      from: this.#config.id,
      to,
      term: this.#term,
      prevIndex,
      prevTerm,
      entries,
      commit,
      isToAnswer,
    });
    return true;
  }

  #sendSnapshot(to: NodeId, peer: Progress): void {
    // A transfer is expensive, and would be wasted on a peer that is away.
    const snapshot = peer.isRecentlyActive ? this.#log.snapshot() : undefined;
    if (snapshot === undefined) {
      if (peer.state === 'replicate') peer.becomeProbe();
      // The answer to the next heartbeat triggers another attempt.
      peer.isProbeSent = true;
      return;
    }
    assert(snapshot.index + 1 >= this.#log.firstIndex, 'the snapshot does not reach the log');
    peer.becomeSnapshot(snapshot.index);
    this.#host.send({ type: 'installSnapshot', from: this.#config.id, to, term: this.#term, snapshot });
  }

  /**
   * Reads the entries for one append. Followers in step share one array, since a leader only ever appends to its log.
   */
  #read(from: number): { readonly entries: readonly Entry[]; readonly bytes: number } {
    const lastIndex = this.#log.lastIndex;
    if (from > lastIndex) return NOTHING;
    if (this.#lastRead.from !== from || this.#lastRead.lastIndex !== lastIndex) {
      const { maxMessageBytes, maxMessageEntries = lastIndex } = this.#config;
      const entries = this.#log.entries(
        from,
        Math.min(lastIndex, from + maxMessageEntries - 1),
        maxMessageBytes,
      );
      let bytes = 0;
      for (const entry of entries) bytes += entry.data.length;
      this.#lastRead = { from, lastIndex, entries, bytes };
    }
    return this.#lastRead;
  }

  /**
   * Advances the commit index. Counting commits only entries of this term; those of earlier terms are committed with
   * them (§5.4.2).
   */
  #advanceCommit(): void {
    const index = majorityIndex(this.#membership.voters, this.#matchOf);
    if (index < this.#firstIndexInTerm) return;
    const hadCommittedInTerm = this.hasCommittedInTerm;
    if (!this.#log.commitTo(index)) return;
    this.#isAppendDue = true;
    if (!hadCommittedInTerm) this.#releaseHeldReads();
  }

  /** The leader counts its own entries only when they are durable (D1). */
  readonly #matchOf = (id: NodeId): number =>
    id === this.#config.id ? this.#log.durableIndex : this.#peers.get(id)!.match;

  #releaseHeldReads(): void {
    const held = this.#heldReads;
    this.#heldReads = [];
    for (const { context, from } of held) this.readIndex(context, from);
  }

  #confirmReads(): void {
    const sequence = majorityIndex(this.#membership.voters, this.#acknowledgedBy);
    for (const round of this.#reads.confirm(sequence)) this.#host.answerRead(round);
  }

  readonly #acknowledgedBy = (id: NodeId): number =>
    id === this.#config.id ? this.#reads.newestSequence : this.#reads.acknowledgedBy(id);
}
