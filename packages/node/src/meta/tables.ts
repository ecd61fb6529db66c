import { strict as assert } from 'node:assert/strict';
import { mvcc } from '@coxswain/protocol';
import { type Membership, NO_NODE, type NodeId } from '@coxswain/raft';
import { Waiters } from '@coxswain/runtime';
import { type ApplyResult, CommandKind } from '@coxswain/table';
import type { GroupId } from '@coxswain/wal';
import type { Call } from '../api/call.js';
import type { ClusterRole } from '../api/cluster-api.js';
import type { Environment } from '../api/environment.js';
import { ApiError, errors, Status } from '../api/errors.js';
import type { MemberState, StateChange } from '../api/member-control.js';
import type { NodeOptions } from '../api/options.js';
import type { MemberInfo, QuarantinedTable } from '../api/reports-api.js';
import type { TableInfo } from '../api/tables-api.js';
import type { WatchedTable } from '../cluster/change-log.js';
import { DataDirectoryError, type Identity } from '../cluster/identity.js';
import type { Replica } from '../group/replica.js';
import type { Replicas } from '../group/replicas.js';
import { ClusterClone } from './cluster-clone.js';
import {
  compareNames,
  type Loader,
  type LoadingShard,
  META_SHARD,
  type RegisteredTable,
  Registry,
  type ReplicationHold,
  type Switching,
  WOLF_SHARD,
} from './registry.js';
import { ShardLoad } from './shard-load.js';
import { tableApiError } from './table-errors.js';
import { isTableName } from './table-name.js';

/** What the node proposes for itself is tried for this long, and again later. */
const OWN_PROPOSAL_MS = 5000;
/** A load into which nothing came for so long is given up: a call for a snapshot is given one hour. */
const LOAD_SILENCE_MS = 60 * 60 * 1000;
/** As that, of a loader that is out of reach. One that comes back then finds its load replaced. */
const LOADER_GONE_MS = 60 * 1000;
/** How long the node waits before it tries again what it wants for itself, in ticks. */
const RETRY_TICKS = 10;

export interface TablesOptions {
  readonly options: NodeOptions;
  readonly environment: Environment;
  readonly identity: Identity;
  readonly replicas: Replicas;
  readonly propose: (
    replica: Replica,
    kind: CommandKind,
    command: Buffer,
    deadlineMs: number,
    cursor?: number,
  ) => Promise<ApplyResult>;
  /** The replica of the table that the node hosts outside of the registry, over wolf.raft. */
  readonly wolf: () => Replica | undefined;
  /** Makes the replica's table durable (D4). */
  readonly checkpoint: (replica: Replica) => Promise<void>;
  /** Hex: no other boot of this node has it. */
  readonly boot: string;
  /** Connected, and heard lately. */
  readonly isAlive: (peer: NodeId) => boolean;
  /** The lowest applied index of the meta group that any member is known to have. */
  readonly lowestMetaApplied: () => number;
  /** Every other member has applied the meta group so far, or has heard of nobody for so long that it takes none for its leader. */
  readonly isMetaAppliedByAll: (index: number) => boolean;
  readonly isStopping: () => boolean;
  /** Runs work that nobody waits for. */
  readonly run: (work: Promise<unknown>) => void;
  /** This data must not be used as the node was started. */
  readonly onRefused: (error: DataDirectoryError) => void;
  /** The registry says something new. */
  readonly onChanged: () => void;
}

/** What a new table (4, more as it grows), connections, logs and the files that grown tables open may need. */
const SPARE_DESCRIPTORS = 96;
/** A node that was short takes tables again with so many more left: connections come and go. */
const DESCRIPTORS_HYSTERESIS = 32;

/** The meta group on this node, and the tables that it says exist. */
export class Tables {
  readonly #options: NodeOptions;
  readonly #environment: Environment;
  readonly #identity: Identity;
  readonly #replicas: Replicas;
  readonly #context: TablesOptions;
  readonly #registry = new Registry();
  /** By name: the replicas of tables that exist, as of the meta group's applied index here. */
  #byName = new Map<string, Replica>();
  /** By the name under which it can be read while it is in quarantine (R4). */
  #quarantined = new Map<string, Replica>();
  /** Fires after each change of what the registry says. */
  readonly changes: Waiters;
  /** Deleted shards, and the index of the meta group at which this node learned of it (T2). */
  readonly #retired = new Map<GroupId, number>();
  /** Shards that loads of this boot go on with: any other one that the registry says it began, nobody goes on with. */
  readonly #filling = new Set<GroupId>();
  /** Loads of which it is not known yet whether they have begun. */
  #loadsBeginning = 0;
  /** How far loads were when this node, which leads their old shards, last saw them go on. */
  readonly #loadProgress = new Map<GroupId, { readonly appliedIndex: number; readonly sinceMs: number }>();
  /** The clone of another cluster that fills this one, or was meant to. */
  readonly clone: ClusterClone;
  /** The registry holds the meta group at least up to here. */
  #followedIndex = 0;
  #isFresh = false;
  #hasFollowed = false;
  /** The limit of descriptors that this process's log calls too low now. */
  #loggedShortOf: number | undefined;
  #isTending = false;
  #hasCheckedStart = false;
  #followed: Promise<void> = Promise.resolve();

  constructor(options: TablesOptions) {
    this.#context = options;
    this.#options = options.options;
    this.#environment = options.environment;
    this.#identity = options.identity;
    this.#replicas = options.replicas;
    this.changes = new Waiters(options.environment.clock);
    this.clone = new ClusterClone({
      clock: options.environment.clock,
      random: options.environment.random,
      log: options.environment.log,
      self: this.#loader,
      isFresh: () => this.isFresh,
      registered: () => this.#registry.clone,
      confirmRead: (deadlineMs) => this.meta().confirmRead(deadlineMs),
      write: (clone, deadlineMs) => this.#propose(this.#registry.writeClone(clone), deadlineMs),
      isKnownToAll: options.isMetaAppliedByAll,
      leadsMeta: () => this.#replicas.get(META_SHARD)?.isLeader ?? false,
      isAlive: options.isAlive,
    });
  }

