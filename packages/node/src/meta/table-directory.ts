import { type Clock, Waiters } from '@coxswain/runtime';
import type { GroupId } from '@coxswain/wal';
import type { Call } from '../api/call.js';
import { errors } from '../api/errors.js';
import type { TableInfo } from '../api/tables-api.js';
import type { WatchedTable } from '../cluster/change-log.js';
import { DataDirectoryError } from '../cluster/identity.js';
import type { Peers } from '../cluster/peers.js';
import type { Replica } from '../group/replica.js';
import type { Replicas } from '../group/replicas.js';
import type { ClusterSettings } from './cluster-settings.js';
import { compareNames } from './compare-names.js';
import type { MetaGroup } from './meta-group.js';
import { META_SHARD, WOLF_SHARD } from './shards.js';

/** The parts of a node that TableDirectory uses. */
export interface TableDirectoryOptions {
  readonly clock: Clock;
  readonly replicas: Replicas;
  readonly peers: Peers;
  readonly settings: ClusterSettings;
  /** The name of the table that is replicated over wolf.raft, outside of the registry; undefined when there is none. */
  readonly wolfTable: string | undefined;
  readonly isStopping: () => boolean;
  /** Called when this data must not be used as the node was started. */
  readonly onRefused: (error: DataDirectoryError) => void;
  /** Called when the registry has changed. */
  readonly onChanged: () => void;
}

/** A shard that this node hosts. */
interface HostedShard {
  readonly shardId: number;
  readonly base: number;
  readonly isReplicated: boolean;
  readonly loadedIndex?: number;
}

/** Finds the replicas of this node by the names of their tables, as of the meta group's applied index here. */
export class TableDirectory {
  readonly #meta: MetaGroup;
  readonly #context: TableDirectoryOptions;
  readonly #replicas: Replicas;
  #byName = new Map<string, Replica>();
  /** The replicas in quarantine, by the names under which they can be read (R4). */
  #quarantined = new Map<string, Replica>();
  /** Notified after each change of the registry. */
  readonly changes: Waiters;
  /** The deleted shards, with the index of the meta group at which this node learned of each deletion (T2). */
  readonly #retired = new Map<GroupId, number>();
  /** The index of the meta group up to which the registry has at least followed it. */
  #followedIndex = 0;
  #hasFollowed = false;
  #followed: Promise<void> = Promise.resolve();

  constructor(meta: MetaGroup, options: TableDirectoryOptions) {
    this.#meta = meta;
    this.#context = options;
    this.#replicas = options.replicas;
    this.changes = new Waiters(options.clock);
  }

