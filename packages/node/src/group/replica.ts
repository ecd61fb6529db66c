import {
  type Membership,
  type Message,
  NO_NODE,
  type NodeId,
  Raft,
  type SnapshotMetadata,
  type StorageAppend,
} from '@coxswain/raft';
import { Waiters } from '@coxswain/runtime';
import { type ApplyResult, type CommandKind, sealEnvelope, type Table } from '@coxswain/table';
import type { GroupId, GroupLog, GroupWrite } from '@coxswain/wal';
import type { Call, Header } from '../api/call.js';
import { type ApiError, errors } from '../api/errors.js';
import type { ReadableTable } from '../api/kv-api.js';
import type { TableStatus } from '../api/reports-api.js';
import type { Forward, Quiesce } from '../cluster/frame.js';
import { META_SHARD } from '../meta/shards.js';
import { type AppliedBatch, ApplyLoop } from './apply-loop.js';
import { Electorate } from './electorate.js';
import { EntryStamps } from './entry-stamps.js';
import { ForwardAcceptor } from './forward-acceptor.js';
import { Proposals } from './proposals.js';
import { LinearizableReads } from './reads.js';
import type { ReplicaEvents, ReplicaHost } from './replica-host.js';
import { RevisionAges } from './revision-ages.js';
import { WriteProgress } from './write-progress.js';

/** Proposals handed to the core, or forwarded, at a time. */
const PROPOSAL_BATCH_BYTES = 1024 * 1024;
/** What the core may hand out for apply at a time. */
const APPLY_BATCH_BYTES = 2 * 1024 * 1024;
const ENTRY_BYTES_IN_MESSAGE_MAX = 512 * 1024;

export interface ReplicaOptions {
  readonly group: GroupId;
  /** For status and metrics; undefined while only the shard id is known. */
  readonly name: string | undefined;
  readonly log: GroupLog;
  /** Undefined when the state is damaged: the replica is rebuilt from its peers (D4). */
  readonly table: Table | undefined;
  /** Runs after each apply, before anybody hears of it. */
  readonly afterApply: (() => Promise<void>) | undefined;
  readonly events: ReplicaEvents;
}

/**
 * Whether the core is stepped. `suspended`: not until a restart, since a snapshot is being installed, the table is being
 * replaced, or the disk is full. `stopped`: not by this version, since the log holds what it does not know (A8).
 */
type ReplicaState = 'running' | 'suspended' | 'stopped';

/**
 * This node's replica of one Raft group: the core, the group's log and its state machine, and the proposals
 * and reads that wait for them. The node steps it in turns (ARCHITECTURE.md, "Turns").
 */
export class Replica implements ReadableTable {
  readonly group: GroupId;
  name: string | undefined;
  readonly proposals: Proposals;
  readonly reads: LinearizableReads;
  readonly progress: WriteProgress;
  /** Fires after every apply, and when the table is taken away here. */
  readonly changes: Waiters;
  /** The entry that ended the load of this shard (T2): what it held before is no state of the table. 0: it was not loaded. */
  loadedIndex = 0;
  /** The index before the first entry that this group ever had (T1). */
  baseIndex = 0;
  /** Those who still read its log, whatever becomes of the table: it is not dropped before them. */
  readonly holders = new Set<object>();
  /** For its history (A5). */
  readonly revisionAges = new RevisionAges();

  readonly #host: ReplicaHost;
  readonly #events: ReplicaEvents;
  readonly #log: GroupLog;
  readonly #afterApply: (() => Promise<void>) | undefined;
  readonly #forwards: ForwardAcceptor;
  readonly #electorate: Electorate;
  #raft: Raft;
  #table: Table | undefined;
  #durableIndex = 0;
  /** The log has it, and what was applied of it may have been in memory alone (D4). */
  #replayedUpTo = 0;
  readonly #applyLoop: ApplyLoop;
  /** Whether it was whole when the batch that is being applied began. */
  #wasWhole = false;
  #state: ReplicaState = 'running';
  #isClosed = false;
  readonly #stamps: EntryStamps;
  #appliedTerm: number;
  #leaderSeen: NodeId = NO_NODE;
  #idleTicks = 0;
  #isQuiet = false;
  /** The node's clock passes it over, since it was at rest when it was last looked at. */
  isPassedOver = false;
  #ticksUntilCampaign = 0;
  #error: string | undefined;