  get #wolfTable(): string | undefined {
    return this.#options.wolf?.table;
  }

  /** Of another kind is the table that is replicated over wolf.raft: no registry says what becomes of it. */
  #checkRegistered(name: string): void {
    if (name === this.#wolfTable) throw errors.replicatedElsewhere(name);
  }

  /** The replica of a table that exists as far as this node knows. */
  get(name: string): Replica | undefined {
    return this.#byName.get(name);
  }

  /** The replica of a quarantined table, by the name `quarantine/<shard id>/<name>` (R4). */
  quarantined(name: string): Replica | undefined {
    return this.#quarantined.get(name);
  }

  /**
   * A shard that served the table was sealed or dropped here. Resolves when another one has the name, here (T2).
   * That this one was deleted says nothing of the table, which may have been made again elsewhere: only the meta
   * group, asked now, can tell that it does not exist (T5). Throws `tableNotFound`, and `timeout` or `notReady` when
   * nothing was done by the deadline.
   */
  async moved(name: string, from: Replica, call: Call): Promise<void> {
    if (this.#hasSuccessor(name, from)) return;
    const sealedBy = from.hasTable ? from.table.sealedBy : undefined;
    if (sealedBy === undefined && !from.isClosed) throw errors.notReady();
    if (sealedBy === undefined || sealedBy === 0) {
      await this.meta().confirmRead(call.deadlineMs);
      if (!this.#hasSuccessor(name, from)) throw errors.tableNotFound();
      return;
    }
    const isOver = () => this.#byName.get(name) !== from || this.#context.isStopping();
    const waitMs = call.deadlineMs - this.#environment.clock.monotonicMs();
    if (!(await this.changes.until(isOver, waitMs))) throw errors.timeout();
    if (this.#context.isStopping()) throw errors.shuttingDown();
  }

  /** Another shard has the name by now (T2). */
  #hasSuccessor(name: string, replica: Replica): boolean {
    const current = this.#byName.get(name);
    return current !== undefined && current !== replica;
  }

  /** The node stops: those who wait for the registry are told. */
  stopping(): void {
    this.changes.notify();
  }

  /** T5: only the meta group, asked now, can tell that a table does not exist. Requests share its rounds. */
  async find(name: string, call: Call): Promise<Replica> {
    const known = this.#byName.get(name) ?? this.#quarantined.get(name);
    if (known !== undefined) return known;
    await this.meta().confirmRead(call.deadlineMs);
    const replica = this.#byName.get(name);
    if (replica === undefined) throw errors.tableNotFound();
    return replica;
  }

  /** The tables by name with what the log says of them. Undefined: this node has not read the registry yet. */
  watched(): ReadonlyMap<string, WatchedTable> | undefined {
    return this.#hasFollowed ? this.#byName : undefined;
  }

  /** Sorted by name. */
  replicas(): Replica[] {
    return this.#named().flatMap(({ name }) => this.#byName.get(name) ?? []);
  }

  members(): MemberInfo[] {
    const { initialMembers, nodeId, nodeName, clientUrls, restAddress } = this.#options;
    return [...initialMembers].map(([id, raftAddress]) => {
      // Of itself a node knows it from its configuration, of the others from what they have written into the meta group.
      if (id === nodeId) return { id, name: nodeName, raftAddress, clientUrls, restAddress };
      const told = this.#registry.member(id);
      // Addresses come from the flags at each start; what a member told before may be of an earlier one.
      return {
        ...{ id, name: told?.name ?? `node-${id}`, raftAddress, clientUrls: told?.clientUrls ?? [] },
        restAddress: told?.restAddress ?? '',
      };
    });
  }

  /** The cluster has formed and said so in its log. */
  get hasGenesis(): boolean {
    return this.#registry.hasGenesis;
  }

  /** Since it started, this node has caught up with the meta group. */
  get isFresh(): boolean {
    return this.#isFresh;
  }

  /** Throws `notFormed` before the cluster has formed. */
  meta(): Replica {
    const meta = this.#replicas.get(META_SHARD);
    if (meta === undefined) throw this.#notFormed();
    return meta;
  }

  #notFormed(): ApiError {
    const { initialMembers, nodeId } = this.#options;
    const answering = [...initialMembers.keys()].filter((id) => id === nodeId || this.#context.isAlive(id));
    return errors.notFormed(answering.length, initialMembers.size);
  }

  /** Up to here this node has applied the meta group and does what it says. */
  get metaApplied(): number {
    const meta = this.#replicas.get(META_SHARD);
    return meta?.hasTable ? Math.min(meta.table.appliedIndex, this.#followedIndex) : 0;
  }

  // ---- what callers ask for

  async create(
    name: string,
    { config, isReplicated }: { config?: Record<string, unknown> | undefined; isReplicated: boolean },
    call: Call,
  ): Promise<TableInfo> {
    checkTableName(name);
    if (name === this.#wolfTable) throw errors.tableExists();
    for (;;) {
      await this.meta().confirmRead(call.deadlineMs);
      // The genesis takes the first shard ids for the tables that exist from the start.
      if (!this.#registry.hasGenesis) throw errors.notReady();
      this.#checkRole(isReplicated ? 'follower' : 'leader');
      this.clone.checkWrite();
      if (this.#registry.table(name) !== undefined) throw errors.tableExists();
      const { tablesMax } = this.#options;
      if (this.#registry.tableCount >= tablesMax) throw errors.tooManyTables(tablesMax);
      await this.#checkDescriptors();
      // Another creation may have taken the name or the shard id meanwhile: then this one had no effect.
      if (await this.#propose(this.#registry.createTable(name, config, isReplicated), call.deadlineMs)) break;
    }
    const table = this.#registry.table(name);
    const replica = this.#byName.get(name);
    if (table === undefined || replica === undefined) throw errors.tableNotFound();
    if (replica.raft.leader === NO_NODE) replica.campaign(0);
    // Only a quorum that hosts the group and has a leader confirms a read (T5).
    await afterEffect(replica.confirmRead(call.deadlineMs));
    return { name, shardId: table.shardId, config: table.config };
  }

  async delete(name: string, call: Call): Promise<void> {
    if (name === '') throw errors.nameNotSet();
    this.#checkRegistered(name);
    await this.meta().confirmRead(call.deadlineMs);
    this.#checkRole('leader');
    this.clone.checkDelete();
    const table = this.#registry.table(name);
    if (table === undefined) throw errors.tableToDeleteNotFound();
    const replica = this.#replicas.get(table.shardId);
    if (replica === undefined) throw errors.notReady();
    await this.#seal(table, replica, call.deadlineMs);
  }

  /**
   * Takes a table out of service that the leader cluster has no more. Does nothing when it is not that shard any
   * more. What it held stays readable as `quarantine/<shard id>/<name>` for a while (R4).
   */
  async quarantine(name: string, shardId: number, call: Call): Promise<void> {
    await this.meta().confirmRead(call.deadlineMs);
    this.#checkRole('follower');
    const table = this.#registry.table(name);
    if (table?.shardId !== shardId || !table.isReplicated) return;
    const replica = this.#replicas.get(shardId);
    if (replica === undefined) throw errors.notReady();
    await this.#seal(table, replica, call.deadlineMs);
  }

  async list(call: Call): Promise<TableInfo[]> {
    await this.meta().confirmRead(call.deadlineMs);
    return this.#named().map(({ name, shardId, config }) => ({ name, shardId, config }));
  }

  /** The registry's tables, and the one that is replicated over wolf.raft. Sorted by name. */
  #named(): readonly TableInfo[] {
    const tables = this.#registry.tables();
    const name = this.#wolfTable;
    return name === undefined
      ? tables
      : [...tables, { name, shardId: WOLF_SHARD, config: undefined }].sort(compareNames);
  }

  /**
   * R5: a follower cluster has its tables from its leader cluster, a leader cluster from nobody, and one that is being
   * promoted keeps those that it has: each becomes its own.
   */
  #checkRole(needed: ClusterRole): void {
    const { role } = this.#registry;
    if (role === 'promoting') throw errors.promoting();
    if (role !== needed) throw errors.notReady();
  }

  /**
   * T2: sealed first, so that no node acknowledges a write that vanishes; then taken out of the registry. The replica is
   * the shard's own, and not the one that requests for the name go to: that one follows the registry a little later.
   */
  async #seal(table: RegisteredTable, replica: Replica, deadlineMs: number): Promise<void> {
    const { index } = await this.#context.propose(replica, CommandKind.Seal, sealedBy(0), deadlineMs);
    // A switch came first: there is another shard to be deleted, which the caller finds by asking again.
    if (replica.hasTable && replica.table.sealedBy !== 0) throw errors.outcomeUnknown();
    const keptUntilMs = this.#environment.clock.nowMs() + this.#options.quarantineMs;
    // T1: the revisions of a replica are the leader cluster's, and those may be far above its own indices.
    const lastIndex = Math.max(index, replica.hasTable ? (replica.table.leaderIndex ?? 0) : 0);
    await afterEffect(this.#propose(this.#registry.deleteTable(table, lastIndex, keptUntilMs), deadlineMs));
  }

  // ---- a shard that takes over a name (T2)

  /**
   * Makes an empty shard that may take over the table's name: on every member, with a leader that serves. One that
   * was begun before for that name is forgotten, unless it is being switched to.
   */
  async beginLoad(name: string, call: Call): Promise<ShardLoad> {
    this.#checkRegistered(name);
    for (;;) {
      await this.meta().confirmRead(call.deadlineMs);
      const table = this.#registry.table(name);
      if (table === undefined) throw errors.tableNotFound();
      await this.#checkDescriptors();
      const shardId = await this.#tryBeginLoad(name, table, call);
      if (shardId !== undefined) return await this.#openLoad({ name, shardId, isRestore: false }, call);
    }
  }

  /**
   * A node that runs out of descriptors ends, and cannot open its tables again: there must be room for one more, here and
   * on every other member. Each says in the registry when it has too few left.
   */
  async #checkDescriptors(): Promise<void> {
    const { inUse, max } = await this.#environment.files.descriptors();
    if (inUse + SPARE_DESCRIPTORS > max) throw errors.tooFewDescriptors(inUse, max);
    for (const { id, descriptorsShortOf } of this.#registry.members()) {
      if (id === this.#options.nodeId || descriptorsShortOf === undefined) continue;
      throw errors.memberHasTooFewDescriptors(id, descriptorsShortOf);
    }
  }

  /** This node's limit of descriptors where it has too few left for another table. */
  async #descriptorsShortOf(): Promise<number | undefined> {
    const wasShort = this.#registry.member(this.#options.nodeId)?.descriptorsShortOf !== undefined;
    const { inUse, max } = await this.#environment.files.descriptors();
    return inUse + SPARE_DESCRIPTORS + (wasShort ? DESCRIPTORS_HYSTERESIS : 0) > max ? max : undefined;
  }

  /**
   * As `beginLoad`, on a leader cluster, also of a table that does not exist: the switch makes it. `cloneId`: the clone
   * that asks for it.
   */
  async beginRestore(name: string, call: Call, cloneId?: string): Promise<ShardLoad> {
    checkTableName(name);
    this.#checkRegistered(name);
    for (;;) {
      await this.meta().confirmRead(call.deadlineMs);
      if (!this.#registry.hasGenesis) throw errors.notReady();
      this.#checkRole('leader');
      this.clone.checkWrite(cloneId);
      const table = this.#registry.table(name);
      const { tablesMax } = this.#options;
      const isNew = table === undefined && this.#registry.loadingOf(name) === undefined;
      if (isNew && this.#registry.tableCount >= tablesMax) throw errors.tooManyTables(tablesMax);
      await this.#checkDescriptors();
      const shardId = await this.#tryBeginLoad(name, table, call);
      if (shardId !== undefined)
        return await this.#openLoad({ name, shardId, isRestore: true, cloneId }, call);
    }
  }

  /** The new shard. Undefined: something has changed meanwhile. */
  async #tryBeginLoad(
    name: string,
    table: RegisteredTable | undefined,
    { deadlineMs }: Call,
  ): Promise<number | undefined> {
    const registry = this.#registry;
    const begin = async (lastIndex: number | undefined): Promise<number | undefined> => {
      const { nextShardId } = registry;
      this.#loadsBeginning++;
      try {
        const isBegun = await this.#propose(
          registry.beginLoad(name, table, lastIndex, this.#loader),
          deadlineMs,
        );
        if (!isBegun) return undefined;
        this.#filling.add(nextShardId);
        return nextShardId;
      } finally {
        this.#loadsBeginning--;
      }
    };
    if (table === undefined) return await begin(registry.lastIndexOf(name));
    const old = this.#replicas.get(table.shardId);
    if (old === undefined) throw errors.notReady();
    // Only a table that has applied what is committed tells how far the name has come (T1).
    await old.confirmRead(deadlineMs);
    const earlier = registry.loadingOf(name);
    if (earlier?.switching !== undefined) {
      if (!(await this.#finishSwitch(earlier, earlier.switching, deadlineMs))) throw errors.notReady();
      return undefined;
    }
    // T1: above every index and every revision that the name ever had.
    return await begin(Math.max(old.raft.lastIndex, old.table.leaderIndex ?? 0, table.base));
  }

  /** Who fills the shards that this node begins. */
  get #loader(): Loader {
    return { node: this.#options.nodeId, boot: this.#context.boot };
  }

  async #openLoad({ name, shardId, isRestore, cloneId }: OpenedLoad, call: Call): Promise<ShardLoad> {
    const replica = this.#replicas.get(shardId);
    try {
      // Never the one that the name has by now: two loaders would fill it together.
      if (this.#isReplaced(name, shardId) || replica === undefined) throw errors.loadReplaced();
      if (replica.raft.leader === NO_NODE) replica.campaign(0);
      await this.#unlessReplaced(name, shardId, () => afterEffect(replica.confirmRead(call.deadlineMs)));
    } catch (error) {
      this.#filling.delete(shardId);
      throw error;
    }
    return new ShardLoad(shardId, {
      isRestore,
      propose: (kind, command, deadlineMs) =>
        this.#unlessReplaced(name, shardId, () => this.#context.propose(replica, kind, command, deadlineMs)),
      header: (revision) => replica.header(revision),
      countKeys: () => countKeys(replica),
      switch: async (loaded, { deadlineMs }) => {
        const isDone = await this.#switchTo({ name, shardId, cloneId }, loaded, deadlineMs);
        this.#filling.delete(shardId);
        return isDone;
      },
      abandon: ({ deadlineMs }) => {
        this.#filling.delete(shardId);
        return this.#abandon(name, shardId, deadlineMs);
      },
    });
  }

  /** Another load, a deletion or a creation took the place of the shard: whatever happens in it means nothing. */
  #isReplaced(name: string, shardId: number): boolean {
    const registry = this.#registry;
    return registry.loadingOf(name)?.shardId !== shardId && registry.table(name)?.shardId !== shardId;
  }

  async #unlessReplaced<T>(name: string, shardId: number, work: () => Promise<T>): Promise<T> {
    if (this.#isReplaced(name, shardId)) throw errors.loadReplaced();
    try {
      return await work();
    } catch (error) {
      if (error instanceof ApiError && this.#isReplaced(name, shardId)) throw errors.loadReplaced();
      throw error;
    }
  }

  /** False: the old shard was not at `ifCursor` any more. Throws `loadReplaced`. */
  async #switchTo(
    { name, shardId, cloneId }: Pick<OpenedLoad, 'name' | 'shardId' | 'cloneId'>,
    loaded: Switching,
    deadlineMs: number,
  ): Promise<boolean> {
    await this.meta().confirmRead(deadlineMs);
    // An earlier attempt may have come through although nobody heard of it.
    if (this.#registry.table(name)?.shardId === shardId) return true;
    const shard = this.#registry.loadingOf(name);
    if (shard?.shardId !== shardId) throw errors.loadReplaced();
    // A clone may have begun or ended since the load did.
    if (shard.switching === undefined) this.clone.checkWrite(cloneId);
    if (this.#registry.table(name) === undefined) return await this.#makeOf(shard, loaded, deadlineMs);
    if (shard.switching === undefined) {
      await afterEffect(this.#propose(this.#registry.beginSwitch(shard, loaded), deadlineMs));
    }
    const begun = this.#registry.loadingOf(name);
    if (begun?.shardId === shardId && begun.switching !== undefined) {
      const isDone = await afterEffect(this.#finishSwitch(begun, begun.switching, deadlineMs));
      // It did not depend on the cursor: the table was sealed for its deletion before.
      if (!isDone && begun.switching.ifCursor === null) throw errors.loadReplaced();
      return isDone;
    }
    if (this.#registry.table(name)?.shardId === shardId) return true;
    throw errors.loadReplaced();
  }

  /** There is nothing to seal: the table exists from one entry of the registry on, unless one was made meanwhile. */
  async #makeOf(shard: LoadingShard, { loadedIndex }: Switching, deadlineMs: number): Promise<boolean> {
    const { name, shardId } = shard;
    await this.#propose(this.#registry.finishSwitch(undefined, shard, loadedIndex), deadlineMs);
    if (this.#registry.table(name)?.shardId !== shardId) throw errors.loadReplaced();
    return true;
  }

  /**
   * T2: seals the old shard, and then gives the name to the new one. The registry says which one that is before the
   * seal does, and that cannot change any more: so whoever finds it half done can end it, and no load can take the
   * place of a shard that a seal may name already. False: the old shard had left the cursor, and keeps the name.
   */
  async #finishSwitch(shard: LoadingShard, switching: Switching, deadlineMs: number): Promise<boolean> {
    const { name, shardId } = shard;
    const table = this.#registry.table(name);
    // Not the one that requests go to: it follows the registry a little later, and another one must not be sealed.
    const old = table && this.#replicas.get(table.shardId);
    if (table === undefined || old === undefined) return false;
    // A shard that was sealed by itself would never serve again, and nobody could take its place.
    assert(table.shardId !== shardId, `shard ${shardId} has the name ${name} already`);
    const { hasStaleCursor, sealedBy: sealed } = await this.#context.propose(
      old,
      CommandKind.Seal,
      sealedBy(shardId),
      deadlineMs,
      switching.ifCursor ?? undefined,
    );
    if (sealed !== undefined && sealed !== shardId) return false;
    // What was sealed before is at the cursor that it was sealed at.
    if (hasStaleCursor && sealed === undefined) {
      await this.#propose(this.#registry.abandonLoad(shard), deadlineMs);
      return false;
    }
    await this.#propose(this.#registry.finishSwitch(table, shard, switching.loadedIndex), deadlineMs);
    return this.#registry.table(name)?.shardId === shardId;
  }

  async #abandon(name: string, shardId: number, deadlineMs: number): Promise<void> {
    const shard = this.#registry.loadingOf(name);
    if (shard?.shardId !== shardId || shard.switching !== undefined) return;
    await this.#propose(this.#registry.abandonLoad(shard), deadlineMs);
  }

  // ---- the archive

  archivedIndex(shardId: number): number {
    return this.#registry.archivedIndex(shardId);
  }

  /** The first entry of a log that the archive may still want; undefined: it wants none, because it is no table's. */
  unarchivedFrom(replica: Replica): number | undefined {
    const { group, name } = replica;
    if (group === META_SHARD || group === WOLF_SHARD) return undefined;
    // Before the registry was read nobody knows whose log it is, nor how far it is archived.
    if (!this.#hasFollowed) return 0;
    if (name === undefined || this.#byName.get(name) !== replica) return undefined;
    // What is another cluster's is archived there.
    if (this.#registry.role !== 'leader') return undefined;
    // What a load brought in is for bases (T2).
    return Math.max(this.archivedIndex(group), replica.loadedIndex) + 1;
  }

  async reportArchived(indices: ReadonlyMap<number, number>, { deadlineMs }: Call): Promise<void> {
    for (;;) {
      const command = this.#registry.writeArchived(indices);
      if (command === undefined) return;
      await this.#propose(command, deadlineMs);
    }
  }

  // ---- what operators want of members

  memberState(id: NodeId): MemberState {
    return this.#registry.stateOf(id);
  }

  get isAnyPaused(): boolean {
    return this.#registry.isAnyPaused;
  }

  async memberStates({ deadlineMs }: Call): Promise<ReadonlyMap<NodeId, MemberState>> {
    await this.meta().confirmRead(deadlineMs);
    if (!this.#registry.hasGenesis) throw errors.notReady();
    return new Map([...this.#options.initialMembers.keys()].map((id) => [id, this.memberState(id)]));
  }

  /** Undefined: it is done. Else the state that the member is in, which is none of `from`. */
  async changeMemberState(
    id: NodeId,
    { from, to }: StateChange,
    call: Call,
  ): Promise<MemberState | undefined> {
    await this.memberStates(call);
    for (;;) {
      const state = this.memberState(id);
      if (!from.includes(state)) return state;
      if (await this.#propose(this.#registry.writeState(id, to), call.deadlineMs)) return undefined;
    }
  }

  // ---- what a cluster is to others (R4, R5)

  get role(): ClusterRole | undefined {
    return this.#registry.hasGenesis ? this.#registry.role : undefined;
  }

  get leaderClusterId(): string | undefined {
    return this.#registry.leaderClusterId;
  }

  holdOf(name: string): ReplicationHold {
    return this.#registry.holdOf(name);
  }

  isReplicated(name: string): boolean {
    return this.#registry.table(name)?.isReplicated ?? false;
  }

  /** Changes the meta group until `isDone` holds of it; another change may come in between. */
  async #change(isDone: () => boolean, command: () => mvcc.Command, { deadlineMs }: Call): Promise<void> {
    await this.meta().confirmRead(deadlineMs);
    if (!this.#registry.hasGenesis) throw errors.notReady();
    while (!isDone()) await this.#propose(command(), deadlineMs);
  }

  quarantinedTables(): QuarantinedTable[] {
    return [...this.#registry.quarantined()].map(({ name, shardId, untilMs }) => ({
      name,
      shardId,
      readableAs: `quarantine/${shardId}/${name}`,
      untilMs,
    }));
  }

  async bindLeaderCluster(id: string, call: Call): Promise<string> {
    const registry = this.#registry;
    await this.#change(
      () => registry.leaderClusterId !== undefined || registry.role !== 'follower',
      () => registry.writeCluster({ leaderClusterId: id }),
      call,
    );
    return registry.leaderClusterId ?? id;
  }

  async stopReplication(name: string, reason: string, call: Call): Promise<void> {
    const registry = this.#registry;
    await this.meta().confirmRead(call.deadlineMs);
    for (;;) {
      const table = registry.table(name);
      const { stopped, isResetWanted } = registry.holdOf(name);
      // A reset that was asked for meanwhile makes it go on, whatever was wrong before.
      if (table === undefined || stopped !== undefined || isResetWanted) return;
      const command = registry.writeHolds([table], { stopped: reason, isResetWanted: false });
      if (await this.#propose(command, call.deadlineMs)) return;
    }
  }

  async requestReset(name: string | undefined, call: Call): Promise<void> {
    const registry = this.#registry;
    const hold = { stopped: undefined, isResetWanted: true };
    await this.meta().confirmRead(call.deadlineMs);
    for (;;) {
      const tables = name === undefined ? registry.tables() : [registry.table(name)];
      const known = tables.filter((table) => table !== undefined);
      if (known.length < tables.length) throw errors.tableNotFound();
      const command =
        name === undefined
          ? registry.writeHolds(known, hold, { leaderClusterId: null })
          : registry.writeHolds(known, hold);
      if (await this.#propose(command, call.deadlineMs)) return;
    }
  }

  async beginPromotion(call: Call): Promise<void> {
    const registry = this.#registry;
    const isDecided = () => registry.role !== 'follower';
    await this.#change(
      isDecided,
      () => registry.writeCluster({ role: 'promoting', wasPromoted: true }),
      call,
    );
  }

  unpromotedTables(): { name: string; shardId: number }[] {
    return this.#registry.tables().filter(({ isReplicated }) => isReplicated);
  }

  async finishPromotion(call: Call): Promise<void> {
    const registry = this.#registry;
    const isDone = () => registry.role !== 'promoting';
    await this.#change(
      isDone,
      () => {
        if (this.unpromotedTables().length > 0) throw errors.notReady();
        return registry.writeCluster({ role: 'leader' });
      },
      call,
    );
  }

  /** Whether the transaction's compares held. */
  async #propose(command: mvcc.Command, deadlineMs: number): Promise<boolean> {
    const bytes = mvcc.Command.encode(command).finish();
    const result = await this.#context.propose(this.meta(), CommandKind.Command, bytes, deadlineMs);
    return result.succeeded;
  }

  // ---- the meta group

  /** The genesis is known: makes the meta group where it is missing, and takes part. */
  async enterCluster(): Promise<void> {
    let meta = this.#replicas.get(META_SHARD);
    if (meta === undefined) {
      const membership = this.#membership();
      meta = await this.#replicas.create(META_SHARD, {
        name: 'meta',
        base: 0,
        isReplicated: false,
        membership,
      });
      await this.#identity.complete();
      this.#environment.log('info', 'the cluster has formed', { clusterId: this.#identity.clusterId });
      // Somebody must be first, and the founder knows that it is.
      if (this.#options.nodeId === membership.voters[0]) meta.campaign(0);
    } else if (this.#identity.phase === 'joining') {
      await this.#identity.complete();
    }
    if (meta.hasTable) await this.follow();
    meta.wake();
    this.#context.run(this.#catchUp());
  }

  #membership(): Membership {
    const voters = [...this.#options.initialMembers.keys()].sort((a, b) => a - b);
    return { voters, learners: [] };
  }

  /**
   * Makes the tables here what the meta group says they are. Runs after each of its applies, one run at a
   * time, since it makes and opens stores.
   */
  follow(): Promise<void> {
    // A run that met a damaged table (D4) has said so to whoever asked for it; the next one begins anew.
    this.#followed = this.#followed.catch(() => undefined).then(() => this.#followRegistry());
    return this.#followed;
  }

  async #followRegistry(): Promise<void> {
    const meta = this.meta();
    // What it holds may be of long ago, or half an entry (A4): the registry is read when the log has applied the rest.
    if (!meta.isWhole) return;
    const { appliedIndex } = meta.table;
    await this.#registry.follow(meta.table);
    this.#checkStartedAs();
    const existing = new Set<Replica>();
    const make = async (shard: HostedShard, name: string): Promise<Replica> => {
      const { shardId, base, isReplicated } = shard;
      const membership = this.#membership();
      const replica = await this.#replicas.create(shardId, { name, base, isReplicated, membership });
      if (meta.isLeader) replica.campaign(0);
      return host(replica, shard, name);
    };
    const host = (replica: Replica, shard: HostedShard, name: string): Replica => {
      const { shardId } = shard;
      replica.name = name;
      replica.loadedIndex = shard.loadedIndex ?? 0;
      replica.baseIndex = shard.base;
      this.#retired.delete(shardId);
      existing.add(replica);
      return replica;
    };
    const hostAll = async <Shard extends HostedShard>(
      shards: Iterable<Shard>,
      nameOf: (shard: Shard) => string,
    ): Promise<Map<string, Replica>> => {
      // Most are there already, and there may be thousands: a promise is made for those alone that are not.
      const hosted = [...shards].map((shard): [string, Replica | Promise<Replica>] => {
        const name = nameOf(shard);
        const replica = this.#replicas.get(shard.shardId);
        return [name, replica === undefined ? make(shard, name) : host(replica, shard, name)];
      });
      const made = hosted.filter(([, replica]) => replica instanceof Promise);
      const replicas = await Promise.all(made.map(([, replica]) => replica));
      for (const [place, entry] of made.entries()) entry[1] = replicas[place]!;
      return new Map(hosted as [string, Replica][]);
    };
    const [byName, quarantined] = await Promise.all([
      hostAll(this.#registry.tables(), ({ name }) => name),
      hostAll(
        [...this.#registry.quarantined()].map((shard) => ({ ...shard, isReplicated: true })),
        ({ shardId, name }) => `quarantine/${shardId}/${name}`,
      ),
      hostAll(this.#registry.loading(), ({ shardId, name }) => `loading/${shardId}/${name}`),
    ]);
    this.#addWolf(byName, existing);
    const replaced = [...this.#byName].filter(([name, replica]) => byName.get(name) !== replica);
    this.#byName = byName;
    this.#hasFollowed = true;
    this.#quarantined = quarantined;
    for (const replica of this.#replicas.values()) {
      if (replica === meta || existing.has(replica) || this.#retired.has(replica.group)) continue;
      this.#retired.set(replica.group, meta.table.appliedIndex);
    }
    this.changes.notify();
    // Who waits for what comes in the old shard's log would wait in vain.
    for (const [, replica] of replaced) replica.changes.notify();
    this.#followedIndex = appliedIndex;
    this.#context.onChanged();
  }

  #addWolf(byName: Map<string, Replica>, existing: Set<Replica>): void {
    const replica = this.#context.wolf();
    const name = this.#wolfTable;
    if (replica === undefined || name === undefined) return;
    existing.add(replica);
    if (byName.has(name)) {
      this.#context.onRefused(
        new DataDirectoryError(
          `the cluster has a table "${name}" already: give wolf.table another name, which no table has`,
        ),
      );
    }
    byName.set(name, replica);
  }

  /** R5: what the data is and what the node was started as must agree, before anything is written over. */
  #checkStartedAs(): void {
    if (!this.#registry.hasGenesis || this.#hasCheckedStart) return;
    const { role, wasPromoted } = this.#registry;
    const startedAs = this.#options.role;
    this.#hasCheckedStart = true;
    if (startedAs === 'leader' && role !== 'leader') {
      this.#context.onRefused(
        new DataDirectoryError(
          'the data belongs to a follower cluster: start the node with "coxswain follower", or turn its cluster into a leader cluster with "coxswain promote"',
        ),
      );
    } else if (startedAs === 'follower' && role === 'leader' && !wasPromoted) {
      this.#context.onRefused(
        new DataDirectoryError(
          'the data belongs to a leader cluster, and a follower cluster would replace it: start the node with "coxswain leader", or give it an empty data directory',
        ),
      );
    } else if (startedAs === 'follower' && role === 'leader') {
      this.#environment.log('warn', 'this cluster was promoted: it serves as a leader cluster', {});
    }
  }

  /** After a start: what the disk says of the tables may be old, until the meta group has confirmed it. */
  async #catchUp(): Promise<void> {
    await this.#persist(async (deadlineMs) => {
      await this.meta().confirmRead(deadlineMs);
      this.#isFresh = true;
    });
    await this.#persist((deadlineMs) => this.#tellMember(deadlineMs));
  }

  /** Writes for the others how clients reach this node, and whether it can open another table. */
  async #tellMember(deadlineMs: number): Promise<void> {
    const { nodeId, nodeName, clientUrls, restAddress, initialMembers, version } = this.#options;
    const raftAddress = initialMembers.get(nodeId) ?? '';
    const descriptorsShortOf = await this.#descriptorsShortOf();
    const member = {
      ...{ id: nodeId, name: nodeName, raftAddress, clientUrls, restAddress, version },
      ...(descriptorsShortOf !== undefined && { descriptorsShortOf }),
    };
    if (JSON.stringify(this.#registry.member(nodeId)) === JSON.stringify(member)) return;
    await this.#propose(this.#registry.writeMember(member), deadlineMs);
  }

  /** As the meta group's leader: writes the genesis, and the tables that were asked for at the start. */
  async lead(): Promise<void> {
    await this.#persist(
      async (deadlineMs) => {
        await this.meta().confirmRead(deadlineMs);
        const { genesis } = this.#identity;
        const { role, initialTables } = this.#options;
        const names = role === 'leader' ? initialTables : [];
        if (!this.#registry.hasGenesis && genesis !== undefined) {
          await this.#propose(this.#registry.writeGenesis(genesis, role, names), deadlineMs);
        }
        for (const name of names) {
          const isThere = this.#registry.table(name) ?? this.#registry.loadingOf(name);
          // A restore makes it, which would end in an error if it was made here (T2).
          if (isThere !== undefined) continue;
          await this.#propose(this.#registry.createTable(name, undefined, false), deadlineMs);
        }
      },
      () => this.meta().isLeader,
    );
  }

  /** Called from time to time: ends what a caller's deadline or a crash left half-way. */
  async tend(): Promise<void> {
    if (this.#isTending) return;
    this.#isTending = true;
    try {
      // What one of them cannot do now, for lack of a quorum or of time, keeps none of the others.
      await this.#finishDeletions().catch(ignoreApiError);
      await this.#finishSwitches().catch(ignoreApiError);
      await this.#endQuarantines().catch(ignoreApiError);
      await this.#dropRetired().catch(ignoreApiError);
      await this.#watchDescriptors().catch(ignoreApiError);
      await this.clone.tend().catch(ignoreApiError);
    } finally {
      this.#isTending = false;
    }
  }

  /** Once it has caught up, a node says when it cannot open another table, and when it can again. */
  async #watchDescriptors(): Promise<void> {
    const member = this.#registry.member(this.#options.nodeId);
    if (!this.#isFresh || member === undefined) return;
    const shortOf = await this.#descriptorsShortOf();
    // Also where the members know it already: from an earlier start, or since it was so when this node first told of itself.
    if (shortOf !== undefined && shortOf !== this.#loggedShortOf) {
      this.#environment.log(
        'warn',
        'too few descriptors are left for another table: the cluster makes none',
        {
          max: shortOf,
          advice: 'raise ulimit -n (LimitNOFILE under systemd) on every node and start it again',
        },
      );
    }
    this.#loggedShortOf = shortOf;
    if (shortOf === member.descriptorsShortOf) return;
    await this.#tellMember(this.#environment.clock.monotonicMs() + OWN_PROPOSAL_MS);
  }

  /** A table that was sealed and is still registered is deleted to the end by its leader. */
  async #finishDeletions(): Promise<void> {
    for (const name of this.#byName.keys()) {
      // Anything may have become of the name while the one before it was deleted.
      const table = this.#registry.table(name);
      const replica = table && this.#replicas.get(table.shardId);
      if (replica === undefined || !replica.isLeader || !replica.hasTable) continue;
      if (replica.table.sealedBy !== 0) continue;
      await this.#seal(table!, replica, this.#environment.clock.monotonicMs() + OWN_PROPOSAL_MS);
    }
  }

  /**
   * What loaders left half-way is ended by the old shard's leader, or by that of the new one where there is none: a
   * switch that was begun, a load that nobody goes on with. A node sees to its own at once: to those of its earlier
   * boots, and to one that was begun although nobody heard of it, or whose loader failed to give it up.
   */
  async #finishSwitches(): Promise<void> {
    const { clock } = this.#environment;
    const known = new Set<GroupId>();
    for (const { name } of [...this.#registry.loading()]) {
      // Anything may have become of the load while the one before it was ended.
      const shard = this.#registry.loadingOf(name);
      if (shard === undefined) continue;
      const { shardId, switching, loader } = shard;
      const deadlineMs = clock.monotonicMs() + OWN_PROPOSAL_MS;
      const isAbandoned =
        loader?.node === this.#options.nodeId &&
        (loader.boot !== this.#context.boot || (this.#loadsBeginning === 0 && !this.#filling.has(shardId)));
      const leads = (this.#byName.get(name) ?? this.#replicas.get(shardId))?.isLeader ?? false;
      if (leads) known.add(shardId);
      if (switching !== undefined) {
        if (leads) await this.#finishSwitch(shard, switching, deadlineMs);
      } else if (isAbandoned || (leads && this.#isSilent(shard))) {
        await this.#abandon(name, shardId, deadlineMs);
      }
    }
    for (const group of this.#loadProgress.keys()) if (!known.has(group)) this.#loadProgress.delete(group);
  }

  #isSilent({ shardId, loader }: LoadingShard): boolean {
    const replica = this.#replicas.get(shardId);
    const appliedIndex = replica?.hasTable ? replica.table.appliedIndex : 0;
    const nowMs = this.#environment.clock.monotonicMs();
    const seen = this.#loadProgress.get(shardId);
    if (seen?.appliedIndex !== appliedIndex) {
      this.#loadProgress.set(shardId, { appliedIndex, sinceMs: nowMs });
      return false;
    }
    const isHere = loader === undefined || loader.node === this.#options.nodeId;
    const isReachable = isHere || this.#context.isAlive(loader.node);
    return nowMs - seen.sinceMs >= (isReachable ? LOAD_SILENCE_MS : LOADER_GONE_MS);
  }

  async #endQuarantines(): Promise<void> {
    const { clock } = this.#environment;
    if (!this.#replicas.get(META_SHARD)?.isLeader) return;
    for (const table of this.#registry.quarantined()) {
      if (table.untilMs > clock.nowMs()) continue;
      await this.#propose(this.#registry.endQuarantine(table), clock.monotonicMs() + OWN_PROPOSAL_MS);
    }
  }

  /** T2: a deleted shard goes when every member has applied its deletion: until then it can still be asked to seal. */
  async #dropRetired(): Promise<void> {
    const meta = this.#replicas.get(META_SHARD);
    if (meta === undefined || !this.#isFresh || !meta.hasTable) return;
    const lowest = this.#context.lowestMetaApplied();
    for (const [group, index] of this.#retired) {
      if (index > lowest) continue;
      if (index > meta.table.checkpointIndex) {
        // A crash may take the registry back to before the deletion (D4): the group, gone from the log for good,
        // would be made anew, empty, and serve until the deletion is applied again.
        if (!meta.table.isCheckpointing) await this.#context.checkpoint(meta);
        continue;
      }
      const replica = this.#replicas.get(group);
      if (replica !== undefined && replica.holders.size > 0) continue;
      this.#retired.delete(group);
      if (replica !== undefined) await this.#replicas.drop(replica);
    }
  }

  /** Tries what the node wants for itself until it works, is not wanted any more, or the node stops. */
  async #persist(attempt: (deadlineMs: number) => Promise<void>, isWanted = () => true): Promise<void> {
    const { clock } = this.#environment;
    while (!this.#context.isStopping() && isWanted()) {
      try {
        await attempt(clock.monotonicMs() + OWN_PROPOSAL_MS);
        return;
      } catch (error) {
        if (!(error instanceof ApiError)) throw error;
        await new Promise<void>((resolve) => clock.startTimer(this.#options.tickMs * RETRY_TICKS, resolve));
      }
    }
  }
}

/** Throws `notReady` where the table cannot be read for the moment. */
async function countKeys({ table }: Replica): Promise<number> {
  try {
    return await table.countKeys();
  } catch (error) {
    throw tableApiError(error);
  }
}

interface OpenedLoad {
  readonly name: string;
  readonly shardId: number;
  readonly isRestore: boolean;
  /** The clone that fills it. */
  readonly cloneId?: string | undefined;
}

/** A shard that this node hosts. */
interface HostedShard {
  readonly shardId: number;
  readonly base: number;
  readonly isReplicated: boolean;
  readonly loadedIndex?: number;
}

/** The payload of a Seal: the shard that takes over, or 0. */
function sealedBy(shardId: number): Buffer {
  const payload = Buffer.alloc(8);
  payload.writeBigUInt64LE(BigInt(shardId));
  return payload;
}

function ignoreApiError(error: unknown): void {
  if (!(error instanceof ApiError)) throw error;
}

/** P1: once a part of the work is done, UNAVAILABLE would tell that nothing was. */
async function afterEffect<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    if (error instanceof ApiError && error.status === Status.Unavailable) throw errors.outcomeUnknown();
    throw error;
  }
}

/** T5. Throws `nameNotSet` or `nameInvalid`. */
function checkTableName(name: string): void {
  if (name === '') throw errors.nameNotSet();
  if (!isTableName(name)) throw errors.nameInvalid();
}
