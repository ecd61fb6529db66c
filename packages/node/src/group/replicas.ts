import {
  type HardState,
  type Membership,
  NO_NODE,
  type NodeId,
  type SnapshotMetadata,
  type StorageAppend,
} from '@coxswain/raft';
import {
  isStoreFull,
  PageBudget,
  StoreDamagedError,
  Table,
  TableClosedError,
  TableGapError,
  TableHalfAppliedError,
  UnknownCommandError,
  WriteBudget,
} from '@coxswain/table';
import type { GroupId, GroupLog, GroupWrite, Wal } from '@coxswain/wal';
import type { Environment } from '../api/environment.js';
import { errors } from '../api/errors.js';
import type { NodeOptions } from '../api/options.js';
import { bringBack, DataDirectoryError } from '../cluster/identity.js';
import { nodeEvents } from '../events.js';
import { META_SHARD, WOLF_SHARD } from '../meta/shards.js';
import { Replica } from './replica.js';
import type { ReplicaEvents, ReplicaHost } from './replica-host.js';
import { incomingStoreName, type ReceivedSnapshot } from './snapshots.js';
import type { Turns } from './turns.js';

const REOPEN_DELAY_MS = 1000;
/** The interval at which a replay looks whether it is over, in addition to the looks that applies cause. */
const REPLAY_LOOK_MS = 1000;
/** The limit of the tables that are opened at the same time at start; more would only wait for the same threads. */
const OPENED_AT_ONCE_MAX = 4;

const storeName = (group: GroupId) => `shard-${group}`;

/** Hears what happens in replicas. */
export interface ReplicaObserver {
  /** Called when the replica's group has another leader, or none. */
  leaderChanged(replica: Replica): void;
  /** Called with the number of entries that the replica applied. */
  applied(replica: Replica, entries: number): void;
  /** Called when a replica serves that did not before. */
  becameWhole(): void;
  /** Called when the member `to` of the group needs a snapshot. Nobody waits for it. */
  sendSnapshot(replica: Replica, to: NodeId): void;
}

/** The node as one group's replica sees it, and the observer of that replica. */
export interface GroupHosting {
  readonly host: ReplicaHost;
  readonly observer: ReplicaObserver;
}

/** Opens, makes, drops and rebuilds the replicas of this node, with their state machines. */
export class Replicas {
  readonly #hostingOf: (group: GroupId) => GroupHosting;
  readonly #diskFull: () => void;
  readonly #fail: (error: unknown) => void;
  readonly #options: NodeOptions;
  readonly #environment: Environment;
  readonly #wal: Wal;
  readonly #turns: Turns;
  readonly #pageBudget: PageBudget | undefined;
  readonly #writeBudget: WriteBudget;
  readonly #afterMetaApply: () => Promise<void>;
  readonly #replicas = new Map<GroupId, Replica>();
  /** The replicas that `awake` gave last; undefined when they must be found anew. */
  #awake: readonly Replica[] | undefined;
  /**
   * The snapshots and other changes that are under way, by group: nothing else may happen to the group's log and table
   * meanwhile.
   */
  readonly #installing = new Map<GroupId, Promise<void>>();
  #isClosed = false;
  /** The groups whose tables cannot be opened for lack of room on the disk (D6). */
  readonly #withoutRoom = new Set<GroupId>();

  constructor(options: {
    hostingOf: (group: GroupId) => GroupHosting;
    /** Called when there is no room to write (D6). */
    diskFull: () => void;
    /** Stops the node, because an invariant is broken. */
    fail: (error: unknown) => void;
    options: NodeOptions;
    environment: Environment;
    wal: Wal;
    turns: Turns;
    /** Runs after each apply of the meta group, before anyone learns of it. */
    afterMetaApply: () => Promise<void>;
  }) {
    this.#hostingOf = options.hostingOf;
    this.#diskFull = options.diskFull;
    this.#fail = options.fail;
    this.#options = options.options;
    this.#environment = options.environment;
    this.#wal = options.wal;
    this.#turns = options.turns;
    this.#afterMetaApply = options.afterMetaApply;
    const { pageCacheBytes, writeMemoryBytes } = options.options;
    this.#pageBudget = pageCacheBytes > 0 ? new PageBudget(pageCacheBytes) : undefined;
    this.#writeBudget = new WriteBudget(writeMemoryBytes);
    // Damage is found by whichever read meets it first: a client's, that of a snapshot for a peer, or that of an apply.
    this.#environment.stores.onDamaged = (name, error) => {
      const damaged = [...this.#replicas.values()].find(({ group }) => storeName(group) === name);
      if (damaged?.hasTable) this.#tableFailed(damaged, damaged.table, error);
    };
  }

