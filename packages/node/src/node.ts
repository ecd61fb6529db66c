import { mvcc } from '@coxswain/protocol';
import { NO_NODE, type NodeId } from '@coxswain/raft';
import type { Clock, Timer } from '@coxswain/runtime';
import { Histogram } from '@coxswain/runtime';
import {
  type ApplyResult,
  CommandKind,
  StoreDamagedError,
  type Table,
  TableClosedError,
  TableHalfAppliedError,
} from '@coxswain/table';
import { type GroupId, Wal } from '@coxswain/wal';
import type {
  Call,
  ClusterRole,
  Header,
  NodeApi,
  NodeMetrics,
  NodeStatus,
  Proposed,
  ReadableTable,
  Readiness,
  TableInfo,
} from './api/api.js';
import type { Environment, Log, PeerHandler } from './api/environment.js';
import { ApiError, errors } from './api/errors.js';
import type { MaintenanceControl } from './api/maintenance-api.js';
import type { MemberControl, MemberState, StateChange } from './api/member-control.js';
import type { NodeOptions } from './api/options.js';
import type {
  FollowerControl,
  LedTable,
  ReplicationApi,
  ShardLoad,
  TableLog,
} from './api/replication-api.js';
import { Admission } from './cluster/admission.js';
import { ChangeLog } from './cluster/change-log.js';
import { Formation } from './cluster/formation.js';
import type { FrameHeader, PeerMessage, StartRecord } from './cluster/frame.js';
import { bringBack, DataDirectoryError, Identity } from './cluster/identity.js';
import { type Answerer, MemberQuestions } from './cluster/member-questions.js';
import { Peers } from './cluster/peers.js';
import { TrustedClock } from './cluster/trusted-clock.js';
import { DiskWatch } from './disk/disk-watch.js';
import { ArchiveBacklog, type WantedLog } from './group/archive-backlog.js';
import { Budget } from './group/budget.js';
import { Handover } from './group/handover.js';
import type { Replica } from './group/replica.js';
import type { ReplicaHost } from './group/replica-host.js';
import { ReplicaLog } from './group/replica-log.js';
import { type GroupHosting, type ReplicaObserver, Replicas } from './group/replicas.js';
import { Snapshots } from './group/snapshots.js';
import { Turns } from './group/turns.js';
import { WriteStages } from './group/write-stages.js';
import type { ClusterClone } from './meta/cluster-clone.js';
import { META_SHARD, WOLF_SHARD } from './meta/registry.js';
import { Tables } from './meta/tables.js';
import { Wolf } from './wolf/wolf.js';

/** How often lost requests are repeated, in ticks. */
const HOUSEKEEPING_TICKS = 10;
/** Entries are removed from the log in portions of this part of `snapshotEntries`. */
const COMPACTION_PORTION = 0.25;
/** With this many `snapshotEntries` or more the log waits for a checkpoint of the table's own, up to so many times as many. */
const LONG_LOG_ENTRIES = 10_000;
const LONG_LOG_COMPACTIONS = 5;
/** More is not removed at once: it takes a few nanoseconds of the event loop for each. */
const COMPACTION_ENTRIES_MAX = 100_000;
const HISTORY_CHECK_MS_MAX = 5000;
const SYNC_SECONDS_BOUNDS = [
  0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5,
];
/** How long a node that stops hands over what it leads, in election timeouts: one for each voter that it may ask in vain. */
const HANDOVER_ELECTION_TIMEOUTS = 3;
/** A follower counts up to two election timeouts before it gives its leader up, once it was silent for one. */
const FORLORN_ELECTION_TIMEOUTS = 3;
/** How long a node that stops waits for writes to its log. */
const STOP_PATIENCE_MS = 2000;
/** A compaction of history that does not come through in this time is proposed again at the next check. */
const COMPACTION_MS = 5000;

/**
 * The replica host: many Raft groups over one log and one peer transport, and the tables that they hold.
 * `open` reads the disk, `start` joins the world, `stop` leaves it in order.
 */
