import { strict as assert } from 'node:assert/strict';
import { NO_NODE } from '@coxswain/raft';
import type { Clock } from '@coxswain/runtime';
import { CommandKind } from '@coxswain/table';
import type { GroupId } from '@coxswain/wal';
import type { Call } from '../api/call.js';
import { ApiError, errors } from '../api/errors.js';
import type { Liveness } from '../cluster/liveness.js';
import type { Replica } from '../group/replica.js';
import type { Replicas } from '../group/replicas.js';
import { afterEffect } from './after-effect.js';
import type { ClusterClone } from './cluster-clone.js';
import type { ClusterSettings } from './cluster-settings.js';
import type { MemberRecords } from './member-records.js';
import type { MetaGroup, Propose } from './meta-group.js';
import { OWN_PROPOSAL_MS } from './own-proposals.js';
import type { Loader, Switching } from './records.js';
import type { LoadingShard, RegisteredTable } from './registry.js';
import { sealedBy } from './seal.js';
import { ShardLoad } from './shard-load.js';
import type { TableDirectory } from './table-directory.js';
import { checkTableName, tableApiError } from './table-errors.js';

/** A load to which nothing was added for this long is given up: a call for a snapshot may take one hour. */
const LOAD_SILENCE_MS = 60 * 60 * 1000;
/**
 * A load whose loader is out of reach is given up after this time. A loader that comes back then finds its load
 * replaced.
 */
const LOADER_GONE_MS = 60 * 1000;

/** The parts of a node that Takeovers uses. */
export interface TakeoversOptions {
  readonly clock: Clock;
  readonly replicas: Replicas;
  readonly propose: Propose;
  readonly directory: TableDirectory;
  readonly settings: ClusterSettings;
  readonly members: MemberRecords;
  readonly clone: ClusterClone;
  /** The process that fills the shards that this node begins: this one. */
  readonly loader: Loader;
  readonly tablesMax: number;
  readonly liveness: Liveness;
}

interface OpenedLoad {
  readonly name: string;
  readonly shardId: number;
  readonly isRestore: boolean;
  /** The id of the clone that fills the shard, if one does. */
  readonly cloneId?: string | undefined;
}

/**
 * Makes shards that are filled and then take over the names of tables (T2), and completes what loaders left half done.
 */
export class Takeovers {
  readonly #meta: MetaGroup;
  readonly #clock: Clock;
  readonly #replicas: Replicas;
  readonly #propose: Propose;
  readonly #directory: TableDirectory;
  readonly #settings: ClusterSettings;
  readonly #members: MemberRecords;
  readonly #clone: ClusterClone;
  readonly #loader: Loader;
  readonly #tablesMax: number;
  readonly #liveness: Liveness;
  /**
   * The shards that loads of this boot still fill. Nobody fills any other shard that, by the registry, this boot began.
   */
  readonly #filling = new Set<GroupId>();
  /** The number of loads of which it is not known yet whether they have begun. */
  #loadsBeginning = 0;
  /** How far each load was when this node, which leads its old shard, last saw it go on. */
  readonly #loadProgress = new Map<GroupId, { readonly appliedIndex: number; readonly sinceMs: number }>();

  constructor(meta: MetaGroup, options: TakeoversOptions) {
    this.#meta = meta;
    this.#clock = options.clock;
    this.#replicas = options.replicas;
    this.#propose = options.propose;
    this.#directory = options.directory;
    this.#settings = options.settings;
    this.#members = options.members;
    this.#clone = options.clone;
    this.#loader = options.loader;
    this.#tablesMax = options.tablesMax;
    this.#liveness = options.liveness;
  }

  /**
   * Makes an empty shard that may take over the table's name: on every member, with a leader that serves. An earlier
   * shard for that name is forgotten, unless the switch to it has begun.
   */
  async beginLoad(name: string, call: Call): Promise<ShardLoad> {
    this.#directory.checkRegistered(name);
    for (;;) {
      await this.#meta.confirmRead(call.deadlineMs);
      const table = this.#meta.registry.table(name);
      if (table === undefined) throw errors.tableNotFound();
      await this.#members.checkDescriptors();
      const shardId = await this.#tryBeginLoad(name, table, call);
      if (shardId !== undefined) return await this.#openLoad({ name, shardId, isRestore: false }, call);
    }
  }

