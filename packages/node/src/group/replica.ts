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
import { announceTraces, ForwardAcceptor } from './forward-acceptor.js';
import { Proposals, type SentProposal } from './proposals.js';
import { LinearizableReads } from './reads.js';
import type { ReplicaEvents, ReplicaHost } from './replica-host.js';
import { RevisionAges } from './revision-ages.js';
import { WriteProgress } from './write-progress.js';

/** The limit of the proposals that are handed to the core, or forwarded, at a time. */
const PROPOSAL_BATCH_BYTES = 1024 * 1024;
/** The limit of the entries that the core hands out for apply at a time. */
const APPLY_BATCH_BYTES = 2 * 1024 * 1024;
const ENTRY_BYTES_IN_MESSAGE_MAX = 512 * 1024;

/** The parts of a new replica. */
export interface ReplicaOptions {
  readonly group: GroupId;
  /** The table's name, for status and metrics; undefined while only the shard id is known. */
  readonly name: string | undefined;
  readonly log: GroupLog;
  /** The state machine; undefined when it is damaged, so that the replica is rebuilt from its peers (D4). */
  readonly table: Table | undefined;
  /** Runs after each apply, before anyone learns of it. */
  readonly afterApply: (() => Promise<void>) | undefined;
  readonly events: ReplicaEvents;
}

/**
 * Whether the core is stepped. `suspended`: not before a restart, as a snapshot is installed, the table is replaced, or
 * the disk is full. `stopped`: not by this version, as the log holds what it does not know (A8).
 */
type ReplicaState = 'running' | 'suspended' | 'stopped';

/**
 * This node's replica of one Raft group: the core, the group's log and its state machine, and the proposals and reads
 * that wait for them. The node steps it in turns (ARCHITECTURE.md, "Turns").
 */
export class Replica implements ReadableTable {
  readonly group: GroupId;
  name: string | undefined;
  readonly proposals: Proposals;
  readonly reads: LinearizableReads;
  readonly progress: WriteProgress;
  /** Notified after every apply, and when the table is taken away. */
  readonly changes: Waiters;
  /** The index of the entry that ended this shard's load (T2), before which it held no state of the table; 0: none. */
  loadedIndex = 0;
  /** The index before the first entry that this group ever had (T1). */
  baseIndex = 0;
  /** Readers that still hold the log, even if the table is gone: the replica is dropped only after them. */
  readonly holders = new Set<object>();
  /** The ages of the table's revisions, by which its history is removed (A5). */
  readonly revisionAges = new RevisionAges();

