import { NO_NODE, type NodeId } from '@coxswain/raft';
import { type Clock, Histogram, type Log, type Timer } from '@coxswain/runtime';
import { type GroupId, Wal } from '@coxswain/wal';
import type { ClusterApi } from './api/cluster-api.js';
import type { Environment } from './api/environment.js';
import { ApiError } from './api/errors.js';
import type { FollowerControl } from './api/follower-control.js';
import type { KvApi } from './api/kv-api.js';
import type { LogsApi } from './api/logs-api.js';
import type { MaintenanceControl } from './api/maintenance-control.js';
import type { MemberControl } from './api/member-control.js';
import type { NodeParts } from './api/node-parts.js';
import type { NodeOptions } from './api/options.js';
import type { ReportsApi } from './api/reports-api.js';
import type { TablesApi } from './api/tables-api.js';
import { Admission } from './cluster/admission.js';
import { ChangeLog } from './cluster/change-log.js';
import { Formation } from './cluster/formation.js';
import type { FrameHeader, StartRecord } from './cluster/frame.js';
import { bringBack, DataDirectoryError, Identity } from './cluster/identity.js';
import { Liveness } from './cluster/liveness.js';
import { MemberQuestions } from './cluster/member-questions.js';
import { PeerInput } from './cluster/peer-input.js';
import { Peers } from './cluster/peers.js';
import { TrustedClock } from './cluster/trusted-clock.js';
import { DiskWatch } from './disk/disk-watch.js';
import { nodeEvents } from './events.js';
import { ArchiveBacklog } from './group/archive-backlog.js';
import { Budget } from './group/budget.js';
import { Handover } from './group/handover.js';
import { HistoryCompaction } from './group/history-compaction.js';
import { LogCompaction } from './group/log-compaction.js';
import type { Replica } from './group/replica.js';
import type { ReplicaHost } from './group/replica-host.js';
import { type GroupHosting, type ReplicaObserver, Replicas } from './group/replicas.js';
import { Snapshots } from './group/snapshots.js';
import { Turns } from './group/turns.js';
import { WriteStages } from './group/write-stages.js';
import { Meta } from './meta/meta.js';
import { META_SHARD, WOLF_SHARD } from './meta/shards.js';
import { ChangeListeners } from './requests/change-listeners.js';
import { ClusterRequests } from './requests/cluster-requests.js';
import { FollowerRequests } from './requests/follower-requests.js';
import { KvRequests } from './requests/kv-requests.js';
import { LogRequests } from './requests/log-requests.js';
import { MaintenanceRequests } from './requests/maintenance-requests.js';
import { MemberRequests } from './requests/member-requests.js';
import { type NodeCounters, NodeReports } from './requests/node-reports.js';
import { ShardRequests } from './requests/shard-requests.js';
import { TableRequests } from './requests/table-requests.js';
import { WriteGate } from './requests/write-gate.js';
import { Wolf } from './wolf/wolf.js';

/** The interval at which requests that may be lost are repeated, in ticks. */
const HOUSEKEEPING_TICKS = 10;
const SYNC_SECONDS_BOUNDS = [
  0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5,
];
/**
 * The longest time for which a node that stops hands over its groups, in election timeouts: one for each voter that
 * it may ask in vain.
 */
const HANDOVER_ELECTION_TIMEOUTS = 3;
/** The longest time for which a node that stops waits for writes to its log. */
const STOP_PATIENCE_MS = 2000;

/**
 * The replica host: many Raft groups over one write-ahead log and one peer transport, with the tables that they hold.
 * `open` reads the disk, `start` joins the cluster, `stop` leaves it in order. Requests go to the objects that a node
 * hands out: `kv`, `tables` and so on.
 */
