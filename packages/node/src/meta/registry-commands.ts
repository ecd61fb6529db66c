import type { mvcc } from '@coxswain/protocol';
import type { NodeId } from '@coxswain/raft';
import type { MemberState } from '../api/member-control.js';
import type { MemberInfo } from '../api/reports-api.js';
import { type Genesis, genesisText } from '../cluster/identity.js';
import {
  type ClusterChange,
  LEADER_CLUSTER,
  type Loader,
  type LoadingRecord,
  type QuarantineRecord,
  type ReplicationRecord,
  type RetiredName,
  records,
  type Switching,
  single,
  type TableRecord,
  type UnfinishedClone,
} from './records.js';
import {
  type LoadingShard,
  NO_HOLD,
  type QuarantinedTable,
  type RegisteredTable,
  type Registry,
  type ReplicationHold,
} from './registry.js';
import { BASE_STEP, FIRST_TABLE_SHARD } from './shards.js';
import { modRevisionIs, transaction, versionIs } from './transaction.js';

/** The limit of the shards whose archived indices one entry records. */
const REPORTED_AT_ONCE_MAX = 1000;

/**
 * Makes the commands that change the registry. Each compares the state of the registry at the time at which it was
 * made, and has no effect if that has changed since.
 */
export class RegistryCommands {
  readonly #registry: Registry;

  constructor(registry: Registry) {
    this.#registry = registry;
  }

  /** Makes the meta group's first command: the genesis, and the tables that exist from the start. */
  writeGenesis(genesis: Genesis, role: 'leader' | 'follower', tableNames: readonly string[]): mvcc.Command {
    const success = [
      single.genesis.put(genesisText(genesis)),
      single.cluster.put({ ...LEADER_CLUSTER, role }),
    ];
    let shardId = FIRST_TABLE_SHARD;
    for (const name of tableNames) {
      const record: TableRecord = { shardId: shardId++, base: 0, config: null };
      success.push(records.tables.put(name, record));
    }
    success.push(single.nextShard.put(shardId));
    return transaction([versionIs(single.genesis.key, 0)], success);
  }