  /**
   * Makes an empty shard like `beginLoad`, but on a leader cluster, and also for a table that does not exist: then the
   * switch makes it. `cloneId` identifies the clone that asks for it, if one does.
   */
  async beginRestore(name: string, call: Call, cloneId?: string): Promise<ShardLoad> {
    checkTableName(name);
    this.#directory.checkRegistered(name);
    for (;;) {
      await this.#meta.confirmRead(call.deadlineMs);
      if (!this.#meta.registry.hasGenesis) throw errors.notReady();
      this.#settings.checkRole('leader');
      this.#clone.checkWrite(cloneId);
      const table = this.#meta.registry.table(name);
      const tablesMax = this.#tablesMax;
      const isNew = table === undefined && this.#meta.registry.loadingOf(name) === undefined;
      if (isNew && this.#meta.registry.tableCount >= tablesMax) throw errors.tooManyTables(tablesMax);
      await this.#members.checkDescriptors();
      const shardId = await this.#tryBeginLoad(name, table, call);
      if (shardId !== undefined)
        return await this.#openLoad({ name, shardId, isRestore: true, cloneId }, call);
    }
  }

  /**
   * Tries to begin a load, and resolves to the id of the new shard; to undefined when something has changed meanwhile.
   */
  async #tryBeginLoad(
    name: string,
    table: RegisteredTable | undefined,
    { deadlineMs }: Call,
  ): Promise<number | undefined> {
    const { registry } = this.#meta;
    const begin = async (lastIndex: number | undefined): Promise<number | undefined> => {
      const { nextShardId } = registry;
      this.#loadsBeginning++;
      try {
        const isBegun = await this.#meta.propose(
          this.#meta.commands.beginLoad(name, table, lastIndex, this.#loader),
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
    // Only a table that has applied every committed entry shows how far the name has come (T1).
    await old.confirmRead(deadlineMs);
    const earlier = registry.loadingOf(name);
    if (earlier?.switching !== undefined) {
      if (!(await this.#finishSwitch(earlier, earlier.switching, deadlineMs))) throw errors.notReady();
      return undefined;
    }
    // T1: the base is above every index and every revision that the name ever had.
    return await begin(Math.max(old.raft.lastIndex, old.table.leaderIndex ?? 0, table.base));
  }

  async #openLoad({ name, shardId, isRestore, cloneId }: OpenedLoad, call: Call): Promise<ShardLoad> {
    const replica = this.#replicas.get(shardId);
    try {
      // Never the shard that the name has by now: two loaders would fill it together.
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
        this.#unlessReplaced(name, shardId, () => this.#propose(replica, kind, command, deadlineMs)),
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

  /**
   * Whether another load, a deletion or a creation took the place of the shard, so that nothing in it counts any more.
   */
  #isReplaced(name: string, shardId: number): boolean {
    const { registry } = this.#meta;
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

  /**
   * Gives the name to the shard. Resolves to false when the old shard was no longer at `ifCursor`. Throws
   * `loadReplaced`.
   */
  async #switchTo(
    { name, shardId, cloneId }: Pick<OpenedLoad, 'name' | 'shardId' | 'cloneId'>,
    loaded: Switching,
    deadlineMs: number,
  ): Promise<boolean> {
    await this.#meta.confirmRead(deadlineMs);
    // An earlier attempt may have taken effect although nobody heard of it.
    if (this.#meta.registry.table(name)?.shardId === shardId) return true;
    const shard = this.#meta.registry.loadingOf(name);
    if (shard?.shardId !== shardId) throw errors.loadReplaced();
    // A clone may have begun or ended since the load began.
    if (shard.switching === undefined) this.#clone.checkWrite(cloneId);
    if (this.#meta.registry.table(name) === undefined) return await this.#makeOf(shard, loaded, deadlineMs);
    if (shard.switching === undefined) {
      await afterEffect(this.#meta.propose(this.#meta.commands.beginSwitch(shard, loaded), deadlineMs));
    }
    const begun = this.#meta.registry.loadingOf(name);
    if (begun?.shardId === shardId && begun.switching !== undefined) {
      const isDone = await afterEffect(this.#finishSwitch(begun, begun.switching, deadlineMs));
      // The switch did not depend on a cursor, so the table was sealed for its deletion before.
      if (!isDone && begun.switching.ifCursor === null) throw errors.loadReplaced();
      return isDone;
    }
    if (this.#meta.registry.table(name)?.shardId === shardId) return true;
    throw errors.loadReplaced();
  }

  /**
   * Makes the table of a name that has none. There is nothing to seal: the table exists from one entry of the registry
   * on, unless another one was made meanwhile.
   */
  async #makeOf(shard: LoadingShard, { loadedIndex }: Switching, deadlineMs: number): Promise<boolean> {
    const { name, shardId } = shard;
    await this.#meta.propose(this.#meta.commands.finishSwitch(undefined, shard, loadedIndex), deadlineMs);
    if (this.#meta.registry.table(name)?.shardId !== shardId) throw errors.loadReplaced();
    return true;
  }

  /**
   * Seals the old shard, and then gives the name to the new one (T2). The registry names the new shard before the seal
   * does, and that cannot change any more. So any node that finds the switch half done can complete it, and no load can
   * take the place of a shard that a seal may name already. Resolves to false when the old shard had left the cursor,
   * and keeps the name.
   */
  async #finishSwitch(shard: LoadingShard, switching: Switching, deadlineMs: number): Promise<boolean> {
    const { name, shardId } = shard;
    const table = this.#meta.registry.table(name);
    // Not the shard to which requests go: that one follows the registry a little later, and another shard must not be
    // sealed.
    const old = table && this.#replicas.get(table.shardId);
    if (table === undefined || old === undefined) return false;
    // A shard that was sealed by itself would never serve again, and nobody could take its place.
    assert(table.shardId !== shardId, `shard ${shardId} has the name ${name} already`);
    const { hasStaleCursor, sealedBy: sealed } = await this.#propose(
      old,
      CommandKind.Seal,
      sealedBy(shardId),
      deadlineMs,
      switching.ifCursor ?? undefined,
    );
    if (sealed !== undefined && sealed !== shardId) return false;
    // A shard that was sealed before is at the cursor at which it was sealed.
    if (hasStaleCursor && sealed === undefined) {
      await this.#meta.propose(this.#meta.commands.abandonLoad(shard), deadlineMs);
      return false;
    }
    await this.#meta.propose(
      this.#meta.commands.finishSwitch(table, shard, switching.loadedIndex),
      deadlineMs,
    );
    return this.#meta.registry.table(name)?.shardId === shardId;
  }

  async #abandon(name: string, shardId: number, deadlineMs: number): Promise<void> {
    const shard = this.#meta.registry.loadingOf(name);
    if (shard?.shardId !== shardId || shard.switching !== undefined) return;
    await this.#meta.propose(this.#meta.commands.abandonLoad(shard), deadlineMs);
  }

  /**
   * Called from time to time: completes switches that were begun, and gives up loads that nobody fills any more. The
   * leader of the old shard does it, or that of the new shard where there is no old one. A node sees to its own loads
   * at once: to those of its earlier boots, and to one that was begun although nobody heard of it, or whose loader
   * failed to give it up.
   */
  async finishSwitches(): Promise<void> {
    const clock = this.#clock;
    const known = new Set<GroupId>();
    for (const { name } of [...this.#meta.registry.loading()]) {
      // The load may have changed in any way while the one before it was completed.
      const shard = this.#meta.registry.loadingOf(name);
      if (shard === undefined) continue;
      const { shardId, switching, loader } = shard;
      const deadlineMs = clock.monotonicMs() + OWN_PROPOSAL_MS;
      const isAbandoned =
        loader?.node === this.#loader.node &&
        (loader.boot !== this.#loader.boot || (this.#loadsBeginning === 0 && !this.#filling.has(shardId)));
      const leads = (this.#directory.get(name) ?? this.#replicas.get(shardId))?.isLeader ?? false;
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
    const nowMs = this.#clock.monotonicMs();
    const seen = this.#loadProgress.get(shardId);
    if (seen?.appliedIndex !== appliedIndex) {
      this.#loadProgress.set(shardId, { appliedIndex, sinceMs: nowMs });
      return false;
    }
    const isHere = loader === undefined || loader.node === this.#loader.node;
    const isReachable = isHere || this.#liveness.isAlive(loader.node);
    return nowMs - seen.sinceMs >= (isReachable ? LOAD_SILENCE_MS : LOADER_GONE_MS);
  }
}

/** Counts the live keys of a replica. Throws `notReady` when the table cannot be read for the moment. */
async function countKeys({ table }: Replica): Promise<number> {
  try {
    return await table.countKeys();
  } catch (error) {
    throw tableApiError(error);
  }
}
