import type { wolfRaft } from '@coxswain/protocol';
import { EntryType, type Membership, type Message, NO_NODE, type NodeId, type Raft } from '@coxswain/raft';
import { CommandKind, sealEnvelope } from '@coxswain/table';
import type { GroupLog } from '@coxswain/wal';
import {
  answerFailure,
  checkBootstrap,
  configChangeData,
  type ReplicaView,
  receiveAppendEntries,
  receiveVote,
  type SecondLeader,
  type Stepped,
  toNodeId,
  toWolfEntry,
  toWolfId,
  type WolfError,
  type WolfMetrics,
  wolfErrors,
  writeAppendEntries,
  writeMetrics,
} from '@coxswain/wolf';
import type { Environment } from '../api/environment.js';
import { errors } from '../api/errors.js';
import type { NodeOptions, WolfOptions } from '../api/options.js';
import { DataDirectoryError } from '../cluster/identity.js';
import { nodeEvents } from '../events.js';
import type { Replica } from '../group/replica.js';
import type { GroupPeers, ReplicaHost } from '../group/replica-host.js';
import { type GroupHosting, type ReplicaObserver, type Replicas, withLearner } from '../group/replicas.js';
import { WOLF_SHARD } from '../meta/shards.js';
import { askMetrics } from './ask-metrics.js';
import { EmptyDisk } from './empty-disk.js';
import { WolfMember } from './wolf-member.js';
import { WolfSnapshots } from './wolf-snapshots.js';

/** The limit of the entries in one AppendEntries, as stock leaders send them (trap 5). */
const APPEND_ENTRIES_MAX = 300;
/**
 * The limit of an entry's JSON: stock members take messages of 4 MiB, and the fields around the entry need some room.
 */
const ENTRY_JSON_BYTES_MAX = 4 * 1024 * 1024 - 64 * 1024;
/**
 * The length up to which a command never is too large: the JSON of an entry is less than eight times as long as its
 * command, with base64 and text whose every byte is escaped.
 */
const NEVER_TOO_LARGE_BYTES = ENTRY_JSON_BYTES_MAX / 8;
/**
 * The time after which a call whose answer waits for the disk is answered with an error, and the number of calls that
 * may wait.
 */
const ANSWER_MS = 30_000;
const WAITING_MAX = 1000;
/** The least time limit of a call to another member, however short the election timeout is. */
const CALL_MS_MIN = 500;
/** The longest time to wait for the metrics of another member. */
const METRICS_MS = 5_000;
const NOT_FORMED =
  'the group has not been formed: call Bootstrap of wolf.raft on one member, when all of them are up (docs/operations.md, "A table over wolf.raft")';
/** The number of entries among which a first leader looks for its ConfigChange. */
const FIRST_ENTRIES = 64;

/** The parts of a node that Wolf uses. */
export interface WolfContext {
  readonly options: NodeOptions;
  readonly environment: Environment;
  /** The hosting of the groups whose members speak in frames. */
  readonly hosting: GroupHosting;
  readonly replicas: () => Replicas;
  /** Whether this start takes part in its cluster (T4), and the node does not stop. */
  readonly isAdmitted: () => boolean;
  /** Does background work on a table. */
  readonly tend: (replica: Replica, work: () => Promise<void>) => Promise<void>;
  readonly run: (work: Promise<unknown>) => void;
}

/** A call that the core answers. */
interface Waiting {
  readonly raft: Raft;
  settle(message: Message): boolean;
  fail(reason: string): void;
}

/** An answer of wolf.raft: every method has `error_res`. */
interface Answer {
  readonly response?: { readonly $case: 'okRes' | 'errorRes' } | undefined;
}

/**
 * Serves wolf.raft on this node: the group that replicates one table over its five calls, and the answers to them
 * (docs/operations-protocols.md §1). The methods never reject for what a caller did: refusals are answers (trap 4).
 */