export class Node implements NodeParts {
  readonly kv: KvApi;
  readonly tables: TablesApi;
  readonly cluster: ClusterApi;
  readonly logs: LogsApi;
  readonly follower: FollowerControl;
  readonly maintenance: MaintenanceControl;
  readonly members: MemberControl;
  readonly reports: ReportsApi;
  /** Answers the calls of wolf.raft, whether this node is a member of such a group or not. */
  readonly wolf: Wolf;
  readonly #options: NodeOptions;
  /** The environment with a clock whose wall time is as much of the system's as this node believes (A7). */
  readonly #environment: Environment;
  readonly #trustedClock: TrustedClock;
  readonly #identity: Identity;
  readonly #wal: Wal;
  readonly #writeStages = new WriteStages();
  readonly #peers: Peers;
  readonly #admission: Admission;
  readonly #turns: Turns;
  readonly #replicas: Replicas;
  readonly #meta: Meta;
  readonly #snapshots: Snapshots;
  readonly #formation: Formation;
  readonly #handover: Handover;
  readonly #budget: Budget;
  readonly #liveness: Liveness;
  readonly #peerInput: PeerInput;
  readonly #logCompaction: LogCompaction;
  readonly #historyCompaction: HistoryCompaction;
  readonly #diskWatch: DiskWatch;
  #isStopping = false;
  #stopped: Promise<void> | undefined;
  #opened: Promise<void> | undefined;
  #tickTimer: Timer | undefined;
  #ticks = 0;
  readonly #changeLog: ChangeLog;
  readonly #listeners: ChangeListeners;
  readonly #counters: NodeCounters = {
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
    this.#changeLog = changeLog;
    this.#trustedClock = watchClock(options.initialMembers.size, given.log);
    const wallMs = (): number => given.clock.nowMs();
    const isStopping = (): boolean => this.#isStopping;
    const run = (work: Promise<unknown>): void => this.#run(work);
    const clock = this.#trustedClock.believed(given.clock);
    const environment = { ...given, clock };
    // The system's present time is believed until members are heard.
    clock.nowMs();
    this.#environment = environment;
    this.#identity = identity;
    this.#wal = wal;
    const { random, transport, stores, log } = environment;
    this.#budget = new Budget({
      countMax: options.proposalsPendingMax,
      bytesMax: options.proposalsPendingBytesMax,
    });
    this.#listeners = new ChangeListeners(clock, isStopping);
    const memberIds = [...options.initialMembers.keys()];
    this.#peers = new Peers({
      identity,
      transport,
      ids: memberIds.filter((id) => id !== options.nodeId),
      log,
      metaApplied: () => this.#meta.directory.metaApplied,
      position: () => wal.durablePosition,
      wallMs,
      isAdmitted: () => this.#admission.isAdmitted,
      observe: (header) => this.#observe(header),
      nowMs: () => clock.monotonicMs(),
    });
    this.#liveness = new Liveness(this.#peers, options);
    const questions = new MemberQuestions(this.#peers, clock);
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
      run,
    });
    this.#diskWatch = new DiskWatch({
      environment,
      options,
      wal,
      onFull: () => this.#suspendAll(),
      onRoom: () => this.#replicas.restartAll(),
      settled: (withinMs) => this.#isDoneWithin(this.#turns.settled(), withinMs),
      isStopping,
      run,
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
      tend: (replica, work) => this.#replicas.tend(replica, work),
      run,
    });
    this.#replicas = new Replicas({
      hostingOf: (group) => (group === WOLF_SHARD ? this.wolf.hosting : hosting),
      diskFull: () => this.#diskWatch.enter(),
      fail: (error) => this.#fail(error),
      options,
      environment,
      wal,
      turns: this.#turns,
      afterMetaApply: () => this.#meta.directory.follow(),
    });
    const gate = new WriteGate({
      isStopping,
      isDiskFull: () => this.#diskWatch.isFull,
      isArchiveBehind: () => archiveBacklog?.refusesWrites ?? false,
      checkClone: () => this.#meta.clone.checkWrite(),
    });
    const archiveBacklog = options.archive && new ArchiveBacklog(options.archive);
    this.#meta = new Meta({
      options,
      environment,
      identity,
      replicas: this.#replicas,
      propose: (replica, kind, command, deadlineMs, cursor) =>
        shards.propose(replica, kind, command, { deadlineMs }, cursor),
      peers: this.#peers,
      liveness: this.#liveness,
      isStopping,
      run,
      onRefused: (error) => this.#fail(error),
      onChanged: () => this.#listeners.notify(),
    });
    const shards = new ShardRequests(this.#meta, gate, this.#counters);
    this.#snapshots = new Snapshots({
      transport,
      stores,
      random,
      log,
      header: () => this.#peers.header(),
      checkMember: (sender) =>
        this.#peers.checkMember(sender) ?? this.#admission.checkBoot(sender.from, sender.boot),
      replica: (group) => this.#peerInput.spokenTo(group),
      received: (replica, snapshot) => this.#replicas.receive(replica, snapshot),
    });
    this.#formation = new Formation({
      identity,
      peers: this.#peers,
      memberIds,
      random,
      log,
      onJoined: () => this.#run(this.#meta.enterCluster()),
      onRefused: (error) => this.#fail(error),
    });
    this.#handover = new Handover({
      replicas: this.#replicas,
      isAlive: (peer) => this.#liveness.isAlive(peer),
      log,
      patienceTicks: options.electionTicks * HANDOVER_ELECTION_TIMEOUTS,
    });
    this.#peerInput = new PeerInput({
      peers: this.#peers,
      formation: this.#formation,
      admission: this.#admission,
      questions,
      replicas: this.#replicas,
      snapshots: this.#snapshots,
      turns: this.#turns,
      isStopping,
      sendSnapshot: (replica, to) => run(this.#trySnapshot(replica, to)),
    });
    this.#logCompaction = new LogCompaction({
      options,
      replicas: this.#replicas,
      turns: this.#turns,
      archiveBacklog,
      unarchivedFrom: (replica) => this.#meta.directory.unarchivedFrom(replica),
      run,
    });
    this.#historyCompaction = new HistoryCompaction({
      options,
      clock,
      replicas: this.#replicas,
      isDiskFull: () => this.#diskWatch.isFull,
      isStopping,
      run,
    });

    const members = new MemberRequests(options.nodeId, this.#meta, gate);
    this.members = members;
    this.kv = new KvRequests({
      clock,
      meta: this.#meta,
      shards,
      gate,
      admission: this.#admission,
      counters: this.#counters,
      isClosing: () => members.isClosing,
      checkWolfSize: (command) => this.wolf.checkSize(command),
    });
    this.tables = new TableRequests(this.#meta, gate);
    this.cluster = new ClusterRequests({
      nodeId: options.nodeId,
      identity,
      meta: this.#meta,
      replicas: this.#replicas,
      questions,
      listeners: this.#listeners,
    });
    this.logs = new LogRequests(this.#meta, shards, gate, clock);
    this.follower = new FollowerRequests(this.#meta, this.#replicas, shards, gate);
    this.maintenance = new MaintenanceRequests(this.#meta, gate, this.#logCompaction, archiveBacklog);
    this.reports = new NodeReports({
      clock,
      wallMs,
      trustedClock: this.#trustedClock,
      identity,
      nodeId: options.nodeId,
      wal,
      syncSeconds,
      writeStages: this.#writeStages,
      budget: this.#budget,
      counters: this.#counters,
      peers: this.#peers,
      liveness: this.#liveness,
      replicas: this.#replicas,
      meta: this.#meta,
      snapshots: this.#snapshots,
      diskWatch: this.#diskWatch,
      wolf: this.wolf,
      isStopping,
    });
  }

  /**
   * Reads the data directory, and counts this start in it. Throws DataDirectoryError, or an error of the log, when
   * the content could only be guessed at; nothing was changed then.
   */
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

  /** Opens the tables that the log knows. `start` calls it if nobody has called it before. */
  openTables(): Promise<void> {
    this.#opened ??= this.#openTables();
    return this.#opened;
  }

  async #openTables(): Promise<void> {
    await this.#replicas.openAll();
    await this.wolf.open();
    // On a full disk nothing is written from here on, and the room that was released to open the tables is held again
    // (D6).
    await this.#diskWatch.check(() => this.#replicas.replay());
    await this.#diskWatch.holdWhatIsLeft();
  }

  /**
   * Listens for peers, and joins this node's cluster or waits for one to form. Resolves when peers can reach the
   * node.
   */
  async start(): Promise<void> {
    const { initialMembers, nodeId } = this.#options;
    await this.openTables();
    const peers = new Map([...initialMembers].filter(([id]) => id !== nodeId));
    await this.#environment.transport.start(peers, this.#peerInput.handler);
    // Before anything is written: on a full disk a write waits, and only ticks look for room again (D6).
    this.#scheduleTick();
    if (this.#identity.phase === 'new') this.#formation.tick();
    else {
      this.#admission.tick();
      await this.#meta.enterCluster();
      // The only member of a group has no leader to miss, so it campaigns at once.
      for (const replica of this.#replicas.values()) {
        if (replica.membership.voters.length === 1) replica.campaign(0);
      }
    }
    this.#peers.flush();
  }

  /**
   * Hands over the groups that this node leads, ends requests, leaves the disk so that nothing has to be replayed,
   * and disconnects.
   */
  stop(): Promise<void> {
    this.#stopped ??= this.#leave();
    return this.#stopped;
  }

  /**
   * Begins to hand a group over to `target`, a voter that follows in step or soon will; the attempt is given up after
   * an election timeout. Returns false, and does nothing, when this node does not lead the group or `target` is no
   * other voter of it.
   */
  transferLeadership(group: GroupId, target: NodeId): boolean {
    return this.#replicas.get(group)?.transferLeadership(target) ?? false;
  }

  async #leave(): Promise<void> {
    if (this.#isStopping) return;
    await this.#handover.run();
    // The node may have failed meanwhile.
    if (this.#isStopping) return;
    this.#isStopping = true;
    this.#tickTimer?.cancel();
    this.#meta.stopping();
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

  /**
   * The clock of this node. Its wall time is never far ahead of the members' clocks, even if the system's is (A7).
   */
  get clock(): Clock {
    return this.#environment.clock;
  }

  /** Shows this node's inner state to checks of invariants. Nothing is copied, and nothing may be changed. */
  inspect(): {
    readonly groups: Iterable<Replica>;
    readonly isMetaFresh: boolean;
    /** Whether the members keep this start, so that the node may vote, acknowledge and serve (T4). */
    readonly isAdmitted: boolean;
    readonly startNumber: number;
    /** The position up to which the node's write-ahead log is durable. */
    readonly position: number;
    /** Whether the node's clock is compared with those of the members (A7). */
    readonly isClockCompared: boolean;
  } {
    return {
      groups: this.#replicas.values(),
      isMetaFresh: this.#meta.isFresh,
      isAdmitted: this.#admission.isAdmitted,
      startNumber: this.#identity.startNumber,
      position: this.#wal.durablePosition,
      isClockCompared: this.#trustedClock.isCompared,
    };
  }

  // ---- time

  /**
   * The interval between signs of life, in ticks: five per election timeout, so that a lost one does not make a peer
   * look dead.
   */
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
    // A write without entries is not refused: it waits in the log for room, which nothing else would look for (D6).
    if (this.#wal.isFull) this.#diskWatch.enter();
    this.#formation.tick();
    this.#admission.tick();
    this.#liveness.wakeForSilent(this.#replicas);
    const nowMs = this.clock.monotonicMs();
    // Reads the clock for the sake of its warning: a jump may come and go between two writes.
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
      this.#run(this.#meta.tend());
      this.#logCompaction.tendArchived();
      this.#run(this.#diskWatch.check());
    }
    this.#historyCompaction.tick(nowMs);
  }

  #logChanges(): void {
    const peers = new Map([...this.#peers.ids].map((id) => [id, this.#liveness.isAlive(id)]));
    this.#changeLog.look({ peers, tables: this.#meta.directory.watched() });
  }

  // ---- peers

  #observe(header: FrameHeader): boolean {
    const isKnown = this.#admission.observe(header);
    if (isKnown) this.#trustedClock.heard(header.from, header.timeMs, this.clock.monotonicMs());
    return isKnown;
  }

  // ---- hosting of replicas

  /** Makes the hosting of the groups whose members speak in frames. */
  #hosting(boot: Buffer): GroupHosting {
    const node = this;
    const { clock, random, tracer } = this.#environment;
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
        isAlive: (peer) => this.#liveness.isAlive(peer),
      },
      core: { preVote: true, maxInflightMessages: 256 },
      elsewhere: undefined,
      options: this.#options,
      clock,
      random,
      proposalBudget: this.#budget,
      writeStages: this.#writeStages,
      tracer,
      counters: this.#counters,
      get isDiskFull() {
        return node.#diskWatch.isFull;
      },
      fail: (error) => this.#fail(error),
    };
    const observer: ReplicaObserver = {
      leaderChanged: (replica) => this.#leaderChanged(replica),
      applied: (replica, entries) => this.#applied(replica, entries),
      becameWhole: () => this.#listeners.notify(),
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
    await this.#replicas.tend(replica, async () => {
      isTaken = await this.#snapshots.send(replica, to);
    });
    return isTaken;
  }

  #leaderChanged(replica: Replica): void {
    this.#counters.leaderChanges++;
    const { group, name: table, raft, leaderNumber: leader } = replica;
    const { term, role } = raft;
    this.#environment.log(nodeEvents.groupLeaderChanged, { group, table, term, role, leader });
    this.#listeners.notify();
    this.#handover.look();
    if (replica.group === META_SHARD && replica.isLeader) this.#run(this.#meta.lead());
  }

  #applied(replica: Replica, entries: number): void {
    this.#counters.applied += entries;
    void this.#logCompaction.compact(replica);
  }

  // ---- trouble

  /** There is no room (D6): writes are refused and leadership is given up, but reads go on. */
  #suspendAll(): void {
    for (const replica of this.#replicas.values()) replica.giveUp();
    this.#peers.flush();
  }

  /**
   * Waits for work that may wait for a write, which on a full disk waits for ever (D6). Resolves to false after
   * `patienceMs`, and rejects if `work` rejects before.
   */
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

  /** Runs background work. An error that it does not handle stops the node. */
  #run(work: Promise<unknown>): void {
    work.catch((error: unknown) => {
      // An ApiError is meant for a caller. Here the caller is the node itself, which tries again.
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

/** Makes the trusted clock, and logs when this node's clock is not believed and when it is again (A7). */
function watchClock(memberCount: number, log: Log): TrustedClock {
  return new TrustedClock({
    memberCount,
    onJump: ({ aheadMs, isCompared }) => {
      log(isCompared ? nodeEvents.clockAhead : nodeEvents.clockJumped, { aheadSeconds: seconds(aheadMs) });
    },
    onJumpOver: ({ aheadMs }) => {
      log(nodeEvents.clockBelieved, { wasAheadSeconds: seconds(aheadMs) });
    },
  });
}

function seconds(durationMs: number): number {
  return Math.round(durationMs / 100) / 10;
}