  get(group: GroupId): Replica | undefined {
    return this.#replicas.get(group);
  }

  values(): IterableIterator<Replica> {
    return this.#replicas.values();
  }

  get size(): number {
    return this.#replicas.size;
  }

  /**
   * Gives the replicas for which a tick may change something, in the order of `values`. Of thousands of tables most are
   * at rest.
   */
  awake(): readonly Replica[] {
    if (this.#awake === undefined || this.#awake.some(({ isAtRest }) => isAtRest)) {
      const awake: Replica[] = [];
      for (const replica of this.#replicas.values()) {
        replica.isPassedOver = replica.isAtRest;
        if (!replica.isPassedOver) awake.push(replica);
      }
      this.#awake = awake;
    }
    return this.#awake;
  }

  /** Notes that something happened in a replica that may have been at rest. */
  #stirred(replica: Replica): void {
    if (replica.isPassedOver) this.#awake = undefined;
  }

  /**
   * Opens every group that the log knows. Throws DataDirectoryError when a missing or damaged part would have to be
   * guessed.
   */
  async openAll(): Promise<void> {
    const names = new Set(await this.#environment.stores.list());
    const logs = [...this.#wal.groups()];
    for (const log of logs) {
      const name = storeName(log.group);
      // T4: with a directory that is gone acknowledged data is gone, since the log may be compacted up to there.
      if (!names.delete(name)) {
        throw new DataDirectoryError(
          `the data directory lacks tables/${name}, which the log knows: ${bringBack('it')}`,
        );
      }
      names.delete(incomingStoreName(log.group));
    }
    // Opening a table mostly waits for the disk, so several wait at once. None is left half open when one fails.
    const rest = logs.values();
    const openRest = async (): Promise<void> => {
      for (const log of rest) await this.#open(log);
    };
    const outcomes = await Promise.allSettled(Array.from({ length: OPENED_AT_ONCE_MAX }, openRest));
    const failed = outcomes.find((outcome) => outcome.status === 'rejected');
    if (failed !== undefined) throw failed.reason;
    if (this.#withoutRoom.size > 0) this.#diskFull();
    // A store that the log does not know was being made or dropped when the node ended.
    for (const name of names) await this.#environment.stores.remove(name);
  }

  /**
   * Applies the entries that this node knew to be committed and that no flush had written, which takes memory alone. On
   * a full disk this cannot wait for the cores, which hand out nothing then, and until it is done no table can be read
   * (D6).
   */
  async replay(): Promise<void> {
    for (const replica of this.#replicas.values()) {
      // The registry's writes go to the disk at once, so it has nothing to replay.
      if (replica.group === META_SHARD) continue;
      const isOver = (): boolean => replica.isWhole || replica.isSuspended || !replica.hasTable;
      if (!isOver()) this.#turns.schedule(replica);
      while (!isOver()) await replica.changes.until(isOver, REPLAY_LOOK_MS);
    }
  }

  /** Makes a new group on this node. Every member makes it in the same way, so their logs agree from the start. */
  async create(
    group: GroupId,
    options: { name: string; base: number; isReplicated: boolean; membership: Membership },
  ): Promise<Replica> {
    const { base, isReplicated, membership } = options;
    // The directory first: a group that the log knows always has one.
    const table = await this.#openTable(group, { base, isReplicated, create: true });
    await this.#turns.write([{ group, reset: { index: base, term: 0, membership } }]);
    return this.#add(this.#log(group), table, options.name);
  }

  /** Drops a group that is gone for good, with its data. */
  async drop(replica: Replica): Promise<void> {
    this.#replicas.delete(replica.group);
    this.#awake = undefined;
    // A reset of a log that was removed would make the group anew.
    await this.#installing.get(replica.group)?.catch(() => undefined);
    await replica.close(errors.tableNotFound);
    await this.#turns.write([{ group: replica.group, remove: true }]);
    await this.#environment.stores.remove(storeName(replica.group));
  }

  /** Closes all replicas and their tables. A clean stop leaves nothing to replay. */
  async close(): Promise<void> {
    this.#isClosed = true;
    for (const replica of this.#replicas.values()) {
      await replica.whenApplied();
      if (replica.hasTable && !replica.isSuspended) await replica.table.checkpoint().catch(() => undefined);
      await replica.close(errors.shuttingDown);
    }
  }

  /** Hands a snapshot that has arrived to its group. Resolves to false when it is no longer needed. */
  async receive(replica: Replica, snapshot: ReceivedSnapshot): Promise<boolean> {
    // The group may have been dropped while the snapshot was on its way.
    if (replica.isStopped || this.#replicas.get(replica.group) !== replica) return false;
    if (!replica.hasTable) return await this.#rebuild(replica, snapshot);
    const { from, term, metadata } = snapshot;
    const to = replica.raft.id;
    replica.step({ type: 'installSnapshot', from, to, term, snapshot: metadata });
    // The core decides in this turn: it asks for the installation, or it is past that index already.
    this.#turns.run();
    const installing = this.#installing.get(replica.group);
    if (installing === undefined) return false;
    await installing;
    return true;
  }

  /**
   * Installs a snapshot that the core has accepted (D7): puts the state in place, then resets the log, then
   * acknowledges.
   */
  #install(replica: Replica, snapshot: SnapshotMetadata, write: GroupWrite, append: StorageAppend): void {
    const { raft } = replica;
    const run = async () => {
      const table = await this.#replaceTable(replica);
      if (table.appliedIndex !== snapshot.index) {
        throw new Error(
          `snapshot of group ${replica.group} is at ${table.appliedIndex}, not ${snapshot.index}`,
        );
      }
      await this.#turns.write([write]);
      if (this.#turns.isRefused(raft)) {
        // An append from before the snapshot found the disk full (D6): the core begins anew with the snapshot in place.
        replica.proposals.coveredBySnapshot(snapshot.term);
        await replica.restart(table);
      } else {
        await replica.snapshotInstalled(table, append, snapshot);
      }
    };
    const installing = run().finally(() => this.#installing.delete(replica.group));
    installing.catch((error: unknown) => this.#fail(error));
    this.#installing.set(replica.group, installing);
  }

  /**
   * Replaces a damaged state machine by a peer's (D4). The log is whole, and what it acknowledged stays: it is reset
   * only if the snapshot proves that it lags or holds entries of a deposed leader.
   */
  async #rebuild(replica: Replica, { metadata }: ReceivedSnapshot): Promise<boolean> {
    if (metadata.index < replica.log.truncated.index) return false;
    const rebuilding = this.#rebuildTo(replica, metadata).finally(() =>
      this.#installing.delete(replica.group),
    );
    this.#installing.set(replica.group, rebuilding);
    await rebuilding;
    return true;
  }

  async #rebuildTo(replica: Replica, metadata: SnapshotMetadata): Promise<void> {
    const { log } = replica;
    replica.suspend();
    await this.#turns.settled();
    const table = await this.#replaceTable(replica);
    if (log.term(metadata.index) !== metadata.term) {
      await this.#resetLog(log, metadata);
    }
    replica.proposals.coveredBySnapshot(metadata.term);
    await replica.restart(table);
  }

  async #replaceTable(replica: Replica): Promise<Table> {
    await replica.whenApplied();
    await replica.detachTable('a snapshot is being installed')?.close();
    const { stores } = this.#environment;
    await stores.rename(incomingStoreName(replica.group), storeName(replica.group));
    const table = await this.#openTable(replica.group, { base: 0, create: false });
    if (table === undefined) throw new Error(`the snapshot of group ${replica.group} cannot be opened`);
    return table;
  }

  /** Handles a table that closed itself because a write failed: it is opened again and replays the log (D4). */
  #tableFailed(replica: Replica, table: Table, error: unknown): void {
    // Several users of the table report the same failure, or it was taken away in order.
    if (this.#isClosed || replica.isClosed || !replica.hasTable || replica.table !== table) return;
    const { log } = this.#environment;
    const { group, name } = replica;
    const cause = error instanceof TableClosedError && error.cause !== undefined ? error.cause : error;
    if (cause instanceof UnknownCommandError) {
      // A8: the table waits for an upgrade; the rest of the node goes on.
      log(nodeEvents.tableStopped, { group, table: name, reason: cause.message });
      replica.stop(cause.message);
      table.close().catch((closing: unknown) => this.#fail(closing));
      return;
    }
    if (isStoreFull(cause)) {
      // D6: the table stays as it is, for reads, until there is room to open it again.
      replica.suspend();
      this.#diskFull();
      return;
    }
    if (cause instanceof StoreDamagedError) {
      this.#fence(replica, cause).catch((failure: unknown) => this.#fail(failure));
      return;
    }
    log(nodeEvents.tableFailed, { group, table: name, reason: describe(error) });
    void this.#reopen(replica);
  }

  /**
   * Fences a table whose files do not hold what was written to them (D4): nothing in it is believed until a peer's is
   * in its place.
   */
  async #fence(replica: Replica, damage: StoreDamagedError): Promise<void> {
    const { group, name } = replica;
    if (hasNoCopy(replica.log)) throw noCopy(group, damage.message);
    this.#environment.log(nodeEvents.tableDamaged, {
      group,
      table: name,
      reason: damage.message,
    });
    replica.suspend();
    await replica.detachTable('its files are damaged')?.close();
    await replica.whenApplied();
    await this.#turns.settled();
    if (this.#isClosed || replica.isClosed) return;
    await replica.restart(undefined);
    if (!replica.speaksFrames) await this.#beginAnew(replica);
  }

  /**
   * Makes a damaged table anew where members do not speak in frames, so that nobody can be asked for a snapshot. If the
   * log has every entry, the table is made from it; otherwise the replica begins with nothing, as a learner, and its
   * leader brings what it lacks. Its term and vote stay, so it votes for nobody twice (D1).
   */
  async #beginAnew(replica: Replica): Promise<void> {
    const { group, log } = replica;
    replica.suspend();
    // The log first: after a crash in between, the table is found damaged again.
    if (log.firstIndex() > 1) {
      const { term, vote } = log.hardState;
      const membership = withLearner(log.membership, replica.raft.id);
      await this.#turns.write([
        { group, reset: { index: 0, term: 0, membership }, hardState: { term, vote, commit: 0 } },
      ]);
    }
    const { stores } = this.#environment;
    const incoming = incomingStoreName(group);
    await stores.remove(incoming);
    const { storeWriteBufferBytes } = this.#options;
    const empty = await Table.open({
      directory: stores,
      name: incoming,
      create: true,
      initialIndex: 0,
      isReplicated: false,
      writeBufferSizeBytes: storeWriteBufferBytes,
    });
    await empty.close();
    await stores.rename(incoming, storeName(group));
    await replica.restart(await this.#openTable(group, { base: 0, create: false }));
  }

  /**
   * Changes a group's members, or which of them vote, on this node's own authority, and starts the core anew, in a
   * later term if `hardState` has one. Does nothing while the replica is suspended, has no table or is being changed
   * otherwise.
   */
  async changeMembership(replica: Replica, membership: Membership, hardState?: HardState): Promise<void> {
    if (this.#installing.has(replica.group) || replica.isSuspended || !replica.hasTable) return;
    const change = async (): Promise<void> => {
      const { table } = replica;
      replica.suspend();
      await this.#turns.settled();
      await replica.whenApplied();
      const { index, term } = replica.log.truncated;
      const { group } = replica;
      await this.#turns.write([
        { group, compact: { index, term, membership }, ...(hardState && { hardState }) },
      ]);
      if (!this.#isClosed && !replica.isClosed) await replica.restart(table);
    };
    const changing = change().finally(() => this.#installing.delete(replica.group));
    this.#installing.set(replica.group, changing);
    await changing;
  }

  /** Does background work on a table. A table that fails meanwhile is opened again, as after an apply. */
  async tend(replica: Replica, work: (table: Table) => Promise<void>): Promise<void> {
    if (replica.isClosed || !replica.hasTable) return;
    const { table } = replica;
    try {
      await work(table);
    } catch (error) {
      // A table that was opened in the middle of an entry cannot be read before the log has applied the rest of it
      // (A4).
      if (error instanceof TableHalfAppliedError) return;
      if (!(error instanceof TableClosedError || error instanceof StoreDamagedError)) throw error;
      this.#tableFailed(replica, table, error);
    }
  }

  async #reopen(replica: Replica): Promise<void> {
    replica.suspend();
    await replica.detachTable('a write to its store failed')?.close();
    await this.#turns.settled();
    if (this.#isClosed || replica.isClosed) return;
    try {
      const table = await this.#openTable(replica.group, { base: 0, create: false });
      this.#withoutRoom.delete(replica.group);
      await replica.restart(table);
    } catch (error) {
      if (isStoreFull(error)) {
        this.#withoutRoom.add(replica.group);
        this.#diskFull();
        return;
      }
      if (error instanceof DataDirectoryError) {
        this.#fail(error);
        return;
      }
      const { log, clock } = this.#environment;
      const { group, name } = replica;
      log(nodeEvents.tableUnopened, { group, table: name, reason: describe(error) });
      clock.startTimer(REOPEN_DELAY_MS, () => void this.#reopen(replica));
    }
  }

  /** Starts every core anew from the log, since there is room on the disk again (D6). */
  async restartAll(): Promise<void> {
    for (const replica of this.#replicas.values()) {
      if (this.#installing.has(replica.group) || replica.isStopped) continue;
      await replica.whenApplied();
      const table = replica.hasTable ? replica.table : undefined;
      if (table?.hasFailed || this.#withoutRoom.has(replica.group)) await this.#reopen(replica);
      else await replica.restart(table);
    }
  }

  async #open(log: GroupLog): Promise<void> {
    const name = this.#unregisteredName(log.group);
    let table: Table | undefined;
    try {
      table = await this.#openTable(log.group, { base: log.truncated.index, create: false });
    } catch (error) {
      if (!isStoreFull(error)) throw error;
      // D6: LevelDB writes when it opens. The node starts without this table, and opens it when there is room.
      this.#environment.log(nodeEvents.tableWithoutRoom, {
        group: log.group,
        table: name,
        reason: describe(error),
      });
      this.#withoutRoom.add(log.group);
      const replica = this.#add(this.#log(log.group), undefined, name);
      replica.detachTable('there is no room on the disk to open its files');
      replica.suspend();
      return;
    }
    if (table !== undefined) await this.#agree(log, table);
    const replica = this.#add(this.#log(log.group), table, name);
    if (table === undefined && !replica.speaksFrames) await this.#beginAnew(replica);
  }

  /** Gives the name of a group that is not in the registry; undefined for one that is. */
  #unregisteredName(group: GroupId): string | undefined {
    if (group === META_SHARD) return 'meta';
    return group === WOLF_SHARD ? this.#options.wolf?.table : undefined;
  }

  /**
   * Makes the log agree with the table: after a crash between the two steps of an installation the table's place wins
   * over an older log (D7).
   */
  async #agree(log: GroupLog, table: Table): Promise<void> {
    const { appliedIndex: index, appliedTerm: term } = table;
    if (index < log.truncated.index) {
      throw new DataDirectoryError(
        `tables/${storeName(log.group)} is at ${index}, but its log begins behind ${log.truncated.index}: ${bringBack('the directory')}`,
      );
    }
    if (log.term(index) === term) return;
    await this.#resetLog(log, { index, term, membership: log.membership });
  }

  /**
   * Starts the log after a state that came from elsewhere, perhaps of a later term than this node knows. The node has
   * not voted in that term: a vote counts only when the term is durable (D1).
   */
  #resetLog(log: GroupLog, to: SnapshotMetadata): Promise<void> {
    const { group, hardState } = log;
    const isBehind = hardState.term < to.term;
    return this.#turns.write([
      {
        group,
        reset: to,
        ...(isBehind && { hardState: { term: to.term, vote: NO_NODE, commit: to.index } }),
      },
    ]);
  }

  /**
   * Opens a table. Resolves to undefined when its store lost writes or is damaged (D4), and the table can be rebuilt
   * from peers.
   */
  async #openTable(
    group: GroupId,
    { base, create, isReplicated = false }: { base: number; create: boolean; isReplicated?: boolean },
  ): Promise<Table | undefined> {
    const { stores, log } = this.#environment;
    const { entryEffects, keyBlockKeys, storeWriteBufferBytes } = this.#options;
    try {
      return await Table.open({
        directory: stores,
        name: storeName(group),
        create,
        initialIndex: base,
        isReplicated,
        // The registry decides what a node does at its start, so each change of it goes to the disk at once.
        writeBufferSizeBytes: group === META_SHARD ? 0 : storeWriteBufferBytes,
        keyBlockKeys,
        writeBudget: this.#writeBudget,
        ...(this.#pageBudget && { pageBudget: this.#pageBudget }),
        ...(entryEffects && {
          effectsSizeBytesMax: entryEffects.sizeBytesMax,
          effectsOperationsMax: entryEffects.operationsMax,
        }),
      });
    } catch (error) {
      if (!(error instanceof TableGapError || error instanceof StoreDamagedError)) throw error;
      const known = this.#wal.group(group);
      if (known !== undefined && hasNoCopy(known)) throw noCopy(group, error.message);
      log(nodeEvents.tableDamaged, {
        group,
        reason: error.message,
      });
      return undefined;
    }
  }

  #log(group: GroupId): GroupLog {
    const log = this.#wal.group(group);
    if (log === undefined) throw new Error(`the log does not know group ${group}`);
    return log;
  }

  #add(log: GroupLog, table: Table | undefined, name: string | undefined): Replica {
    const afterApply = log.group === META_SHARD ? this.#afterMetaApply : undefined;
    const { group } = log;
    const { host, observer } = this.#hostingOf(group);
    const events: ReplicaEvents = {
      schedule: () => {
        this.#stirred(replica);
        this.#turns.schedule(replica);
      },
      leaderChanged: () => observer.leaderChanged(replica),
      applied: (entries) => observer.applied(replica, entries),
      becameWhole: () => observer.becameWhole(),
      tableFailed: (failed, error) => this.#tableFailed(replica, failed, error),
      sendSnapshot: (to) => observer.sendSnapshot(replica, to),
      installSnapshot: (snapshot, write, append) => this.#install(replica, snapshot, write, append),
    };
    const replica: Replica = new Replica(host, { group, name, log, table, afterApply, events });
    this.#replicas.set(log.group, replica);
    this.#awake = undefined;
    return replica;
  }
}

/** Gives a membership with the same members, in which `id` does not vote. */
export function withLearner({ voters, learners }: Membership, id: NodeId): Membership {
  return {
    voters: voters.filter((voter) => voter !== id),
    learners: [...new Set([...learners, id])].sort((a, b) => a - b),
  };
}

function hasNoCopy(log: GroupLog): boolean {
  const { voters, learners } = log.membership;
  return voters.length + learners.length === 1;
}

/** Makes the error of a cluster of one, which cannot rebuild a damaged table and serves nothing of it (D4). */
function noCopy(group: GroupId, reason: string): DataDirectoryError {
  return new DataDirectoryError(
    `tables/${storeName(group)} is damaged or has lost writes and this cluster has no other copy: give the node an empty data directory and bring its tables back with "coxswain restore" from a backup (${reason})`,
  );
}

function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause === undefined ? error.message : `${error.message}: ${describe(error.cause)}`;
}