export class Wolf {
  /** The hosting of the group's replica. */
  readonly hosting: GroupHosting;
  readonly #context: WolfContext;
  readonly #options: WolfOptions | undefined;
  readonly #members = new Map<NodeId, WolfMember>();
  readonly #snapshots: WolfSnapshots | undefined;
  readonly #emptyDisk: EmptyDisk | undefined;
  readonly #waiting = new Set<Waiting>();
  /** The members that were refused as second leaders of this term. */
  #secondLeaders = { term: 0, members: new Set<number>() };
  #isForming = false;
  #isPromoting = false;

  constructor(context: WolfContext) {
    this.#context = context;
    const { wolf } = context.options;
    this.#options = wolf;
    this.hosting = wolf === undefined ? context.hosting : this.#makeHosting(wolf, context.hosting);
    this.#snapshots = wolf && this.#makeSnapshots(wolf);
    this.#emptyDisk = wolf && this.#makeEmptyDisk(wolf);
  }

  /**
   * Whether the group of a log has been formed, as far as this member knows. A group that was not formed holds nothing.
   */
  static isFormed(log: GroupLog): boolean {
    return log.lastIndex() > 0 || log.hardState.term > 0;
  }

  /** Checks the members of a log's group. Throws DataDirectoryError when they are not those of the options. */
  static checkMembers(log: GroupLog, options: WolfOptions): void {
    const { voters, learners } = log.membership;
    const known = [...voters, ...learners].map((id) => toWolfId(id)!).sort((a, b) => a - b);
    const given = [...options.members.keys()].sort((a, b) => a - b);
    if (known.join() !== given.join()) {
      throw new DataDirectoryError(
        `the data directory belongs to a wolf.raft group of members ${known.join()}, but wolf.members names ${given.join()}: name the same, or give another data directory`,
      );
    }
  }

  /** Makes the group on a disk that does not have it. */
  async open(): Promise<void> {
    const { wolf } = this.#context.options;
    if (wolf === undefined || this.#replica !== undefined) return;
    // A replica begins as a learner: only Bootstrap, or a leader that has brought it up to date, makes it a voter (T4).
    await this.#context.replicas().create(WOLF_SHARD, {
      name: wolf.table,
      base: 0,
      isReplicated: false,
      membership: withLearner(this.#allVoters, this.#nodeId),
    });
  }

  /**
   * Whether the replica's group is not formed yet, as far as this node knows: then nothing is wrong if it has no
   * leader.
   */
  isUnformed(replica: Replica): boolean {
    return replica.group === WOLF_SHARD && replica.raft.lastIndex === 0 && replica.raft.term === 0;
  }