  get #wolfTable(): string | undefined {
    return this.#context.wolfTable;
  }

  /** Throws `replicatedElsewhere` for the table over wolf.raft, which no registry governs. */
  checkRegistered(name: string): void {
    if (name === this.#wolfTable) throw errors.replicatedElsewhere(name);
  }

  /** Gives the names of the tables on this node. */
  names(): IterableIterator<string> {
    return this.#byName.keys();
  }

  /** Gives the replica of a table; undefined when the table does not exist as far as this node knows. */
  get(name: string): Replica | undefined {
    return this.#byName.get(name);
  }

  /** Gives the replica of a table in quarantine, by the name `quarantine/<shard id>/<name>` (R4). */
  quarantined(name: string): Replica | undefined {
    return this.#quarantined.get(name);
  }

  /**
   * Waits after `from`, a shard that served the table, was sealed or dropped here: resolves when another shard has the
   * name here (T2). The deletion of a shard proves nothing about the table, which may have been made again elsewhere:
   * only the meta group, asked now, knows that it does not exist (T5). Throws `tableNotFound`, and `timeout`,
   * `notReady` or `shuttingDown` when nothing was done.
   */
  async moved(name: string, from: Replica, call: Call): Promise<void> {
    if (this.#hasSuccessor(name, from)) return;
    const sealedBy = from.hasTable ? from.table.sealedBy : undefined;
    if (sealedBy === undefined && !from.isClosed) throw errors.notReady();
    if (sealedBy === undefined || sealedBy === 0) {
      await this.#meta.confirmRead(call.deadlineMs);
      if (!this.#hasSuccessor(name, from)) throw errors.tableNotFound();
      return;
    }
    const isOver = () => this.#byName.get(name) !== from || this.#context.isStopping();
    const waitMs = call.deadlineMs - this.#context.clock.monotonicMs();
    if (!(await this.changes.until(isOver, waitMs))) throw errors.timeout();
    if (this.#context.isStopping()) throw errors.shuttingDown();
  }

  /** Whether another shard has the name by now (T2). */
  #hasSuccessor(name: string, replica: Replica): boolean {
    const current = this.#byName.get(name);
    return current !== undefined && current !== replica;
  }

  /**
   * Gives the replica that serves the table. Throws `tableNotFound` only after asking the meta group, which alone knows
   * that a table does not exist (T5); requests share its ReadIndex rounds.
   */
  async find(name: string, call: Call): Promise<Replica> {
    const known = this.#byName.get(name) ?? this.#quarantined.get(name);
    if (known !== undefined) return known;
    await this.#meta.confirmRead(call.deadlineMs);
    const replica = this.#byName.get(name);
    if (replica === undefined) throw errors.tableNotFound();
    return replica;
  }

  /** Gives the tables by name, for the ChangeLog; undefined while this node has not read the registry. */
  watched(): ReadonlyMap<string, WatchedTable> | undefined {
    return this.#hasFollowed ? this.#byName : undefined;
  }

  /** Gives the replicas of all tables, sorted by name. */
  replicas(): Replica[] {
    return this.named().flatMap(({ name }) => this.#byName.get(name) ?? []);
  }

  /** Gives the registry's tables and the one that is replicated over wolf.raft, sorted by name. */
  named(): readonly TableInfo[] {
    const tables = this.#meta.registry.tables();
    const name = this.#wolfTable;
    return name === undefined
      ? tables
      : [...tables, { name, shardId: WOLF_SHARD, config: undefined }].sort(compareNames);
  }

  /**
   * Gives the index of the first entry of a log that the archive may still need; undefined when the archive needs none,
   * because the log belongs to no table that is archived here.
   */
  unarchivedFrom(replica: Replica): number | undefined {
    const { group, name } = replica;
    if (group === META_SHARD || group === WOLF_SHARD) return undefined;
    // Before the registry is read, it is unknown whose log this is and how far it is archived.
    if (!this.#hasFollowed) return 0;
    if (name === undefined || this.#byName.get(name) !== replica) return undefined;
    // The tables of another cluster are archived there.
    if (this.#meta.registry.role !== 'leader') return undefined;
    // The content of a load is archived with a base (T2).
    return Math.max(this.#meta.registry.archivedIndex(group), replica.loadedIndex) + 1;
  }

  /** The index up to which this node has applied the meta group and made its replicas agree with it. */
  get metaApplied(): number {
    const meta = this.#meta.known;
    return meta?.hasTable ? Math.min(meta.table.appliedIndex, this.#followedIndex) : 0;
  }

  /**
   * Makes the replicas on this node agree with the registry. Runs after each apply of the meta group, one run at a
   * time, since it makes and opens stores.
   */
  follow(): Promise<void> {
    // A run that met a damaged table (D4) has rejected for its own caller; the next one begins anew.
    this.#followed = this.#followed.catch(() => undefined).then(() => this.#followRegistry());
    return this.#followed;
  }

  async #followRegistry(): Promise<void> {
    const meta = this.#meta.replica();
    // The table may be long out of date, or hold half an entry (A4): the registry is read when the log has applied the
    // rest.
    if (!meta.isWhole) return;
    const { appliedIndex } = meta.table;
    await this.#meta.registry.follow(meta.table);
    this.#context.settings.checkStartedAs();
    const existing = new Set<Replica>();
    const make = async (shard: HostedShard, name: string): Promise<Replica> => {
      const { shardId, base, isReplicated } = shard;
      const membership = this.#meta.membership();
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
      // Most replicas exist already, and there may be thousands, so a promise is made only for those that do not.
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
      hostAll(this.#meta.registry.tables(), ({ name }) => name),
      hostAll(
        [...this.#meta.registry.quarantined()].map((shard) => ({ ...shard, isReplicated: true })),
        ({ shardId, name }) => `quarantine/${shardId}/${name}`,
      ),
      hostAll(this.#meta.registry.loading(), ({ shardId, name }) => `loading/${shardId}/${name}`),
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
    // A reader that waits for entries in the old shard's log would wait in vain.
    for (const [, replica] of replaced) replica.changes.notify();
    this.#followedIndex = appliedIndex;
    this.#context.onChanged();
  }

  #addWolf(byName: Map<string, Replica>, existing: Set<Replica>): void {
    const replica = this.#replicas.get(WOLF_SHARD);
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

  /**
   * Drops the deleted shards whose deletion every member has applied: until then a shard can still be asked to seal
   * (T2).
   */
  async dropRetired(): Promise<void> {
    const meta = this.#meta.known;
    if (meta === undefined || !meta.hasTable) return;
    const lowest = this.#context.peers.lowestMetaApplied;
    for (const [group, index] of this.#retired) {
      if (index > lowest) continue;
      if (index > meta.table.checkpointIndex) {
        // A crash may take the registry back to before the deletion (D4). The group, gone from the log for good, would
        // then be made anew, empty, and serve until the deletion is applied again.
        if (!meta.table.isCheckpointing) await this.#replicas.tend(meta, (table) => table.checkpoint());
        continue;
      }
      const replica = this.#replicas.get(group);
      if (replica !== undefined && replica.holders.size > 0) continue;
      this.#retired.delete(group);
      if (replica !== undefined) await this.#replicas.drop(replica);
    }
  }
}