  /**
   * Registers a table under the next shard id, and forgets a load of that name: the load was meant to make the table,
   * and must not replace the writes that the table takes from now on. Has no effect when the name is taken, when a load
   * of it was begun meanwhile, or when another creation took the id first; then the caller reads again and tries again.
   */
  createTable(
    name: string,
    config: Record<string, unknown> | undefined,
    isReplicated: boolean,
  ): mvcc.Command {
    const lastIndex = this.#registry.lastIndexOf(name);
    const record: TableRecord = {
      shardId: this.#registry.nextShardId,
      base: lastIndex === undefined ? 0 : lastIndex + BASE_STEP,
      config: config ?? null,
      isReplicated,
    };
    const loadingKey = records.loading.key(name);
    const loading = this.#registry.loadingOf(name);
    return transaction(
      [
        versionIs(records.tables.key(name), 0),
        modRevisionIs(loadingKey, loading?.modRevision ?? 0),
        versionIs(single.nextShard.key, this.#registry.nextShardVersion),
        // Whether a table follows another cluster's depends on the role of this cluster (R5).
        versionIs(single.cluster.key, this.#registry.clusterVersion),
        this.#cloneIsTheSame(),
      ],
      [
        records.tables.put(name, record),
        single.nextShard.put(this.#registry.nextShardId + 1),
        ...(loading === undefined ? [] : [records.loading.remove(name)]),
      ],
    );
  }

  /**
   * Removes exactly the registration that was read, and keeps the name's last index (T1). A table of a follower cluster
   * goes into quarantine until `keptUntilMs` (R4).
   */
  deleteTable(table: RegisteredTable, lastIndex: number, keptUntilMs: number): mvcc.Command {
    const { name, shardId, base, loadedIndex } = table;
    const retired: RetiredName = { lastIndex };
    const success = [
      records.tables.remove(name),
      records.loading.remove(name),
      records.replication.remove(name),
      records.archived.remove(shardId),
      records.names.put(name, retired),
    ];
    if (table.isReplicated) {
      const kept: QuarantineRecord = { name, base, loadedIndex, untilMs: keptUntilMs };
      success.push(records.quarantine.put(shardId, kept));
    }
    return transaction([modRevisionIs(records.tables.key(name), table.modRevision)], success);
  }

  /** Ends the quarantine of a table. */
  endQuarantine({ shardId }: QuarantinedTable): mvcc.Command {
    return transaction([], [records.quarantine.remove(shardId)]);
  }

  /**
   * Gives the next shard id to a shard that will take over the table's name, or make the table if there is none, and
   * forgets one that was begun earlier. `lastIndex` is the last index that the name ever had; undefined when it had
   * none. Has no effect when the table has changed, when the switch to an earlier shard has begun, or when the id was
   * taken.
   */
  beginLoad(
    name: string,
    table: RegisteredTable | undefined,
    lastIndex: number | undefined,
    loader: Loader,
  ): mvcc.Command {
    const key = records.loading.key(name);
    const earlier = this.#registry.loadingOf(name);
    const lastIndices = [lastIndex, earlier?.base].filter((index) => index !== undefined);
    const record: LoadingRecord = {
      shardId: this.#registry.nextShardId,
      base: lastIndices.length === 0 ? 0 : Math.max(...lastIndices) + BASE_STEP,
      isReplicated: table?.isReplicated === true && this.#registry.role === 'follower',
      loader,
      switching: null,
    };
    return transaction(
      [
        modRevisionIs(records.tables.key(name), table?.modRevision ?? 0),
        modRevisionIs(key, earlier?.modRevision ?? 0),
        versionIs(single.nextShard.key, this.#registry.nextShardVersion),
        versionIs(single.cluster.key, this.#registry.clusterVersion),
      ],
      [records.loading.put(name, record), single.nextShard.put(this.#registry.nextShardId + 1)],
    );
  }

  /**
   * Begins the switch: from then on the shard takes over the name, and any node may complete it. Has no effect when
   * another load has taken the shard's place.
   */
  beginSwitch(shard: LoadingShard, switching: Switching): mvcc.Command {
    const { name, modRevision, ...record } = shard;
    const key = records.loading.key(name);
    return transaction(
      [modRevisionIs(key, modRevision), this.#cloneIsTheSame()],
      [records.loading.put(name, { ...record, switching })],
    );
  }

  /**
   * Completes the switch: gives the name to the new shard, and ends every hold of its replication. The old shard is
   * sealed; without one, has no effect when a table of that name was made meanwhile.
   */
  finishSwitch(table: RegisteredTable | undefined, shard: LoadingShard, loadedIndex: number): mvcc.Command {
    const { name, shardId, base, isReplicated } = shard;
    const config = table?.config ?? null;
    const record: TableRecord = { shardId, base, config, isReplicated, loadedIndex };
    return transaction(
      [
        modRevisionIs(records.tables.key(name), table?.modRevision ?? 0),
        modRevisionIs(records.loading.key(name), shard.modRevision),
        // Once a seal names the shard, nothing may keep it from taking over (T2).
        ...(table === undefined ? [this.#cloneIsTheSame()] : []),
      ],
      [
        records.tables.put(name, record),
        records.loading.remove(name),
        records.replication.remove(name),
        ...(table === undefined ? [] : [records.archived.remove(table.shardId)]),
      ],
    );
  }

  /** Forgets a load. Has no effect when its record has changed. */
  abandonLoad(shard: LoadingShard): mvcc.Command {
    const key = records.loading.key(shard.name);
    return transaction([modRevisionIs(key, shard.modRevision)], [records.loading.remove(shard.name)]);
  }

  /**
   * Records why the replication of these tables is held up, together with `change` of the cluster's record. Has no
   * effect when one of the tables, or its hold, has changed since it was read: a late stop would undo a reset, or
   * outlive its table.
   */
  writeHolds(
    tables: readonly RegisteredTable[],
    { stopped, isResetWanted }: ReplicationHold,
    change?: ClusterChange,
  ): mvcc.Command {
    const record: ReplicationRecord = { stopped: stopped ?? null, isResetWanted };
    const compare = tables.flatMap(({ name, modRevision }) => [
      modRevisionIs(records.tables.key(name), modRevision),
      modRevisionIs(records.replication.key(name), this.#registry.holdRevisionOf(name)),
    ]);
    const success = tables.map(({ name }) => records.replication.put(name, record));
    if (change !== undefined) {
      compare.push(versionIs(single.cluster.key, this.#registry.clusterVersion));
      success.push(single.cluster.put({ ...this.#registry.cluster, ...change }));
    }
    return transaction(compare, success);
  }

  /** Changes the cluster's record. Has no effect when it has changed since it was read. */
  writeCluster(change: ClusterChange): mvcc.Command {
    return this.writeHolds([], NO_HOLD, change);
  }

  /**
   * Records up to which index the archive has the logs of these shards, for at most `REPORTED_AT_ONCE_MAX` shards whose
   * index is higher than the recorded one. Returns undefined when there is none. Has no effect when one of the tables
   * has another shard by now, or when the index of one of the shards was recorded meanwhile.
   */
  writeArchived(indices: ReadonlyMap<number, number>): mvcc.Command | undefined {
    const compare: mvcc.Compare[] = [];
    const success: mvcc.RequestOp[] = [];
    for (const { name, shardId, modRevision } of this.#registry.tables()) {
      const index = indices.get(shardId) ?? 0;
      if (index <= this.#registry.archivedIndex(shardId)) continue;
      const key = records.archived.key(shardId);
      compare.push(modRevisionIs(records.tables.key(name), modRevision));
      compare.push(modRevisionIs(key, this.#registry.archivedRevisionOf(shardId)));
      success.push(records.archived.put(shardId, index));
      if (success.length === REPORTED_AT_ONCE_MAX) break;
    }
    return success.length === 0 ? undefined : transaction(compare, success);
  }

  /** Records the state in which an operator wants a member to be. Has no effect when it was recorded anew meanwhile. */
  writeState(id: NodeId, state: MemberState): mvcc.Command {
    const key = records.states.key(id);
    return transaction(
      [modRevisionIs(key, this.#registry.stateRevisionOf(id))],
      [records.states.put(id, state)],
    );
  }

  /**
   * Records the clone that has not succeeded, in the place of the one that was read; with undefined, removes that
   * record. Has no effect when it has changed.
   */
  writeClone(clone: UnfinishedClone | undefined): mvcc.Command {
    const compare = [this.#cloneIsTheSame()];
    // The cluster's role may change meanwhile, and only a leader cluster is filled by a clone (R5).
    if (clone !== undefined) compare.push(versionIs(single.cluster.key, this.#registry.clusterVersion));
    return transaction(compare, [clone === undefined ? single.clone.remove() : single.clone.put(clone)]);
  }

  /** Compares the clone that has not succeeded, on which it depends who may make tables (T2). */
  #cloneIsTheSame(): mvcc.Compare {
    return modRevisionIs(single.clone.key, this.#registry.clone?.modRevision ?? 0);
  }

  /** Records how to reach a member. */
  writeMember(member: MemberInfo): mvcc.Command {
    return transaction([], [records.members.put(member.id, member)]);
  }
}