export class Node implements NodeApi, ReplicationApi, FollowerControl, MaintenanceControl, MemberControl {
  readonly #options: NodeOptions;
  /** Its wall time is what this node believes of its clock (A7). */
  readonly #environment: Environment;
  /** The wall time as the system has it. */
  readonly #wallMs: () => number;
  readonly #trustedClock: TrustedClock;
  readonly #identity: Identity;
  readonly #wal: Wal;
  readonly #syncSeconds: Histogram;
  readonly #writeStages = new WriteStages();
  readonly #peers: Peers;
  readonly #admission: Admission;
  readonly #turns: Turns;
  readonly #replicas: Replicas;
  readonly #tables: Tables;
  readonly #snapshots: Snapshots;
  readonly #questions: MemberQuestions;
  readonly #formation: Formation;
  readonly #handover: Handover;
  readonly #budget: Budget;
  readonly #archiveBacklog: ArchiveBacklog | undefined;
  /** What wolf.raft asks of this node, whether it is a member of such a group or not. */
  readonly wolf: Wolf;
  readonly #diskWatch: DiskWatch;
  #isStopping = false;
  #stopped: Promise<void> | undefined;
  #opened: Promise<void> | undefined;
  #tickTimer: Timer | undefined;
  #ticks = 0;
  #historyCheckedMs = 0;
  #silent = new Set<NodeId>();
  readonly #changeLog: ChangeLog;
  readonly #listeners = new Set<() => void>();
  #isTelling = false;
  #counters = {
    appended: 0,
    applied: 0,
    refused: 0,
    outcomeUnknown: 0,
    linearizable: 0,
    serializable: 0,
    readIndexRounds: 0,
    leaderChanges: 0,
  };

  private constructor(
    options: NodeOptions,
    given: Environment,
    identity: Identity,
    wal: Wal,
    syncSeconds: Histogram,
    changeLog: ChangeLog,
    records: readonly StartRecord[],
  ) {
    this.#options = options;
    this.#syncSeconds = syncSeconds;
    this.#changeLog = changeLog;
    this.#trustedClock = watchClock(options.initialMembers.size, given.log);
    this.#wallMs = () => given.clock.nowMs();
    const clock = this.#trustedClock.believed(given.clock);
    const environment = { ...given, clock };
    // What the clock shows now is believed until members are heard.
    clock.nowMs();
    this.#environment = environment;
    this.#identity = identity;
    this.#wal = wal;
    const { random, transport, stores, log } = environment;
    this.#budget = new Budget({
      countMax: options.proposalsPendingMax,
      bytesMax: options.proposalsPendingBytesMax,
    });
    this.#archiveBacklog = options.archive && new ArchiveBacklog(options.archive);
    const memberIds = [...options.initialMembers.keys()];
    this.#peers = new Peers({
      identity,
      transport,
      ids: memberIds.filter((id) => id !== options.nodeId),
      log,
      metaApplied: () => this.#tables.metaApplied,
      position: () => wal.durablePosition,
      wallMs: this.#wallMs,
      isAdmitted: () => this.#admission.isAdmitted,
      observe: (header) => this.#observe(header),
      nowMs: () => clock.monotonicMs(),
    });
    this.#questions = new MemberQuestions(this.#peers, clock);
    this.#admission = new Admission({
      identity,
      peers: this.#peers,
      files: environment.files,
      clock,
      log,
      records,
      patienceMs: options.electionTicks * options.tickMs,
      onAdmitted: () => {
        for (const replica of this.#replicas.values()) replica.wake();
      },
      onRefused: (error) => this.#fail(error),
      run: (work) => this.#run(work),
    });
    this.#diskWatch = new DiskWatch({
      environment,
      options,
      wal,
      onFull: () => this.#suspendAll(),
      onRoom: () => this.#replicas.restartAll(),
      settled: (withinMs) => this.#isDoneWithin(this.#turns.settled(), withinMs),
      isStopping: () => this.#isStopping,
      run: (work) => this.#run(work),
    });
    this.#turns = new Turns({
      clock,
      wal,
      peers: this.#peers,
      onDiskFull: () => this.#diskWatch.enter(),
      onFatal: (error) => this.#fail(error),
    });
    const hosting = this.#hosting(Buffer.from(identity.boot, 'hex'));
    this.wolf = new Wolf({
      options,
      environment,
      hosting,
      replicas: () => this.#replicas,
      isAdmitted: () => this.#admission.isAdmitted && !this.#isStopping,
      tend: (replica, work) => this.#tend(replica, work),
      run: (work) => this.#run(work),
    });
    this.#replicas = new Replicas({
      hostingOf: (group) => (group === WOLF_SHARD ? this.wolf.hosting : hosting),
      diskFull: () => this.#diskWatch.enter(),
      fail: (error) => this.#fail(error),
      options,
      environment,
      wal,
      turns: this.#turns,
      afterMetaApply: () => this.#tables.follow(),
    });
    this.#tables = new Tables({
      options,
      environment,
      identity,
      replicas: this.#replicas,
      propose: (replica, kind, command, deadlineMs, cursor) =>
        this.#proposeTo(replica, kind, command, { deadlineMs }, cursor),
      wolf: () => this.#replicas.get(WOLF_SHARD),
      checkpoint: (replica) => this.#tend(replica, (table) => table.checkpoint()),
      boot: identity.boot,
      isAlive: (peer) => this.#isAlive(peer),
      lowestMetaApplied: () => this.#peers.lowestMetaApplied,
      isMetaAppliedByAll: (index) =>
        [...this.#peers.ids].every((id) => this.#peers.metaAppliedOf(id) >= index || this.#isForlorn(id)),
      isStopping: () => this.#isStopping,
      run: (work) => this.#run(work),
      onRefused: (error) => this.#fail(error),
      onChanged: () => this.#tellListeners(),
    });
    this.#snapshots = new Snapshots({
      transport,
      stores,
      random,
      log,
      header: () => this.#peers.header(),
      checkMember: (sender) =>
        this.#peers.checkMember(sender) ?? this.#admission.checkBoot(sender.from, sender.boot),
      replica: (group) => this.#spokenTo(group),
      received: (replica, snapshot) => this.#replicas.receive(replica, snapshot),
    });
    this.#formation = new Formation({
      identity,
      peers: this.#peers,
      memberIds,
      random,
      log,
      onJoined: () => this.#run(this.#tables.enterCluster()),
      onRefused: (error) => this.#fail(error),
    });
    this.#handover = new Handover({
      replicas: this.#replicas,
      isAlive: (peer) => this.#isAlive(peer),
      log,
      patienceTicks: options.electionTicks * HANDOVER_ELECTION_TIMEOUTS,
    });
  }

  /** Reads what is on disk. Throws DataDirectoryError, or the log's errors, for what must not be guessed; nothing was changed then. */
  static async open(options: NodeOptions, environment: Environment): Promise<Node> {
    const identity = await Identity.load(environment.files, options.nodeId, environment.random);
    const { genesis } = identity;
    if (genesis !== undefined) {
      const known = genesis.members.map(({ id }) => id).join();
      const given = [...options.initialMembers.keys()].sort((a, b) => a - b).join();
      if (known !== given) {
        throw new DataDirectoryError(
          `the data directory belongs to a cluster of nodes ${known}, but was started with nodes ${given}: give the same members, or another data directory`,
        );
      }
    }
    const { clock, log } = environment;
    const syncSeconds = new Histogram(SYNC_SECONDS_BOUNDS);
    const changeLog = new ChangeLog(log);
    const wal = await Wal.open({
      disk: environment.walDisk,
      segmentSizeBytes: options.walSegmentSizeBytes,
      entryCacheBytesMax: options.walEntryCacheBytesMax,
      now: () => environment.clock.monotonicMs(),
      onSync: (durationMs) => {
        syncSeconds.observe(durationMs / 1000);
        changeLog.synced(durationMs, clock.monotonicMs());
      },
      onFatal: environment.fatal,
    });
    if (identity.phase === 'member' && wal.group(META_SHARD) === undefined) {
      throw new DataDirectoryError(`the data directory lacks its write-ahead log: ${bringBack('wal/')}`);
    }
    if (identity.phase === 'new' && wal.group(META_SHARD) !== undefined) {
      throw new DataDirectoryError(
        `the data directory has a write-ahead log but no cluster id: ${bringBack('node.json')}`,
      );
    }
    const wolfLog = wal.group(WOLF_SHARD);
    if (wolfLog !== undefined) {
      identity.checkWolf(options.wolf, Wolf.isFormed(wolfLog));
      Wolf.checkMembers(wolfLog, options.wolf!);
    }
    await DiskWatch.prepareStart(environment, options, wal);
    const records = await Admission.read(environment.files);
    const boot = environment.random.bytes(8).toString('hex');
    await identity.beginStart({ boot, from: wal.durablePosition }, options.wolf);
    return new Node(options, environment, identity, wal, syncSeconds, changeLog, records);
  }

  /** Opens the tables that the log knows. `start` does it where it was not done before. */
  openTables(): Promise<void> {
    this.#opened ??= this.#openTables();
    return this.#opened;
  }

  async #openTables(): Promise<void> {
    await this.#replicas.openAll();
    await this.wolf.open();
    // On a full disk nothing is written from here on, and what was released to open them is held again (D6).
    await this.#diskWatch.check(() => this.#replicas.replay());
    await this.#diskWatch.holdWhatIsLeft();
  }

  /** Listens, and joins its cluster or waits for one to form. Resolves when peers can reach it. */
  async start(): Promise<void> {
    const { initialMembers, nodeId } = this.#options;
    await this.openTables();
    const peers = new Map([...initialMembers].filter(([id]) => id !== nodeId));
    await this.#environment.transport.start(peers, this.#peerHandler);
    // Before anything is written: on a full disk that waits, and only ticks look for room again (D6).
    this.#scheduleTick();
    if (this.#identity.phase === 'new') this.#formation.tick();
    else {
      this.#admission.tick();
      await this.#tables.enterCluster();
      // The only member has no leader to miss, and need not wait for one.
      for (const replica of this.#replicas.values()) {
        if (replica.membership.voters.length === 1) replica.campaign(0);
      }
    }
    this.#peers.flush();
  }

  /**
   * Hands over what it leads, ends what is under way, leaves the disk so that nothing has to be replayed, and
   * disconnects.
   */
  stop(): Promise<void> {
    this.#stopped ??= this.#leave();
    return this.#stopped;
  }

  /**
   * Begins to hand the group over to another member, which follows in step or soon will; given up after an election
   * timeout. False, and nothing is done, where this node does not lead the group or `target` is no other voter.
   */
  transferLeadership(group: GroupId, target: NodeId): boolean {
    return this.#replicas.get(group)?.transferLeadership(target) ?? false;
  }

  async #leave(): Promise<void> {
    if (this.#isStopping) return;
    await this.#handover.run();
    // It may have failed meanwhile.
    if (this.#isStopping) return;
    this.#isStopping = true;
    this.#tickTimer?.cancel();
    this.#tables.stopping();
    // On a full disk a write may wait for ever (D6), and a replica for that write; closing the log ends it.
    await this.#isDoneWithin(this.#turns.settled(), STOP_PATIENCE_MS);
    const closing = this.#replicas.close();
    const isClosed = await this.#isDoneWithin(closing, STOP_PATIENCE_MS);
    if (!isClosed) await this.#wal.close();
    await closing;
    await this.#environment.transport.close();
    this.#environment.wolfLink?.close();
    if (isClosed) await this.#wal.close();
  }

  /** This node's clock. Its wall time is never far ahead of the members', whatever the system's does (A7). */
  get clock(): Clock {
    return this.#environment.clock;
  }

  // ---- NodeApi

  propose(table: string, command: mvcc.Command, call: Call): Promise<Proposed> {
    // Of what waits for its answer little should be kept: the command goes as soon as it is encoded.
    return this.#propose(table, mvcc.Command.encode(command).finish() as Buffer, call);
  }

  #propose(table: string, bytes: Buffer, call: Call): Promise<Proposed> {
    const replica = this.#tables.isFresh ? this.#tables.get(table) : undefined;
    if (replica === undefined || this.#isStopping) return this.#proposeLater(table, bytes, call);
    try {
      this.#admitCommand();
      this.#admitCommandTo(replica, bytes);
      return replica.propose(CommandKind.Command, bytes, call).then(
        (result) =>
          // T2: after the seal nothing has an effect any more, so it may go to the shard that took over.
          result.sealedBy === undefined
            ? { result, header: replica.header(result.revision) }
            : this.#proposeLater(table, bytes, call),
        (error: unknown) => {
          this.#countFailure(error);
          if (!this.#isUndone(replica, error)) throw error;
          return this.#proposeLater(table, bytes, call);
        },
      );
    } catch (error) {
      return this.#isUndone(replica, error) ? this.#proposeLater(table, bytes, call) : Promise.reject(error);
    }
  }

  /** As `propose`, of a table that this node does not serve yet, or whose shard changes (T2). */
  async #proposeLater(table: string, bytes: Buffer, call: Call): Promise<Proposed> {
    // Without room nobody here can lead the group that says more.
    this.#admitWrite();
    // What this disk says of a clone may be old.
    if (!this.#tables.isFresh) await this.#tables.meta().confirmRead(call.deadlineMs);
    this.#admitCommand();
    return await this.#onShard(table, call, async (replica) => {
      this.#admitCommandTo(replica, bytes);
      const result = await this.#proposeTo(replica, CommandKind.Command, bytes, call);
      if (result.sealedBy !== undefined) return undefined;
      return { result, header: replica.header(result.revision) };
    });
  }

  /** Throws where a command of a client cannot go to the replica. */
  #admitCommandTo(replica: Replica, bytes: Buffer): void {
    // R5: what a follower cluster holds comes from its leader cluster alone.
    if (this.#tables.role !== 'leader') throw errors.notReady();
    // Nobody could tell here what the write did.
    if (!replica.hasTable) throw errors.notReady();
    // What follower clusters must have before the node stops does not grow any more.
    if (this.#isClosing) throw errors.closing();
    if (!replica.speaksFrames) this.wolf.checkSize(bytes);
  }

  /**
   * Attempts something on the shard that serves the table, and again on the one that takes its place (T2): when the
   * attempt gives undefined, because the shard is sealed, and when the shard was dropped before anything was done.
   */
  async #onShard<T>(
    table: string,
    call: Call,
    attempt: (replica: Replica) => Promise<T | undefined>,
  ): Promise<T> {
    for (;;) {
      if (this.#isStopping) throw errors.shuttingDown();
      const replica = this.#tables.get(table) ?? (await this.#tables.find(table, call));
      try {
        const outcome = await attempt(replica);
        if (outcome !== undefined) return outcome;
      } catch (error) {
        if (!this.#isUndone(replica, error)) throw error;
      }
      await this.#tables.moved(table, replica, call);
    }
  }

  /** The replica was dropped before anything was done: another shard may do it. */
  #isUndone(replica: Replica, error: unknown): boolean {
    const isGone = error instanceof ApiError && !error.isOutcomeUnknown && replica.isClosed;
    return isGone && !this.#isStopping;
  }

  read(
    table: string,
    { linearizable }: { linearizable: boolean },
    call: Call,
  ): ReadableTable | Promise<ReadableTable> {
    const replica = this.#tables.get(table);
    if (replica === undefined || this.#isStopping || !this.#serves(replica)) {
      return this.#readLater(table, linearizable, call);
    }
    if (!linearizable) {
      this.#counters.serializable++;
      return replica;
    }
    this.#counters.linearizable++;
    return replica.confirmRead(call.deadlineMs).then(
      // It may have been sealed or dropped meanwhile (T2): nothing was done, so it begins anew.
      () => (this.#serves(replica) ? replica : this.#readLater(table, linearizable, call)),
      (error: unknown) => {
        if (!this.#isUndone(replica, error)) throw error;
        return this.#readLater(table, linearizable, call);
      },
    );
  }

  /** T4: before its members have confirmed that it lost nothing, what is on this disk may be an old state. */
  #serves(replica: Replica): boolean {
    return replica.isServing && this.#admission.isAdmitted;
  }

  async #readLater(name: string, linearizable: boolean, call: Call): Promise<ReadableTable> {
    if (this.#isStopping) throw errors.shuttingDown();
    await this.#admission.admitted(call.deadlineMs);
    return await this.#onShard(name, call, async (replica) => {
      if (linearizable) {
        this.#counters.linearizable++;
        await replica.confirmRead(call.deadlineMs);
      }
      if (!replica.isServing && replica.table.sealedBy === undefined) await this.#whole(replica, call);
      // R4: what is in quarantine is read under a name that says so.
      const isReadable = replica.isServing || this.#tables.quarantined(name) === replica;
      return isReadable ? replica : undefined;
    });
  }

  /** The shard has taken over the name and is not loaded on this node yet (T2), or a crash left an entry half applied (A4). */
  async #whole(replica: Replica, { deadlineMs }: Call): Promise<void> {
    const waitMs = deadlineMs - this.#environment.clock.monotonicMs();
    const isOver = () => replica.isWhole || replica.isClosed || !replica.hasTable || this.#isStopping;
    if (!(await replica.changes.until(isOver, waitMs))) throw errors.timeout();
  }

  // ---- replication between clusters

  get role(): ClusterRole | undefined {
    return this.#tables.role;
  }

  get nodeId(): NodeId {
    return this.#options.nodeId;
  }

  get #ownState(): MemberState {
    return this.#tables.memberState(this.nodeId);
  }

  /** Also once it was closed, until its process has ended, or has begun anew. */
  get #isClosing(): boolean {
    const state = this.#ownState;
    return state === 'closing' || state === 'offline';
  }

  get isLogPaused(): boolean {
    const state = this.#ownState;
    return state === 'pausing' || state === 'paused';
  }

  get isReplicationPaused(): boolean {
    return this.#tables.isAnyPaused;
  }

  memberState(id: NodeId): MemberState {
    return this.#tables.memberState(id);
  }

  async memberStates(call: Call): Promise<ReadonlyMap<NodeId, MemberState>> {
    return await this.#tables.memberStates(call);
  }

  async changeMemberState(id: NodeId, change: StateChange, call: Call): Promise<MemberState | undefined> {
    this.#admitWrite();
    return await this.#tables.changeMemberState(id, change, call);
  }

  async openLog(table: string, call: Call): Promise<TableLog> {
    return await this.#onShard(table, call, async (replica) => {
      // R2: what was committed when it was asked for is applied here before anything is served.
      await replica.confirmRead(call.deadlineMs);
      if (replica.isServing) return new ReplicaLog(replica);
      if (replica.table.sealedBy === undefined) throw errors.notReady();
      return undefined;
    });
  }

  localLog(table: string): TableLog | undefined {
    const replica = this.#tables.get(table);
    return replica?.isServing ? new ReplicaLog(replica) : undefined;
  }

  async whenRevision(table: string, revision: number, call: Call): Promise<Header> {
    const follows = this.#tables.role === 'follower';
    for (;;) {
      if (this.#isStopping) throw errors.shuttingDown();
      const waitMs = call.deadlineMs - this.#environment.clock.monotonicMs();
      const replica = this.#tables.get(table);
      if (replica === undefined) {
        // On a follower cluster it may come with the next look at the leader cluster's tables.
        const isKnown = () => this.#tables.get(table) !== undefined || this.#isStopping;
        if (!follows) await this.#tables.find(table, call);
        else if (!(await this.#tables.changes.until(isKnown, waitMs))) throw errors.timeout();
        continue;
      }
      // R5: it was promoted with what it had, and its revisions, which are higher, tell nothing of the write.
      if (follows && !this.#tables.isReplicated(table)) throw errors.outcomeUnknown();
      const isThere = () => replica.isServing && replica.table.revision >= revision;
      if (isThere()) return replica.header(replica.table.revision);
      const sealedBy = replica.hasTable ? replica.table.sealedBy : undefined;
      if (sealedBy !== undefined) await this.#tables.moved(table, replica, call);
      else {
        const isSealed = () => replica.hasTable && replica.table.sealedBy !== undefined;
        const isOver = () =>
          isThere() || isSealed() || this.#tables.get(table) !== replica || this.#isStopping;
        if (!(await replica.changes.until(isOver, waitMs))) throw errors.timeout();
      }
    }
  }

  answerMembers(topic: string, answerer: Answerer): void {
    this.#questions.answer(topic, answerer);
  }

  askMembers(topic: string, question: Buffer, waitMs: number): Promise<ReadonlyMap<NodeId, Buffer>> {
    return this.#questions.ask(topic, question, waitMs);
  }

  get leadsMeta(): boolean {
    return this.#replicas.get(META_SHARD)?.isLeader ?? false;
  }

  get clusterId(): string | undefined {
    return this.#identity.clusterId;
  }

  get leaderClusterId(): string | undefined {
    return this.#tables.leaderClusterId;
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Told apart from the turn in which it happened, and once for all that happened in it. */
  #tellListeners(): void {
    if (this.#isTelling || this.#listeners.size === 0) return;
    this.#isTelling = true;
    this.#environment.clock.defer(() => {
      this.#isTelling = false;
      if (this.#isStopping) return;
      for (const listener of this.#listeners) listener();
    });
  }

  ledTables(): LedTable[] {
    // A promoted table takes writes of its own, which nothing may replicate over (R5).
    const isOfThisRole = (name: string) => this.role === 'leader' || this.#tables.isReplicated(name);
    const led = this.#tables
      .replicas()
      // What is replicated over wolf.raft belongs to no cluster alone: its leader may be another's next.
      .filter(
        ({ name, isLeader, isServing, speaksFrames }) =>
          isLeader && isServing && speaksFrames && isOfThisRole(name!),
      );
    return led.map(({ name, group, raft }) => ({
      name: name!,
      shardId: group,
      term: raft.term,
      ...this.#tables.holdOf(name!),
    }));
  }

  cursor(shardId: number): number | undefined {
    const replica = this.#replicas.get(shardId);
    return replica?.isServing ? replica.table.leaderIndex : undefined;
  }

  async replicate(
    shardId: number,
    { cursor, command }: { readonly cursor: number; readonly command: Buffer },
    call: Call,
  ): Promise<ApplyResult> {
    this.#admitCommand();
    const replica = this.#replicas.get(shardId);
    if (replica === undefined || !replica.isServing) throw errors.notReady();
    const result = await this.#proposeTo(replica, CommandKind.Command, command, call, cursor);
    // T2: it had no effect, and another shard goes on from a cursor of its own.
    if (result.sealedBy !== undefined) throw errors.notReady();
    return result;
  }

  async createReplicated(name: string, call: Call): Promise<void> {
    this.#admitWrite();
    await this.#tables.create(name, { isReplicated: true }, call);
  }

  async quarantine(name: string, shardId: number, call: Call): Promise<void> {
    this.#admitWrite();
    await this.#tables.quarantine(name, shardId, call);
  }

  async bindLeaderCluster(id: string, call: Call): Promise<string> {
    return await this.#tables.bindLeaderCluster(id, call);
  }

  async stopReplication(name: string, reason: string, call: Call): Promise<void> {
    await this.#tables.stopReplication(name, reason, call);
  }

  async requestReset(name: string | undefined, call: Call): Promise<void> {
    this.#admitWrite();
    await this.#tables.requestReset(name, call);
  }

  async beginLoad(name: string, call: Call): Promise<ShardLoad> {
    this.#admitWrite();
    return await this.#tables.beginLoad(name, call);
  }

  async beginRestore(name: string, call: Call, cloneId?: string): Promise<ShardLoad> {
    this.#admitWrite();
    return await this.#tables.beginRestore(name, call, cloneId);
  }

  get clone(): ClusterClone {
    return this.#tables.clone;
  }

  archiveBacklog(): { sizeBytes: number; refusesWrites: boolean } {
    const backlog = this.#archiveBacklog;
    return { sizeBytes: backlog?.sizeBytes ?? 0, refusesWrites: backlog?.refusesWrites ?? false };
  }

  archivedIndex(shardId: number): number {
    return this.#tables.archivedIndex(shardId);
  }

  async reportArchived(indices: ReadonlyMap<number, number>, call: Call): Promise<void> {
    this.#admitWrite();
    await this.#tables.reportArchived(indices, call);
  }

  async compactLogs(followedUpTo: ReadonlyMap<string, number>): Promise<void> {
    for (const replica of this.#tables.replicas()) {
      await this.#tend(replica, (table) => table.checkpoint());
      if (replica.isClosed || !replica.hasTable || replica.isSuspended) continue;
      await this.#compactLog(replica, {
        upTo: followedUpTo.get(replica.name ?? '') ?? Number.POSITIVE_INFINITY,
      });
    }
  }

  async beginPromotion(call: Call): Promise<void> {
    this.#admitWrite();
    await this.#tables.beginPromotion(call);
  }

  unpromotedTables(): { name: string; shardId: number }[] {
    return this.#tables.unpromotedTables();
  }

  async finishPromotion(call: Call): Promise<void> {
    this.#admitWrite();
    await this.#tables.finishPromotion(call);
  }

  async createTable(
    name: string,
    config: Record<string, unknown> | undefined,
    call: Call,
  ): Promise<TableInfo> {
    this.#admitWrite();
    return await this.#tables.create(name, { config, isReplicated: false }, call);
  }

  async deleteTable(name: string, call: Call): Promise<void> {
    this.#admitWrite();
    await this.#tables.delete(name, call);
  }

  async listTables(call: Call): Promise<TableInfo[]> {
    return await this.#tables.list(call);
  }

  status(): NodeStatus {
    const meta = this.#replicas.get(META_SHARD);
    return {
      nodeId: this.#options.nodeId,
      role: this.#tables.role,
      clusterId: this.#identity.clusterId,
      incarnation: this.#identity.incarnation,
      members: this.#tables.members(),
      tables: this.#tables.replicas().map((replica) => replica.status()),
      quarantined: this.#tables.quarantinedTables(),
      meta: meta?.status(),
      isDiskFull: this.#diskWatch.isFull,
      diskShortage: this.#diskWatch.shortage,
      peers: [...this.#peers.ids].map((id) => ({
        id,
        isConnected: this.#peers.isConnected(id),
        silentMs: this.#peers.silenceMs(id),
      })),
    };
  }

  readiness(): Readiness {
    const replicas = this.#tables.replicas();
    const meta = this.#replicas.get(META_SHARD);
    const conditions = {
      hasNoCluster: !this.#tables.hasGenesis,
      // Whoever has no leader of the meta group does not know what the cluster has become meanwhile.
      hasNoLeader:
        !this.#tables.isFresh ||
        hasNoLeader(meta) ||
        replicas.some((replica) => hasNoLeader(replica) && !this.wolf.isUnformed(replica)),
      isRebuilding: replicas.some(({ hasTable }) => !hasTable),
      isDiskFull: this.#diskWatch.isFull,
      isShuttingDown: this.#isStopping,
    };
    return { isReady: !Object.values(conditions).includes(true), conditions };
  }

  metrics(): NodeMetrics {
    const { appended, applied, refused, outcomeUnknown } = this.#counters;
    const { linearizable, serializable, readIndexRounds, leaderChanges } = this.#counters;
    const wal = this.#wal.statistics();
    return {
      proposals: { appended, applied, refused, outcomeUnknown, pending: this.#budget.count },
      reads: { linearizable, serializable, readIndexRounds },
      leaderChanges,
      walSyncs: wal.syncs,
      walSyncSeconds: this.#syncSeconds,
      walBytes: wal.segmentBytes,
      writeStages: this.#writeStages,
      snapshotsSent: this.#snapshots.sentCount,
      snapshotsReceived: this.#snapshots.receivedCount,
      clock: {
        aheadSeconds: this.#trustedClock.aheadMs(this.#wallMs(), this.clock.monotonicMs()) / 1000,
        jumps: this.#trustedClock.jumps,
        lastJumpSeconds: this.#trustedClock.lastJumpMs / 1000,
      },
      peerBytesSent: this.#peers.bytesSent,
      peerBytesReceived: this.#peers.bytesReceived,
    };
  }

  /** For checks of invariants from outside; nothing is copied, nothing may be changed. */
  inspect(): {
    readonly groups: Iterable<Replica>;
    readonly isMetaFresh: boolean;
    /** Its members keep this start: it may vote, acknowledge and serve (T4). */
    readonly isAdmitted: boolean;
    readonly startNumber: number;
    /** How far its log is durable. */
    readonly position: number;
    /** Its clock is compared with those of the members (A7). */
    readonly isClockCompared: boolean;
  } {
    return {
      groups: this.#replicas.values(),
      isMetaFresh: this.#tables.isFresh,
      isAdmitted: this.#admission.isAdmitted,
      startNumber: this.#identity.startNumber,
      position: this.#wal.durablePosition,
      isClockCompared: this.#trustedClock.isCompared,
    };
  }

  #admitWrite(): void {
    if (this.#isStopping) throw errors.shuttingDown();
    if (this.#diskWatch.isFull) throw errors.diskFull();
  }

  /** Of what would have to be archived. */
  #admitCommand(): void {
    this.#admitWrite();
    if (this.#archiveBacklog?.refusesWrites) throw errors.archiveBehind();
    this.clone.checkWrite();
  }

  async #proposeTo(
    replica: Replica,
    kind: CommandKind,
    command: Buffer,
    call: Call,
    cursor?: number,
  ): Promise<ApplyResult> {
    try {
      return await replica.propose(kind, command, call, cursor);
    } catch (error) {
      this.#countFailure(error);
      throw error;
    }
  }

  #countFailure(error: unknown): void {
    if (!(error instanceof ApiError)) return;
    if (error.isOutcomeUnknown) this.#counters.outcomeUnknown++;
    else this.#counters.refused++;
  }

  // ---- time

  /** Five signs of life per election timeout: a lost one must not make a peer look dead. */
  get #keepAliveTicks(): number {
    return Math.max(1, Math.floor(this.#options.electionTicks / 5));
  }

  #scheduleTick(): void {
    if (this.#isStopping) return;
    this.#tickTimer = this.#environment.clock.startTimer(this.#options.tickMs, () => {
      this.#scheduleTick();
      this.#tick();
    });
  }

  #tick(): void {
    this.#ticks++;
    // A write without entries is not refused: it waits in the log for room, which nobody else would look for (D6).
    if (this.#wal.isFull) this.#diskWatch.enter();
    this.#formation.tick();
    this.#admission.tick();
    this.#watchPeers();
    const nowMs = this.clock.monotonicMs();
    // For the warning: a jump may come and go between two writes.
    this.clock.nowMs();
    const isHousekeeping = this.#ticks % HOUSEKEEPING_TICKS === 0;
    for (const replica of this.#replicas.awake()) {
      if (this.#admission.isAdmitted) replica.tick();
      replica.expire(nowMs);
      if (isHousekeeping && this.#admission.isAdmitted) replica.housekeep(nowMs);
    }
    if (isHousekeeping) this.#admission.housekeep();
    if (this.#ticks % this.#keepAliveTicks === 0) this.#peers.keepAlive();
    this.#handover.tick();
    this.wolf.tick();
    this.#turns.run();
    if (isHousekeeping) {
      this.#logChanges();
      this.#run(this.#tables.tend());
      if (this.#archiveBacklog !== undefined) this.#tendArchived(this.#archiveBacklog);
      this.#run(this.#diskWatch.check());
    }
    this.#checkHistory(nowMs);
  }

  /** Quiet groups count no ticks: a peer that fell silent wakes those that it leads. */
  #watchPeers(): void {
    for (const id of this.#peers.ids) {
      if (!this.#peers.isConnected(id) || !this.#isSilent(id)) {
        this.#silent.delete(id);
        continue;
      }
      if (this.#silent.has(id)) continue;
      this.#silent.add(id);
      for (const replica of this.#replicas.values()) {
        if (replica.isQuiet && (replica.isLeader || replica.raft.leader === id)) replica.wake();
      }
    }
  }

  #logChanges(): void {
    const peers = new Map([...this.#peers.ids].map((id) => [id, this.#isAlive(id)]));
    this.#changeLog.look({ peers, tables: this.#tables.watched() });
  }

  #isAlive(peer: NodeId): boolean {
    return this.#peers.isConnected(peer) && !this.#isSilent(peer);
  }

  /** It was silent for so long that it has given up every leader among those that this node hears, if it lives. */
  #isForlorn(peer: NodeId): boolean {
    const { electionTicks, tickMs } = this.#options;
    return this.#peers.silenceMs(peer) >= FORLORN_ELECTION_TIMEOUTS * electionTicks * tickMs;
  }

  #isSilent(peer: NodeId): boolean {
    const { electionTicks, tickMs } = this.#options;
    return this.#peers.silenceMs(peer) >= electionTicks * tickMs;
  }

  /** A5: the leader of a table proposes that history goes, from entry times, when there is something to remove. */
  #checkHistory(nowMs: number): void {
    const { historyRetentionMs } = this.#options;
    const intervalMs = Math.min(HISTORY_CHECK_MS_MAX, Math.max(historyRetentionMs / 4, this.#options.tickMs));
    if (nowMs - this.#historyCheckedMs < intervalMs) return;
    this.#historyCheckedMs = nowMs;
    for (const replica of this.#replicas.values()) {
      if (replica.isSuspended) continue;
      this.#run(this.#tend(replica, (table) => this.#compactHistory(replica, table)));
    }
  }

  async #compactHistory(replica: Replica, table: Table): Promise<void> {
    const { clock } = this.#environment;
    replica.revisionAges.note(table.revision, clock.monotonicMs());
    if (replica.isLeader && !this.#diskWatch.isFull && table.sealedBy === undefined) {
      const { historyRetentionMs } = this.#options;
      const cutoffMs = clock.nowMs() - historyRetentionMs;
      const oldRevision = replica.revisionAges.olderThan(historyRetentionMs, clock.monotonicMs());
      const revision = await table.compactableRevision(cutoffMs, oldRevision);
      if (revision !== undefined && replica.isLeader && !this.#isStopping) {
        const command = Buffer.alloc(8);
        command.writeBigUInt64LE(BigInt(revision));
        const deadlineMs = clock.monotonicMs() + COMPACTION_MS;
        await replica.propose(CommandKind.Compact, command, { deadlineMs }).catch(ignoreApiError);
      }
    }
    await table.removeHistory();
  }

  // ---- peers

  #observe(header: FrameHeader): boolean {
    const isKnown = this.#admission.observe(header);
    if (isKnown) this.#trustedClock.heard(header.from, header.timeMs, this.clock.monotonicMs());
    return isKnown;
  }

  readonly #peerHandler: PeerHandler = {
    onFrame: (frame) => this.#onFrame(frame),
    onConnected: (peer) => {
      this.#peers.setConnected(peer, true);
      for (const replica of this.#replicas.values()) replica.peerConnected(peer);
      this.#formation.tick();
      this.#admission.connected(peer);
      this.#turns.run();
    },
    onDisconnected: (peer) => {
      this.#peers.setConnected(peer, false);
      this.#formation.peerLost(peer);
      for (const replica of this.#replicas.values()) replica.peerLost(peer);
    },
    onBulk: async (source) => {
      if (this.#isStopping) return { accepted: false, reason: 'the node is stopping' };
      if (!this.#admission.isAdmitted) return { accepted: false, reason: 'the node has only just started' };
      return await this.#snapshots.receive(source);
    },
  };

  #onFrame(frame: Buffer): void {
    if (this.#isStopping) return;
    const received = this.#peers.receive(frame);
    if (received === undefined) return;
    const { reader, isMember, isKnown } = received;
    while (!reader.isAtEnd) {
      const message = this.#peers.next(reader);
      if (message === undefined) return;
      if (message.type === 'hello') this.#formation.onHello(reader.header, message);
      else if (message.type === 'introduce') {
        if (isMember) this.#admission.onIntroduce(reader.header, message);
      } else if (message.type === 'records') {
        if (isMember) this.#admission.onRecords(reader.header.from, message.records);
      } else if (message.type === 'ask') {
        if (isKnown) this.#questions.onAsk(reader.header.from, message);
      } else if (message.type === 'answer') {
        if (isKnown) this.#questions.onAnswer(reader.header.from, message);
      } else if (isKnown && this.#admission.isAdmitted) this.#onMessage(message, reader.header);
    }
    // Greetings are answered outside the turns of any group.
    if (!isMember) this.#peers.flush();
  }

  #onMessage(
    message: Exclude<PeerMessage, { type: 'hello' | 'introduce' | 'records' | 'ask' | 'answer' }>,
    { from, boot }: FrameHeader,
  ): void {
    const replica = this.#spokenTo(message.group);
    // Not made here yet, or dropped: Raft repeats what matters.
    if (replica === undefined) return;
    switch (message.type) {
      case 'raft':
        replica.step(message.message);
        return;
      case 'forward':
        replica.acceptForward(message, { node: from, boot });
        return;
      case 'refused':
        replica.refused(message.term, message.sequences, message.isBusy);
        return;
      case 'quiesce':
        replica.acceptQuiesce(message, from);
        return;
      case 'snapshotWanted':
        if (replica.isLeader) this.#run(this.#trySnapshot(replica, from));
        // Whoever asks may be the leader that this one waits for in a quiet group.
        else replica.wake();
        return;
    }
  }

  /** The replica of a group whose members speak in frames. */
  #spokenTo(group: GroupId): Replica | undefined {
    const replica = this.#replicas.get(group);
    return replica?.speaksFrames ? replica : undefined;
  }

  // ---- what replicas ask for

  /** What hosts the groups whose members speak in frames. */
  #hosting(boot: Buffer): GroupHosting {
    const node = this;
    const { clock, random } = this.#environment;
    const host: ReplicaHost = {
      member: {
        nodeId: this.#options.nodeId,
        boot,
        bootHex: this.#identity.boot,
        numberOf: (id) => (id === NO_NODE ? undefined : id),
      },
      peers: {
        frameTo: (peer) => this.#peers.frameTo(peer),
        isConnected: (peer) => this.#peers.isConnected(peer),
        isAlive: (peer) => this.#isAlive(peer),
      },
      core: { preVote: true, maxInflightMessages: 256 },
      elsewhere: undefined,
      options: this.#options,
      clock,
      random,
      proposalBudget: this.#budget,
      writeStages: this.#writeStages,
      counters: this.#counters,
      get isDiskFull() {
        return node.#diskWatch.isFull;
      },
      fail: (error) => this.#fail(error),
    };
    const observer: ReplicaObserver = {
      leaderChanged: (replica) => this.#leaderChanged(replica),
      applied: (replica, entries) => this.#applied(replica, entries),
      becameWhole: () => this.#tellListeners(),
      sendSnapshot: (replica, to) => this.#run(this.#sendSnapshot(replica, to)),
    };
    return { host, observer };
  }

  async #sendSnapshot(replica: Replica, to: NodeId): Promise<void> {
    const { raft } = replica;
    const isTaken = await this.#trySnapshot(replica, to);
    if (replica.raft === raft && !replica.isClosed) raft.reportSnapshot(to, isTaken);
    this.#turns.schedule(replica);
  }

  async #trySnapshot(replica: Replica, to: NodeId): Promise<boolean> {
    let isTaken = false;
    await this.#tend(replica, async () => {
      isTaken = await this.#snapshots.send(replica, to);
    });
    return isTaken;
  }

  #leaderChanged(replica: Replica): void {
    this.#counters.leaderChanges++;
    const { group, name: table, raft, leaderNumber: leader } = replica;
    const { term, role } = raft;
    this.#environment.log('debug', 'the leader of a group changed', { group, table, term, role, leader });
    this.#tellListeners();
    this.#handover.look();
    if (replica.group === META_SHARD && replica.isLeader) this.#run(this.#tables.lead());
  }

  #applied(replica: Replica, entries: number): void {
    this.#counters.applied += entries;
    void this.#compactLog(replica);
  }

  /** What is archived by now may go, also where nothing is written any more. */
  #tendArchived(backlog: ArchiveBacklog): void {
    const wanted = [...this.#replicas.values()].flatMap((replica) => this.#wantedLog(replica) ?? []);
    backlog.look(wanted);
    for (const { replica } of wanted) {
      if (replica.hasTable && !replica.isSuspended) void this.#compactLog(replica);
    }
  }

  #wantedLog(replica: Replica): WantedLog | undefined {
    const from = this.#tables.unarchivedFrom(replica);
    return from === undefined ? undefined : { replica, from };
  }

  /**
   * Now and again, or with `asked` as soon as anything may go, but nothing above `upTo`. Gives what is under way, if it
   * removes anything; nobody has to wait for it.
   */
  #compactLog(replica: Replica, asked?: { readonly upTo: number }): Promise<void> | undefined {
    const { log, table } = replica;
    const { snapshotEntries, compactionOverheadEntries, logBytesMax } = this.#options;
    const { index: truncatedIndex } = log.truncated;
    // Entries may be large: those of a load, and what a follower cluster packs.
    const isLarge = log.sizeBytes > logBytesMax;
    const isDue = isLarge || asked !== undefined;
    if (!isDue && table.appliedIndex - truncatedIndex - compactionOverheadEntries < snapshotEntries)
      return undefined;
    // Also of a large log a part stays, for those who follow it and are a little behind.
    const kept = Math.floor((table.appliedIndex - truncatedIndex) / 2);
    const behind = isLarge ? Math.min(kept, compactionOverheadEntries) : compactionOverheadEntries;
    const portion = isDue ? 1 : snapshotEntries * COMPACTION_PORTION;
    const wantedFrom = this.#wantedFrom(replica);
    const last = Math.min(
      table.appliedIndex - behind,
      wantedFrom - 1,
      asked?.upTo ?? Number.POSITIVE_INFINITY,
      truncatedIndex + COMPACTION_ENTRIES_MAX,
    );
    if (last - truncatedIndex < portion) return undefined;
    // D4: only what a checkpoint holds may leave the log.
    const index = Math.min(table.checkpointIndex, last);
    if (index - truncatedIndex >= portion) {
      const term = log.term(index);
      if (term === undefined) throw new Error(`the log of group ${replica.group} has no term at ${index}`);
      const compact = { index, term, membership: replica.membership };
      const compacted = this.#turns
        .write([{ group: replica.group, compact }])
        // R3: outcomes are kept as long as the log has their entries.
        .then(() => this.#tend(replica, (tended) => tended.pruneOutcomes(index + 1)));
      this.#run(compacted);
      return compacted;
    }
    // A busy table makes checkpoints by itself, and each costs less for an entry the more there are.
    const isShort = snapshotEntries < LONG_LOG_ENTRIES;
    const worth = isShort
      ? Math.max(portion, snapshotEntries - portion)
      : LONG_LOG_COMPACTIONS * snapshotEntries;
    if (!table.isCheckpointing && table.appliedIndex - table.checkpointIndex >= (isDue ? 1 : worth))
      this.#run(this.#tend(replica, (tended) => tended.checkpoint()));
    return undefined;
  }

  /** The first entry that the archive keeps in the log. */
  #wantedFrom(replica: Replica): number {
    const backlog = this.#archiveBacklog;
    const wanted = backlog && this.#wantedLog(replica);
    return wanted === undefined ? Number.POSITIVE_INFINITY : backlog!.keptFrom(wanted);
  }

  /** Work on a table for which nobody waits. When the table fails meanwhile it is opened again, as after an apply. */
  async #tend(replica: Replica, work: (table: Table) => Promise<void>): Promise<void> {
    if (replica.isClosed || !replica.hasTable) return;
    const { table } = replica;
    try {
      await work(table);
    } catch (error) {
      // A table that was opened in the middle of an entry cannot be read before the log has ended it (A4).
      if (error instanceof TableHalfAppliedError) return;
      if (!(error instanceof TableClosedError || error instanceof StoreDamagedError)) throw error;
      this.#replicas.tableFailed(replica, table, error);
    }
  }

  // ---- trouble

  /** D6: no room. Writes are refused and leadership is given up; reads go on. */
  #suspendAll(): void {
    for (const replica of this.#replicas.values()) replica.giveUp();
    this.#peers.flush();
  }

  /** Of what may wait for a write, which on a full disk waits for ever (D6). Rejects as `work` does in that time. */
  #isDoneWithin(work: Promise<void>, patienceMs: number): Promise<boolean> {
    return new Promise((resolve, reject) => {
      const patience = this.#environment.clock.startTimer(patienceMs, () => resolve(false));
      work.then(
        () => {
          patience.cancel();
          resolve(true);
        },
        (error: unknown) => {
          patience.cancel();
          reject(error);
        },
      );
    });
  }

  /** For work that nobody waits for: an error that it does not handle is a broken invariant. */
  #run(work: Promise<unknown>): void {
    work.catch((error: unknown) => {
      // An ApiError has an addressee, and here it is the node itself, which tries again.
      if (!(error instanceof ApiError)) this.#fail(error);
    });
  }

  #fail(error: unknown): void {
    if (this.#isStopping) return;
    this.#isStopping = true;
    this.#tickTimer?.cancel();
    this.#handover.abandon();
    this.#environment.fatal(error);
  }
}

/** Says in the log when this node's clock is not believed (A7). */
function watchClock(memberCount: number, log: Log): TrustedClock {
  return new TrustedClock({
    memberCount,
    onJump: ({ aheadMs, isCompared }) => {
      const what = isCompared
        ? "the clock of this node is far ahead of the members' clocks: it is not believed. Look at its time synchronisation"
        : 'the clock of this node has jumped ahead: the new time counts once it has lasted a minute. Look at its time synchronisation';
      log('warn', what, { aheadSeconds: seconds(aheadMs) });
    },
    onJumpOver: ({ aheadMs }) => {
      log('info', 'the clock of this node is believed again', { wasAheadSeconds: seconds(aheadMs) });
    },
  });
}

function hasNoLeader(replica: Replica | undefined): boolean {
  return replica === undefined || replica.raft.leader === NO_NODE;
}

function seconds(durationMs: number): number {
  return Math.round(durationMs / 100) / 10;
}

function ignoreApiError(error: unknown): void {
  if (!(error instanceof ApiError)) throw error;
}