  /** Called at every tick of the node: does the group's housekeeping. */
  tick(): void {
    const replica = this.#replica;
    for (const waiting of this.#waiting) {
      if (replica?.raft !== waiting.raft) waiting.fail('the replica was started anew: send it again');
    }
    this.#snapshots?.tick();
    if (replica === undefined || !this.#context.isAdmitted()) return;
    this.#promote(replica);
    const asking = this.#emptyDisk!.tick(replica);
    if (asking !== undefined) this.#context.run(asking);
  }

  /** Throws `tooLargeForWolf` for a command that does not fit into a message of wolf.raft (P4). */
  checkSize(command: Buffer): void {
    if (command.length < NEVER_TOO_LARGE_BYTES) return;
    const id = { node: this.#nodeId, boot: this.hosting.host.member.bootHex, sequence: 0 };
    const data = sealEnvelope(CommandKind.Command, 0, id, command, undefined);
    const entries = [toWolfEntry({ index: 1, term: 1, type: EntryType.Normal, data })];
    const json = writeAppendEntries({
      term: 1,
      leaderId: 0,
      prevLogIndex: 0,
      prevLogTerm: 0,
      entries,
      leaderCommit: 0,
    });
    if (Buffer.byteLength(json) > ENTRY_JSON_BYTES_MAX) throw errors.tooLargeForWolf();
  }

  // ---- the five calls

  async bootstrap(request: wolfRaft.RaftBootstrapReq): Promise<wolfRaft.RaftBootstrapRes> {
    const { msgId, numberOfNodes } = request;
    return await this.#answer(msgId, wolfErrors.bootstrapFailed, async (replica, options) => {
      const members = [...options.members.keys()];
      const { lastIndex, term } = replica.raft;
      const isVoter = this.#isVoter(replica);
      checkBootstrap(numberOfNodes, { self: options.id, members, lastIndex, term, isVoter });
      if (this.#isForming) throw wolfErrors.bootstrapFailed('another Bootstrap is under way');
      this.#isForming = true;
      try {
        // T4: all members must be reachable and empty, so that no member that has lost its disk helps to form a second
        // group.
        const others = [...options.members].filter(([id]) => id !== options.id);
        await Promise.all(others.map(([id, address]) => this.#checkEmpty(id, address)));
        if (!this.isUnformed(replica))
          throw wolfErrors.bootstrapFailed('another member has formed the group');
        await this.#context.replicas().changeMembership(replica, this.#allVoters);
      } finally {
        this.#isForming = false;
      }
      if (!this.#isVoter(replica)) {
        throw wolfErrors.bootstrapFailed('the replica is busy: try again');
      }
      replica.campaign(0);
      return { response: { $case: 'okRes', value: { msgId } } };
    });
  }

  async appendEntries(request: wolfRaft.RaftAppendEntriesReq): Promise<wolfRaft.RaftAppendEntriesRes> {
    return await this.#answer(request.msgId, wolfErrors.appendFailed, (replica) => {
      const received = receiveAppendEntries(request, this.#view(replica));
      if (received.kind === 'decided') {
        if (received.secondLeader !== undefined) this.#refusedLeader(received.secondLeader);
        return received.response;
      }
      const { message } = received;
      this.#checkRemembers(replica, wolfErrors.appendFailed);
      if (message.entries.length > 0) {
        this.#emptyDisk!.tookIn();
        return this.#step(request.msgId, replica, received, wolfErrors.appendFailed);
      }
      // A call without entries adds nothing to the log here, so its answer need not wait for the disk.
      const { from, to, term, prevIndex, prevTerm } = message;
      const isMatch = replica.raft.termAt(prevIndex) === prevTerm;
      const commit = isMatch ? Math.min(message.commit, prevIndex) : 0;
      replica.step({ type: 'heartbeat', from, to, term, commit, context: '' });
      const answer: Message = {
        type: 'appendResponse',
        from: to,
        to: from,
        term: replica.raft.term,
        index: prevIndex,
        rejected: !isMatch,
        hintIndex: 0,
        hintTerm: 0,
      };
      return received.settle(answer, this.#view(replica))!;
    });
  }

  async vote(request: wolfRaft.RaftVoteReq): Promise<wolfRaft.RaftVoteRes> {
    return await this.#answer(request.msgId, wolfErrors.voteFailed, async (replica) => {
      const received = receiveVote(request, this.#view(replica));
      if (received.kind === 'decided') return received.response;
      this.#checkRemembers(replica, wolfErrors.voteFailed);
      // T4: a member that has not caught up votes only when there is nothing to catch up with, as in the first
      // election.
      if (!this.#isVoter(replica)) {
        if (!this.#emptyDisk!.isGroupEmpty) return received.unanswered(this.#view(replica))!;
        await this.#context.replicas().changeMembership(replica, this.#allVoters);
        if (!this.#isVoter(replica)) throw wolfErrors.voteFailed('the replica is busy: ask again');
      }
      return this.#step(request.msgId, replica, received, wolfErrors.voteFailed);
    });
  }

  async installSnapshot(request: wolfRaft.RaftInstallSnapshotReq): Promise<wolfRaft.RaftInstallSnapshotRes> {
    return await this.#answer(request.msgId, wolfErrors.snapshotFailed, (replica) => {
      this.#checkRemembers(replica, wolfErrors.snapshotFailed);
      this.#emptyDisk!.tookIn();
      return this.#snapshots!.receive(request, replica, () => this.#view(replica));
    });
  }

  async getMetrics({ msgId }: wolfRaft.RaftGetMetricsReq): Promise<wolfRaft.RaftGetMetricsRes> {
    return { response: { $case: 'okRes', value: { msgId, metrics: this.#metrics() } } };
  }

  // ---- the group

  get #replica(): Replica | undefined {
    return this.#context.replicas().get(WOLF_SHARD);
  }

  get #nodeId(): NodeId {
    return this.hosting.host.member.nodeId;
  }

  get #allVoters(): Membership {
    const voters = [...(this.#options?.members.keys() ?? [])].map(toNodeId).sort((a, b) => a - b);
    return { voters, learners: [] };
  }

  #isVoter(replica: Replica): boolean {
    return replica.membership.voters.includes(this.#nodeId);
  }

  #makeHosting(wolf: WolfOptions, base: GroupHosting): GroupHosting {
    const { environment, options, run } = this.#context;
    const { wolfLink } = environment;
    if (wolfLink === undefined) throw new Error('a member of a wolf.raft group needs a link to the others');
    const self = toNodeId(wolf.id);
    const electionMs = options.electionTicks * options.tickMs;
    for (const [wolfId, address] of wolf.members) {
      if (wolfId === wolf.id) continue;
      const id = toNodeId(wolfId);
      const member = new WolfMember({
        self,
        id,
        address,
        link: wolfLink,
        clock: environment.clock,
        callMs: Math.max(CALL_MS_MIN, electionMs),
        pauseMs: options.tickMs,
        replica: () => this.#replica,
        answered: (message) => this.#settle(message),
        run,
      });
      this.#members.set(id, member);
    }
    const member = (id: NodeId): WolfMember => {
      const found = this.#members.get(id);
      if (found === undefined) throw new Error(`node ${id} is no other member of the wolf.raft group`);
      return found;
    };
    const isAlive = (id: NodeId): boolean => member(id).isAlive;
    const peers: GroupPeers = { frameTo: member, isConnected: isAlive, isAlive };
    const host: Partial<ReplicaHost> = {
      member: { ...base.host.member, nodeId: self, numberOf: toWolfId },
      peers,
      core: {
        preVote: false,
        maxInflightMessages: 1,
        maxMessageEntries: APPEND_ENTRIES_MAX,
        remembersLeader: true,
      },
      elsewhere: {
        error: (leader) => {
          const id = toWolfId(leader)!;
          return errors.ledElsewhere(wolf.table, id, wolf.members.get(id) ?? '');
        },
        whyLeaderless: (voters) => this.#replica && this.#whyLeaderless(this.#replica, voters),
      },
    };
    const observer: ReplicaObserver = {
      ...base.observer,
      sendSnapshot: (replica, id) => {
        const to = { id, address: wolf.members.get(toWolfId(id)!)! };
        run(this.#context.tend(replica, () => this.#snapshots!.send(replica, member(id), to)));
      },
      leaderChanged: (replica) => {
        base.observer.leaderChanged(replica);
        if (replica.isLeader) this.#declareMembers(replica);
      },
    };
    return { host: Object.assign(Object.create(base.host) as ReplicaHost, host), observer };
  }

  #makeSnapshots({ members }: WolfOptions): WolfSnapshots {
    const { stores, clock, log, wolfLink } = this.#context.environment;
    return new WolfSnapshots({
      stores,
      link: wolfLink!,
      clock,
      log,
      members: [...members.keys()],
      received: (replica, snapshot) => this.#context.replicas().receive(replica, snapshot),
      refusedLeader: (second) => this.#refusedLeader(second),
    });
  }

  #makeEmptyDisk({ id, members }: WolfOptions): EmptyDisk {
    const { environment, options, replicas } = this.#context;
    const { clock, log, wolfLink } = environment;
    return new EmptyDisk({
      others: new Map([...members].filter(([member]) => member !== id)),
      link: wolfLink!,
      clock,
      log,
      askMs: Math.min(METRICS_MS, Math.max(CALL_MS_MIN, options.electionTicks * options.tickMs)),
      replicas,
    });
  }

  /**
   * Says why the group has no leader; undefined when nothing is known except how many voters answer. Only a candidate
   * calls the others, so only a voter knows how many answer; they may answer and yet not vote (T4).
   */
  #whyLeaderless(
    replica: Replica,
    { answer, isQuorum }: { readonly answer: string; readonly isQuorum: boolean },
  ): string | undefined {
    const refusal = this.#emptyDisk!.refusal(replica);
    if (refusal !== undefined) return refusal;
    if (!this.#isVoter(replica)) {
      return this.isUnformed(replica)
        ? NOT_FORMED
        : 'this member does not vote before a leader has brought it up to date, and hears none: start the others';
    }
    return isQuorum ? `${answer}, but have not elected one: see "error" in GetMetrics of each` : undefined;
  }

  /**
   * Appends a ConfigChange with the members, as the first leader of a group: stock members vote only when they have
   * read it.
   */
  #declareMembers(replica: Replica): void {
    const { raft, log } = replica;
    const last = Math.min(log.lastIndex(), FIRST_ENTRIES);
    if (log.firstIndex() > 1 || log.lastIndex() > FIRST_ENTRIES) return;
    const first = last === 0 ? [] : log.entries(1, last + 1, Number.MAX_SAFE_INTEGER);
    if (first.some((entry) => toWolfEntry(entry).payload.type === 'configChange')) return;
    const members = [...this.#options!.members.keys()];
    raft.propose([configChangeData({ members, membersAfterConsensus: undefined })]);
    replica.wake();
  }

  /**
   * Makes this member a voter once it has caught up (T4). A member that begins with nothing, or has lost what it had,
   * votes from the moment at which it holds, durably, a committed entry of its leader's term: then it holds everything
   * that was ever committed with its help (§5.4.2).
   */
  #promote(replica: Replica): void {
    const { raft } = replica;
    if (this.#isPromoting || this.#isVoter(replica) || replica.isSuspended || !replica.hasTable) return;
    const { appliedIndex, term, leader } = raft;
    if (appliedIndex === 0 || leader === NO_NODE || raft.termAt(appliedIndex) !== term) return;
    this.#isPromoting = true;
    const promoting = this.#context.replicas().changeMembership(replica, this.#allVoters);
    this.#context.run(
      promoting.finally(() => {
        this.#isPromoting = false;
      }),
    );
  }