  readonly #host: ReplicaHost;
  readonly #events: ReplicaEvents;
  readonly #log: GroupLog;
  readonly #afterApply: (() => Promise<void>) | undefined;
  readonly forwards: ForwardAcceptor;
  readonly #electorate: Electorate;
  #raft: Raft;
  #table: Table | undefined;
  #durableIndex = 0;
  /** The last entry known to be committed when the core started: its effects may have been in memory alone (D4). */
  #replayedUpTo = 0;
  readonly #applyLoop: ApplyLoop;
  /** Whether the replica was whole when the batch that is being applied began. */
  #wasWhole = false;
  #state: ReplicaState = 'running';
  #isClosed = false;
  readonly #stamps: EntryStamps;
  #appliedTerm: number;
  #leaderSeen: NodeId = NO_NODE;
  #idleTicks = 0;
  #isQuiet = false;
  /** Whether the node's ticks pass the replica over, since it was at rest at the last look. */
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
    this.progress = new WriteProgress(this.group, host);
    this.#raft = this.#makeRaft();
    this.#appliedTerm = this.#table?.appliedTerm ?? 0;
    this.#error = this.#table === undefined ? 'its state is damaged and is being rebuilt' : undefined;
    this.#stamps = new EntryStamps(host.clock, this.#log, this.#table);
    this.forwards = new ForwardAcceptor(host, this.#stamps, this.progress);
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
      // Entries that a quorum has written are committed. Where the quorum is this node alone, that is its whole log,
      // which is thus applied even where no leader can say so, on a full disk (D6).
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
    // A replica without its state could lead but not answer, so it leaves that to the others.
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
   * Whether the table has applied its load (T2), everything known to be committed when it was opened, and an entry that
   * a crash left half applied (A4). Before, it holds no state of the table, or one that is long past.
   */
  get isWhole(): boolean {
    const table = this.#table;
    const upTo = Math.max(this.loadedIndex, this.#replayedUpTo);
    return table !== undefined && table.appliedIndex >= upTo && !table.isHalfApplied;
  }

  /** Whether the replica is whole, and no other shard has taken over (T2). */
  get isServing(): boolean {
    return this.isWhole && this.#table!.sealedBy === undefined && !this.#isClosed;
  }

  get membership(): Membership {
    return this.#raft.membership;
  }

  /** Whether the members speak in frames, which also carry requests, transfers of leadership and whole tables. */
  get speaksFrames(): boolean {
    return this.#host.elsewhere === undefined;
  }

  get isLeader(): boolean {
    return this.#raft.role === 'leader';
  }

  /** The leader, by the number that operators know; undefined when this node knows of none. */
  get leaderNumber(): number | undefined {
    return this.#host.member.numberOf(this.#raft.leader);
  }

  get isQuiet(): boolean {
    return this.#isQuiet;
  }

  /** Whether the group is quiet and nobody waits, so that ticks change nothing here until something wakes it. */
  get isAtRest(): boolean {
    return this.#isQuiet && this.#table !== undefined && this.reads.count === 0 && this.proposals.isEmpty;
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** Whether the core must not be stepped. */
  get isSuspended(): boolean {
    return this.#state !== 'running';
  }

  /** Whether the log holds what this version does not know (A8). */
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

  /** Resolves when a read made at once is linearizable. Errors: notReady, timeout, shuttingDown, tooBusy. */
  confirmRead(deadlineMs: number): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#isClosed || this.#table === undefined) throw errors.notReady();
      if (this.reads.count >= this.#host.options.readsPendingMax) throw errors.tooBusy();
      this.reads.add({ deadlineMs, resolve, reject });
      this.wake();
    });
  }

  // ---- input: each of these changes the core and asks for a turn

  /** Called when something happens in the group: ends its quiet, so that ticks count again. */
  wake(): void {
    this.#isQuiet = false;
    this.#idleTicks = 0;
    this.#events.schedule();
  }

  step(message: Message): void {
    if (this.#isClosed || this.isSuspended) return;
    this.#raft.step(message);
    // Idle groups exchange heartbeats and their answers. All else needs ticks, and a candidate a heartbeat.
    if (message.type !== 'heartbeat' && message.type !== 'heartbeatResponse') this.#idleTicks = 0;
    this.#isQuiet = false;
    this.#events.schedule();
  }

  tick(): void {
    if (this.#isClosed || this.isSuspended || this.#isQuiet) return;
    // Before the tick: the heartbeat that it makes has to be sent, so the core would not be idle.
    this.#considerQuiet();
    if (!this.#isQuiet) this.#raft.tick();
    if (this.#ticksUntilCampaign > 0 && --this.#ticksUntilCampaign === 0) this.#campaignAgain();
    this.#events.schedule();
  }

  /**
   * Campaigns after `delayTicks`, and again until the group has a leader: for a new group, whose other replicas may not
   * exist yet, and when the leader's node is gone. A pre-vote makes it harmless when a leader lives. Without one it
   * campaigns once, then at election timeouts: in the term that a campaign begins, members with more entries do not
   * campaign.
   */
  campaign(delayTicks: number): void {
    this.wake();
    this.#ticksUntilCampaign = delayTicks + 1;
  }

  #campaignAgain(): void {
    const { leader } = this.#raft;
    if (leader === this.#host.member.nodeId || (leader !== NO_NODE && this.#host.peers.isConnected(leader)))
      return;
    // Messages that the lost connection still delivered may have made the leader known again.
    this.#raft.forgetLeader();
    this.#raft.campaign();
    if (this.#host.core.preVote) this.#ticksUntilCampaign = 3 + Math.floor(this.#host.random.next() * 4);
  }

  /**
   * Begins to hand the group over to another voter. Returns false when this replica does not lead, or `target` is no
   * other voter. Proposals wait meanwhile, and go to the leader that results.
   */
  transferLeadership(target: NodeId): boolean {
    if (this.#isClosed || this.isSuspended || !this.speaksFrames) return false;
    // The abort of a transfer takes ticks too.
    this.wake();
    return this.#raft.transferLeadership(target);
  }

  /** Suspends the replica and hands its leadership, if any, to the best voter, since nothing can be written (D6). */
  giveUp(): void {
    if (this.isLeader && !this.#isClosed && !this.isSuspended) {
      const voters = this.#raft
        .peerStatuses()
        .filter((peer) => !peer.isLearner && this.#host.peers.isAlive(peer.id));
      const most = Math.max(...voters.map(({ match }) => match));
      const able = voters.filter(({ match }) => match === most);
      const [from, term] = [this.#host.member.nodeId, this.#raft.term];
      // It campaigns at once, and votes compare logs. Groups are spread over the voters that have most of the log.
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
      // Forgets the leader, so that pre-votes are granted without waiting out the timeout. A leader that still reaches
      // a quorum keeps it, since that quorum has not forgotten.
      this.#raft.forgetLeader();
      this.campaign(Math.floor((this.#host.random.next() * this.#host.options.electionTicks) / 4));
    }
  }

  /** Called when the connection to `peer` is up: sends the proposals again that were lost with the old one (P1). */
  peerConnected(peer: NodeId): void {
    if (this.speaksFrames && this.#raft.leader === peer) this.#resend(Number.POSITIVE_INFINITY);
  }

  /** Appends another node's proposals if this one leads in exactly the message's term (P1). */
  acceptForward(message: Forward, from: { node: NodeId; boot: string }): void {
    const raft = this.#isClosed || this.isSuspended ? undefined : this.#raft;
    if (this.forwards.accept(raft, message, from)) this.wake();
  }

  refused(term: number, sequences: readonly number[], isBusy: boolean): void {
    this.proposals.refused(term, sequences, isBusy);
    this.#events.schedule();
  }

  /** Called when the leader finds the group idle: ticks stop until something happens. */
  acceptQuiesce(message: Quiesce, from: NodeId): void {
    if (this.#isClosed || this.isSuspended) return;
    const raft = this.#raft;
    const isCurrent = raft.leader === from && raft.term === message.term;
    const hasAll = raft.commitIndex === message.commit && raft.lastIndex === message.commit;
    if (isCurrent && hasAll && this.proposals.isEmpty && this.reads.count === 0) this.#isQuiet = true;
  }

  #considerQuiet(): void {
    // Only frames can let followers know that they need not miss their leader.
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

  /** Whether enough voters answer, this node included, for the group to have a leader. */
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

  /** Called a few times a second: repeats requests that may be lost. */
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
   * Asks the leader for a snapshot, or every member when it is not known: the others of a quiet group may still believe
   * in this replica as their leader, and only a message wakes them.
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

  #forward(leader: NodeId, proposals: readonly SentProposal[]): void {
    const { group } = this;
    const { settledBelow } = this.proposals;
    const frame = this.#host.peers.frameTo(leader);
    if (this.#host.tracer !== undefined) announceTraces(frame, group, proposals);
    frame.forward({ group, term: this.#raft.term, settledBelow, proposals });
  }

  // ---- the turn

  /** Does one step of a turn: feeds the core, and collects the work that it wants done. */
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

  /**
   * Refuses requests on a member that does not lead. A proposal that was not given to a leader was not appended (P1).
   */
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
      // D7: the state machine must be in place, durably, before the log says that it is.
      this.suspend();
      this.#events.installSnapshot(append.snapshot, write, append);
    }
  }

  /** The index up to which the log survives a crash (D1). */
  get durableIndex(): number {
    return this.#durableIndex;
  }

  /** Called when the append is durable: only now its responses may leave (D1). */
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

  /** Stops stepping the core until `restart`, or until a snapshot is installed. */
  suspend(): void {
    if (this.#state === 'running') this.#state = 'suspended';
  }

  /** Steps the core again: the suspension has no reason left, and log and table are as the core knows them. */
  resume(): void {
    this.#state = 'running';
  }

  /**
   * Starts the core anew from the disk, as after a restart of the process: Raft needs nothing else. The caller has
   * suspended the replica and made sure that no write of this group is under way.
   */
  async restart(table: Table | undefined): Promise<void> {
    this.#table = table;
    // `afterApply` sees the table before a read does (T5).
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

  /** Stops the replica, since the state machine cannot go on (A8): refuses reads and writes here, and keeps the log. */
  stop(reason: string): void {
    this.#state = 'stopped';
    this.detachTable(reason);
    this.proposals.failAll(errors.notReady);
    this.reads.failAll();
  }

  /** Takes the table away, to be replaced or reopened; reads are refused until then. */
  detachTable(reason: string): Table | undefined {
    const table = this.#table;
    this.#table = undefined;
    this.#applyLoop.clear();
    this.#error = reason;
    this.changes.notify();
    return table;
  }

  /** Called when the snapshot is in place and the log's reset is durable. */
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
        this.#raft.leader === NO_NODE ? this.#electorate.whyLeaderless(this.#raft.membership) : undefined,
    };
  }
}

/** The writes of one turn: those of all groups together, in one disk write (ARCHITECTURE.md, "Turns"). */
export interface Turn {
  readonly writes: GroupWrite[];
  readonly appends: { readonly replica: Replica; readonly raft: Raft; readonly append: StorageAppend }[];
}