  constructor(host: ReplicaHost, options: ReplicaOptions) {
    this.#host = host;
    this.#events = options.events;
    this.group = options.group;
    this.name = options.name;
    this.#log = options.log;
    this.#afterApply = options.afterApply;
    this.#log.snapshotSource = () => this.#sendableSnapshot();
    this.#table = options.table;
    this.changes = new Waiters(host.clock);
    this.proposals = new Proposals(host.proposalBudget);
    this.reads = new LinearizableReads({ node: host.member.nodeId, boot: host.member.bootHex });
    this.progress = new WriteProgress(host.writeStages, host.clock);
    this.#raft = this.#makeRaft();
    this.#appliedTerm = this.#table?.appliedTerm ?? 0;
    this.#error = this.#table === undefined ? 'its state is damaged and is being rebuilt' : undefined;
    this.#stamps = new EntryStamps(host.clock, this.#log, this.#table);
    this.#forwards = new ForwardAcceptor(host, this.#stamps);
    this.#electorate = new Electorate(host);
    this.#applyLoop = new ApplyLoop({
      member: host.member,
      clock: host.clock,
      proposals: this.proposals,
      afterApply: this.#afterApply,
      applied: (batch) => this.#applied(batch),
      tableFailed: (table, error) => this.#events.tableFailed(table, error),
      fail: (error) => host.fail(error),
    });
  }

  #makeRaft(): Raft {
    const { options } = this.#host;
    const { nodeId } = this.#host.member;
    const { hardState, membership } = this.#log;
    const isAlone = membership.voters.length === 1 && membership.voters[0] === nodeId;
    const raft = new Raft({
      id: nodeId,
      electionTicks: options.electionTicks,
      heartbeatTicks: options.heartbeatTicks,
      log: this.#log,
      // What a quorum has written is committed, and where that is this node alone, all that its log holds is. So it is applied
      // also where no leader can say so, on a full disk (D6).
      hardState: isAlone ? { ...hardState, commit: this.#log.lastIndex() } : hardState,
      membership,
      applied: this.#table?.appliedIndex ?? this.#log.truncated.index,
      checkQuorum: true,
      maxMessageBytes: ENTRY_BYTES_IN_MESSAGE_MAX,
      maxInflightBytes: 16 * 1024 * 1024,
      maxUncommittedBytes: 64 * 1024 * 1024,
      maxCommittedBytesPerReady: APPLY_BATCH_BYTES,
      random: () => this.#host.random.next(),
      ...this.#host.core,
    });
    this.#durableIndex = raft.lastIndex;
    this.#replayedUpTo = raft.commitIndex;
    // A replica without its state could lead, but could not answer: it leaves that to the others.
    raft.canCampaign = this.#table !== undefined;
    return raft;
  }

  #sendableSnapshot(): SnapshotMetadata | undefined {
    const table = this.#table;
    if (table === undefined || table.appliedIndex === 0) return undefined;
    return { index: table.appliedIndex, term: table.appliedTerm, membership: this.#raft.membership };
  }

  get raft(): Raft {
    return this.#raft;
  }

  get log(): GroupLog {
    return this.#log;
  }

  /** The state machine. Throws `notReady` while it is being rebuilt. */
  get table(): Table {
    if (this.#table === undefined) throw errors.notReady();
    return this.#table;
  }

  get hasTable(): boolean {
    return this.#table !== undefined;
  }

  /**
   * Its load, if it had one, is applied here to the end (T2), and so are what this node knew to be committed when it
   * opened the table, and the entry that a crash left half applied (A4): before, what the table holds is no state of it,
   * or one that it left long ago.
   */
  get isWhole(): boolean {
    const table = this.#table;
    const upTo = Math.max(this.loadedIndex, this.#replayedUpTo);
    return table !== undefined && table.appliedIndex >= upTo && !table.isHalfApplied;
  }

  /** It is whole here, and no other shard has taken over (T2). */
  get isServing(): boolean {
    return this.isWhole && this.#table!.sealedBy === undefined && !this.#isClosed;
  }

  get membership(): Membership {
    return this.#raft.membership;
  }

  /** Its members speak in frames, which carry requests, transfers of leadership and whole tables too. */
  get speaksFrames(): boolean {
    return this.#host.elsewhere === undefined;
  }

  get isLeader(): boolean {
    return this.#raft.role === 'leader';
  }

  /** The leader by the number that operators know it by; undefined: nobody leads, as far as this node knows. */
  get leaderNumber(): number | undefined {
    return this.#host.member.numberOf(this.#raft.leader);
  }

  get isQuiet(): boolean {
    return this.#isQuiet;
  }

  /** Its group is quiet, and nobody waits for anything: time changes nothing here until something wakes it. */
  get isAtRest(): boolean {
    return this.#isQuiet && this.#table !== undefined && this.reads.count === 0 && this.proposals.isEmpty;
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** The core must not be stepped. */
  get isSuspended(): boolean {
    return this.#state !== 'running';
  }

  /** Its log holds what this version does not know (A8). */
  get isStopped(): boolean {
    return this.#state === 'stopped';
  }

  header(revision: number): Header {
    return {
      shardId: this.group,
      replicaId: this.#host.member.nodeId,
      revision,
      raftTerm: this.#raft.term,
      raftLeaderId: this.#raft.leader,
    };
  }

  /** Resolves when the command is applied here. Errors: tooBusy, notReady, timeout, outcomeUnknown, shuttingDown. */
  propose(kind: CommandKind, command: Buffer, call: Call, cursor?: number): Promise<ApplyResult> {
    return new Promise((resolve, reject) => {
      if (this.#isClosed) throw errors.notReady();
      const beganMs = this.#host.clock.monotonicMs();
      this.proposals.add({ kind, command, cursor, call, beganMs, resolve, reject });
      this.wake();
    });
  }

  /** Resolves when a read of the table, made at once, is linearizable. Errors: notReady, timeout, shuttingDown, tooBusy. */
  confirmRead(deadlineMs: number): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#isClosed || this.#table === undefined) throw errors.notReady();
      if (this.reads.count >= this.#host.options.readsPendingMax) throw errors.tooBusy();
      this.reads.add({ deadlineMs, resolve, reject });
      this.wake();
    });
  }

  // ---- input: each of these changes the core and asks for a turn

  /** Something happens in the group: ticks count again. */
  wake(): void {
    this.#isQuiet = false;
    this.#idleTicks = 0;
    this.#events.schedule();
  }

  step(message: Message): void {
    if (this.#isClosed || this.isSuspended) return;
    this.#raft.step(message);
    // Heartbeats and their answers are what idle groups exchange. All else needs ticks, and a candidate a heartbeat.
    if (message.type !== 'heartbeat' && message.type !== 'heartbeatResponse') this.#idleTicks = 0;
    this.#isQuiet = false;
    this.#events.schedule();
  }

  tick(): void {
    if (this.#isClosed || this.isSuspended || this.#isQuiet) return;
    // Before the tick: the heartbeat that it makes is something to send, so the core would not be idle.
    this.#considerQuiet();
    if (!this.#isQuiet) this.#raft.tick();
    if (this.#ticksUntilCampaign > 0 && --this.#ticksUntilCampaign === 0) this.#campaignAgain();
    this.#events.schedule();
  }

  /**
   * Campaigns at once, and again until the group has a leader: for a new group, whose other replicas may not
   * exist yet, and when the leader's node is gone. The pre-vote makes it harmless when a leader lives. Without one it
   * campaigns once, and then after each election timeout like any other: each campaign begins a term, in which those who
   * have more entries do not campaign themselves.
   */
  campaign(delayTicks: number): void {
    this.wake();
    this.#ticksUntilCampaign = delayTicks + 1;
  }

  #campaignAgain(): void {
    const { leader } = this.#raft;
    if (leader === this.#host.member.nodeId || (leader !== NO_NODE && this.#host.peers.isConnected(leader)))
      return;
    // What the lost connection still delivered may have made it known again.
    this.#raft.forgetLeader();
    this.#raft.campaign();
    if (this.#host.core.preVote) this.#ticksUntilCampaign = 3 + Math.floor(this.#host.random.next() * 4);
  }

  /**
   * Begins to hand the group over to another voter. False where this replica does not lead, or `target` is none.
   * Proposals wait meanwhile, and go to whoever leads afterwards.
   */
  transferLeadership(target: NodeId): boolean {
    if (this.#isClosed || this.isSuspended || !this.speaksFrames) return false;
    // Also the abort of a transfer takes ticks.
    this.wake();
    return this.#raft.transferLeadership(target);
  }

  /**
   * Suspends the replica, since nothing can be written (D6). What it leads goes to the voter that has most of the log, as
   * far as is known: that one campaigns at once, and a vote compares logs all the same.
   */
  giveUp(): void {
    if (this.isLeader && !this.#isClosed && !this.isSuspended) {
      const voters = this.#raft
        .peerStatuses()
        .filter((peer) => !peer.isLearner && this.#host.peers.isAlive(peer.id));
      const most = Math.max(...voters.map(({ match }) => match));
      const able = voters.filter(({ match }) => match === most);
      const [from, term] = [this.#host.member.nodeId, this.#raft.term];
      // Spread over those that have it.
      const to = able[this.group % able.length]?.id;
      if (to !== undefined) this.#send({ type: 'timeoutNow', from, to, term });
    }
    this.suspend();
    this.proposals.failUnsent(errors.diskFull);
    this.reads.failAll();
  }

  peerLost(peer: NodeId): void {
    if (this.#isClosed || this.isSuspended || !this.speaksFrames) return;
    if (this.isLeader) {
      this.#raft.reportUnreachable(peer);
      this.wake();
    } else if (this.#raft.leader === peer) {
      // Whoever notices forgets the leader, so that pre-votes are granted without waiting out the timeout;
      // a leader that still reaches a quorum keeps it, since that quorum has not forgotten.
      this.#raft.forgetLeader();
      this.campaign(Math.floor((this.#host.random.next() * this.#host.options.electionTicks) / 4));
    }
  }

  /** The outgoing connection to `peer` is up: proposals that were lost with the old one are given again (P1). */
  peerConnected(peer: NodeId): void {
    if (this.speaksFrames && this.#raft.leader === peer) this.#resend(Number.POSITIVE_INFINITY);
  }

  /** Appends for another node while this one leads in exactly the term that it was asked in (P1). */
  acceptForward(message: Forward, from: { node: NodeId; boot: string }): void {
    const raft = this.#isClosed || this.isSuspended ? undefined : this.#raft;
    if (this.#forwards.accept(raft, message, from)) this.wake();
  }

  refused(term: number, sequences: readonly number[], isBusy: boolean): void {
    this.proposals.refused(term, sequences, isBusy);
    this.#events.schedule();
  }

  /** The leader says that nothing happens here: ticks stop until something does. */
  acceptQuiesce(message: Quiesce, from: NodeId): void {
    if (this.#isClosed || this.isSuspended) return;
    const raft = this.#raft;
    const isCurrent = raft.leader === from && raft.term === message.term;
    const hasAll = raft.commitIndex === message.commit && raft.lastIndex === message.commit;
    if (isCurrent && hasAll && this.proposals.isEmpty && this.reads.count === 0) this.#isQuiet = true;
  }

  #considerQuiet(): void {
    // Nothing but frames says to followers that they need not miss their leader.
    if (!this.isLeader || !this.speaksFrames) return;
    const isIdle = this.#raft.isIdle && this.proposals.isEmpty && this.reads.count === 0;
    // A leader that is cut off must go on counting, to find that it has no quorum any more.
    if (!isIdle || !this.isQuorumAlive) {
      this.#idleTicks = 0;
      return;
    }
    if (++this.#idleTicks < this.#host.options.electionTicks * 2) return;
    for (const peer of this.#peers()) {
      this.#host.peers.frameTo(peer).quiesce(this.group, this.#raft.term, this.#raft.commitIndex);
    }
    this.#isQuiet = true;
  }

  /** Whether so many voters answer, this node among them, that the group can have a leader. */
  get isQuorumAlive(): boolean {
    return this.#electorate.isQuorumAlive(this.#raft.membership);
  }

  *#peers(): Iterable<NodeId> {
    const { voters, learners } = this.#raft.membership;
    for (const peer of [...voters, ...learners]) if (peer !== this.#host.member.nodeId) yield peer;
  }

  /** Ends the proposals and reads whose deadline has passed. */
  expire(nowMs: number): void {
    const error = () => {
      if (this.#raft.leader !== NO_NODE) return errors.timeout();
      const table = this.group === META_SHARD ? '' : (this.name ?? '');
      return this.#electorate.leaderless(table, this.#raft.membership);
    };
    this.reads.expire(nowMs, error);
    this.proposals.expire(nowMs, error);
  }

  /** Called a few times a second: repeats what may be lost. */
  housekeep(nowMs: number): void {
    const electionMs = this.#host.options.electionTicks * this.#host.options.tickMs;
    const lostBeforeMs = nowMs - electionMs / 2;
    this.reads.retry(lostBeforeMs);
    if (this.speaksFrames && !this.isLeader) {
      if (!this.hasTable && !this.isSuspended) this.#askForSnapshot();
      if (!this.proposals.isEmpty) this.#resend(lostBeforeMs);
    }
    if (this.reads.hasUnsent || this.proposals.hasUnsent) this.#events.schedule();
  }

  /**
   * Asks the leader, or everybody where it is not known: the group may be quiet, with this replica as the leader
   * that the others still believe in, and only a message wakes them.
   */
  #askForSnapshot(): void {
    const { leader } = this.#raft;
    const asked = leader === NO_NODE ? this.#peers() : [leader];
    for (const peer of asked) this.#host.peers.frameTo(peer).snapshotWanted(this.group);
  }

  #resend(sentBeforeMs: number): void {
    const leader = this.#raft.leader;
    if (leader === NO_NODE || leader === this.#host.member.nodeId) return;
    const proposals = this.proposals.resend(this.#raft.term, sentBeforeMs, this.#host.clock.monotonicMs());
    if (proposals.length > 0) this.#forward(leader, proposals);
  }

  #forward(leader: NodeId, proposals: Forward['proposals']): void {
    const { group } = this;
    const { settledBelow } = this.proposals;
    this.#host.peers.frameTo(leader).forward({ group, term: this.#raft.term, settledBelow, proposals });
  }

  // ---- the turn

  /** One step of a turn: feeds the core and collects what it wants done. */
  collect(turn: Turn): void {
    if (this.#isClosed || this.isSuspended) return;
    if (!this.speaksFrames) this.#refuseElsewhere();
    if (this.proposals.hasUnsent) this.#sendProposals();
    if (this.reads.beginRound(this.#raft, this.#host.clock.monotonicMs()))
      this.#host.counters.readIndexRounds++;
    // Nothing of this group may be written after a snapshot that is not in place yet.
    while (!this.isSuspended && this.#raft.hasReady()) {
      const ready = this.#raft.ready();
      for (const message of ready.messages) this.#send(message);
      if (ready.append !== undefined) this.#collectAppend(turn, ready.append);
      if (ready.committed.length > 0) {
        this.progress.committed(ready.committed);
        this.#applyLoop.enqueue(ready.committed);
      }
      for (const read of ready.reads) this.reads.confirmed(read, this.#raft.appliedIndex);
    }
    if (this.#raft.leader !== this.#leaderSeen) this.#leaderChanged();
    const { isWhole } = this;
    if (this.#applyLoop.run(this.#table)) this.#wasWhole = isWhole;
  }

  /** P1: what was not given to a leader was not appended, and whoever asked may ask the leader. */
  #refuseElsewhere(): void {
    const { leader } = this.#raft;
    if (leader === NO_NODE || this.isLeader) return;
    const error = () => this.#host.elsewhere!.error(leader);
    if (this.proposals.hasUnsent) this.proposals.failUnsent(error);
    if (this.reads.count > 0) this.reads.failAll(error);
  }

  #sendProposals(): void {
    const leader = this.#raft.leader;
    if (leader === NO_NODE || this.#host.isDiskFull || this.#raft.transferTarget !== NO_NODE) return;
    const nowMs = this.#host.clock.monotonicMs();
    if (!this.isLeader) {
      while (this.proposals.hasUnsent) {
        this.#forward(leader, this.proposals.send(this.#raft.term, PROPOSAL_BATCH_BYTES, nowMs));
      }
      return;
    }
    while (this.proposals.hasUnsent) {
      const sent = this.proposals.send(this.#raft.term, PROPOSAL_BATCH_BYTES, nowMs);
      const id = { node: this.#host.member.nodeId, boot: this.#host.member.bootHex, sequence: 0 };
      const timeMs = this.#stamps.next();
      const entries = sent.map(({ kind, command, cursor, sequence }) => {
        id.sequence = sequence;
        return sealEnvelope(kind, timeMs, id, command, cursor);
      });
      if (this.#raft.propose(entries) === 'appended') {
        this.#host.counters.appended += entries.length;
        continue;
      }
      // Uncommitted data is at its limit: the budget pushes back on clients until there is room again.
      this.proposals.takeBack(sent);
      return;
    }
  }

  #send(message: Message): void {
    if (message.type === 'installSnapshot') this.#events.sendSnapshot(message.to);
    else this.#host.peers.frameTo(message.to).raft(this.group, message);
  }

  #collectAppend(turn: Turn, append: StorageAppend): void {
    this.#stamps.saw(append.entries);
    const write: GroupWrite = {
      group: this.group,
      ...(append.hardState === undefined ? {} : { hardState: append.hardState }),
      ...(append.entries.length === 0 ? {} : { entries: append.entries }),
      ...(append.snapshot === undefined ? {} : { reset: append.snapshot }),
    };
    if (append.snapshot === undefined) {
      turn.writes.push(write);
      turn.appends.push({ replica: this, raft: this.#raft, append });
    } else {
      // D7: the state machine is in place, durably, before the log says that it is.
      this.suspend();
      this.#events.installSnapshot(append.snapshot, write, append);
    }
  }

  /** Up to here the log survives a crash (D1). */
  get durableIndex(): number {
    return this.#durableIndex;
  }

  /** The append is durable: only now its responses may leave (D1). */
  appended(append: StorageAppend): void {
    this.#durableIndex = append.lastIndex;
    this.progress.durable(append);
    this.#raft.appended(append);
    for (const response of append.responses) this.#send(response);
    this.#events.schedule();
  }

  #leaderChanged(): void {
    this.#leaderSeen = this.#raft.leader;
    // A round that was given to the old leader is lost; one that this node led is void in the new term.
    this.reads.retry(Number.POSITIVE_INFINITY);
    this.#events.leaderChanged();
    if (this.reads.hasUnsent || this.proposals.hasUnsent) this.#events.schedule();
  }

  // ---- apply

  #applied({ entries, awaited, results }: AppliedBatch): void {
    if (this.#isClosed) return;
    const last = entries.at(-1)!;
    this.#raft.applied(last.index);
    this.progress.applied(entries, awaited);
    for (let i = 0; i < entries.length; i++) {
      const proposal = awaited[i];
      if (proposal !== undefined) this.proposals.applied(proposal.sequence, results[i]!);
    }
    if (last.term !== this.#appliedTerm) {
      this.#appliedTerm = last.term;
      this.proposals.termApplied(last.term);
    }
    this.reads.applied(last.index);
    this.changes.notify();
    if (!this.#wasWhole && this.isWhole) this.#events.becameWhole();
    this.#events.applied(entries.length);
    this.#events.schedule();
  }

  // ---- life cycle

  /** Steps the core no more until `restart`, or until a snapshot is installed. */
  suspend(): void {
    if (this.#state === 'running') this.#state = 'suspended';
  }

  /** Steps the core again: what it was suspended for is over, and the log and the table are as the core knows them. */
  resume(): void {
    this.#state = 'running';
  }

  /**
   * Starts the core anew from the disk, as after a restart of the process: Raft needs nothing else. Whoever calls it
   * has suspended the replica and made sure that no write of this group is under way.
   */
  async restart(table: Table | undefined): Promise<void> {
    this.#table = table;
    // Those who follow the table see it before a read does (T5).
    if (table !== undefined && this.#afterApply !== undefined) await this.#afterApply();
    this.#applyLoop.restart();
    this.progress.clear();
    this.#isQuiet = false;
    this.#error = table === undefined ? 'its state is damaged and is being rebuilt' : undefined;
    this.#raft = this.#makeRaft();
    this.#stamps.restart(this.#log, table);
    this.resume();
    this.changes.notify();
    this.reads.retry(Number.POSITIVE_INFINITY);
    this.#events.schedule();
  }

  /** Resolves when no apply is under way. */
  whenApplied(): Promise<void> {
    return this.#applyLoop.whenApplied();
  }

  /** The state machine cannot go on (A8): reads and writes of this group are refused here, the log is kept. */
  stop(reason: string): void {
    this.#state = 'stopped';
    this.detachTable(reason);
    this.proposals.failAll(errors.notReady);
    this.reads.failAll();
  }

  /** The table is taken away, to be replaced or reopened. Reads are refused until then. */
  detachTable(reason: string): Table | undefined {
    const table = this.#table;
    this.#table = undefined;
    this.#applyLoop.clear();
    this.#error = reason;
    this.changes.notify();
    return table;
  }

  /** The installed snapshot is in place and its reset is durable. */
  async snapshotInstalled(table: Table, append: StorageAppend, snapshot: SnapshotMetadata): Promise<void> {
    this.#table = table;
    if (this.#afterApply !== undefined) await this.#afterApply();
    this.#error = undefined;
    this.#applyLoop.clear();
    this.progress.clear();
    this.#raft.canCampaign = true;
    this.#appliedTerm = snapshot.term;
    this.#stamps.sawTable(table);
    this.resume();
    this.appended(append);
    this.proposals.coveredBySnapshot(snapshot.term);
    this.reads.applied(snapshot.index);
    this.changes.notify();
  }

  async close(unsentError: () => ApiError): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.proposals.failAll(unsentError);
    this.reads.failAll(unsentError);
    this.changes.notify();
    await this.#table?.close();
  }

  status(): TableStatus {
    const table = this.#table;
    return {
      name: this.name ?? String(this.group),
      shardId: this.group,
      logSizeBytes: this.#log.sizeBytes,
      dbSizeBytes: table?.approximateSizeBytes ?? 0,
      leader: this.#raft.leader,
      role: this.#raft.role,
      lastIndex: this.#raft.lastIndex,
      term: this.#raft.term,
      commitIndex: this.#raft.commitIndex,
      appliedIndex: table?.appliedIndex ?? 0,
      revision: table?.revision ?? 0,
      leaderIndex: table?.leaderIndex,
      contentHash: table?.contentHash ?? '',
      error: this.#error,
      leaderless:
        this.#raft.leader === NO_NODE
          ? this.#electorate.describeLeaderless(this.#raft.membership)
          : undefined,
    };
  }
}

/** What one turn writes: all groups together, in one disk write (ARCHITECTURE.md, "Turns"). */
export interface Turn {
  readonly writes: GroupWrite[];
  readonly appends: { readonly replica: Replica; readonly raft: Raft; readonly append: StorageAppend }[];
}