  async #checkEmpty(id: number, address: string): Promise<void> {
    const refuse = (reason: string): WolfError =>
      wolfErrors.bootstrapFailed(
        `member ${id} at ${address} ${reason}: a group is formed when every member can be reached and has nothing`,
      );
    const { wolfLink } = this.#context.environment;
    const metrics = await askMetrics(wolfLink!, { id, address }, METRICS_MS).catch((error: Error) => {
      throw refuse(error.message);
    });
    if (metrics.lastLogIndex !== 0 || metrics.currentTerm !== 0) throw refuse('has a log or a term');
  }

  /** Throws the error that `refusal` makes, while this member may have forgotten what it promised (T4). */
  #checkRemembers(replica: Replica, refusal: (reason: string) => WolfError): void {
    const reason = this.#emptyDisk!.refusal(replica);
    if (reason !== undefined) throw refusal(reason);
  }

  /** Logs a refused second leader, once for each such member in a term: it may call many times a second. */
  #refusedLeader({ term, claimant, message }: SecondLeader): void {
    if (this.#secondLeaders.term !== term) this.#secondLeaders = { term, members: new Set() };
    if (this.#secondLeaders.members.has(claimant)) return;
    this.#secondLeaders.members.add(claimant);
    this.#context.environment.log(nodeEvents.secondLeaderRefused, {
      group: WOLF_SHARD,
      term,
      peer: claimant,
      reason: message,
    });
  }

  #metrics(): string {
    const replica = this.#replica;
    const wolf = this.#options;
    if (replica === undefined || wolf === undefined) {
      return writeMetrics({
        id: wolf?.id ?? 0,
        state: 'NonVoter',
        currentTerm: 0,
        lastLogIndex: 0,
        lastApplied: 0,
        currentLeader: undefined,
        membershipConfig: { members: [wolf?.id ?? 0], membersAfterConsensus: undefined },
      });
    }
    const { raft } = replica;
    const status = replica.status();
    const members =
      this.isUnformed(replica) && !this.#isVoter(replica) ? [wolf.id] : [...wolf.members.keys()];
    return writeMetrics(
      {
        id: wolf.id,
        state: this.#state(replica),
        currentTerm: raft.term,
        lastLogIndex: raft.lastIndex,
        lastApplied: status.appliedIndex,
        currentLeader: toWolfId(raft.leader),
        membershipConfig: { members, membersAfterConsensus: undefined },
      },
      {
        table: wolf.table,
        commit_index: raft.commitIndex,
        first_log_index: replica.log.firstIndex(),
        content_hash: status.contentHash,
        error: status.error ?? this.#emptyDisk!.refusal(replica) ?? null,
      },
    );
  }

  #state(replica: Replica): WolfMetrics['state'] {
    if (replica.isClosed) return 'Shutdown';
    if (!this.#isVoter(replica)) return 'NonVoter';
    const { role } = replica.raft;
    if (role === 'leader') return 'Leader';
    return role === 'follower' ? 'Follower' : 'Candidate';
  }

  // ---- answers

  #view(replica: Replica): ReplicaView {
    const { raft } = replica;
    const { voters, learners } = replica.membership;
    return {
      id: raft.id,
      members: [...voters, ...learners],
      term: raft.term,
      leaderOfTerm: raft.leaderOfTerm,
      commitIndex: raft.commitIndex,
      termAt: (index) => raft.termAt(index),
    };
  }

  /** Resolves to the answer that `work` gives, or to its error as an answer. */
  async #answer<A extends Answer>(
    msgId: string,
    refusal: (reason: string) => WolfError,
    work: (replica: Replica, options: WolfOptions) => A | Promise<A>,
  ): Promise<A> {
    try {
      const replica = this.#replica;
      if (this.#options === undefined)
        throw refusal('no table is replicated over wolf.raft here: set wolf.table');
      if (replica === undefined || !this.#context.isAdmitted())
        throw refusal('the node has only just started, or stops');
      if (replica.isClosed || replica.isSuspended || replica.isStopped) {
        throw refusal('the replica can take nothing in now: look at the log of the node, and try again');
      }
      return await work(replica, this.#options);
    } catch (error) {
      return answerFailure(msgId, error) as unknown as A;
    }
  }

  /** Steps the core with a call. Resolves to the core's answer, once that may leave. */
  #step<A extends Answer>(
    msgId: string,
    replica: Replica,
    received: Stepped<Message, A>,
    refusal: (reason: string) => WolfError,
  ): Promise<A> {
    if (this.#waiting.size >= WAITING_MAX)
      throw refusal('too many calls wait for the disk of this node: try again');
    const { clock } = this.#context.environment;
    return new Promise((resolve) => {
      const end = (answer: A): void => {
        this.#waiting.delete(waiting);
        timer.cancel();
        resolve(answer);
      };
      const fail = (reason: string): void => end(answerFailure(msgId, refusal(reason)) as unknown as A);
      const timer = clock.startTimer(ANSWER_MS, () => fail('the disk of this node takes too long'));
      const waiting: Waiting = {
        raft: replica.raft,
        settle: (message) => {
          const answer = received.settle(message, this.#view(replica));
          if (answer === undefined) return false;
          end(answer);
          return true;
        },
        fail,
      };
      this.#waiting.add(waiting);
      replica.step(received.message);
      // This member hears a leader, and does not even take the term in (thesis 4.2.3).
      if (replica.raft.term >= received.message.term) return;
      const unanswered = received.unanswered(this.#view(replica));
      if (unanswered !== undefined) end(unanswered);
    });
  }

  #settle(message: Message): void {
    for (const waiting of this.#waiting) waiting.settle(message);
  }
}
