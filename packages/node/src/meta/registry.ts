import { mvcc } from '@coxswain/protocol';
import type { NodeId } from '@coxswain/raft';
import type { RangePage, RangeQuery, Table, TableView } from '@coxswain/table';
import { Packr } from 'msgpackr';
import type { ClusterRole } from '../api/cluster-api.js';
import type { MemberState } from '../api/member-control.js';
import type { MemberInfo } from '../api/reports-api.js';
import type { TableInfo } from '../api/tables-api.js';
import { type Genesis, genesisText } from '../cluster/identity.js';

/** The meta group's shard id (ARCHITECTURE.md, "Groups"). */
export const META_SHARD = 1000;
/** The group of the table that is replicated over wolf.raft; the registry's shards begin at 10001. */
export const WOLF_SHARD = 1001;
const FIRST_TABLE_SHARD = 10_001;

/**
 * A shard that takes over a table's name starts its log this far above the last index that the name ever
 * had, so that no old cursor and no old compare can match by accident (T1).
 */
const BASE_STEP = 1_000_000_000;

/** Shards of which one entry tells how far they are archived. */
const REPORTED_AT_ONCE_MAX = 1000;

/**
 * The meta group is a table like any other, with a reserved id: its commands are transactions with version
 * and revision compares, so that it shares apply, snapshots, checkpoints and hashes with every table.
 *
 * | key | value (msgpack) |
 * | --- | --- |
 * | genesis | the text whose hash is the cluster's id (T4) |
 * | next-shard | the next shard id; ids are never reused |
 * | tables/NAME | TableRecord |
 * | names/NAME | RetiredName: what a deleted table leaves behind (T1) |
 * | members/ID | MemberInfo, as the member last told it |
 * | cluster | ClusterRecord: what the cluster is to others (R5). Absent: a leader cluster |
 * | loading/NAME | LoadingRecord: the shard that is being filled to take over the name (T2), also of a table that does not exist yet |
 * | replication/NAME | ReplicationRecord: what holds the table's replication up. Absent: nothing |
 * | quarantine/SHARD | QuarantineRecord: a table that the leader cluster had no more (R4) |
 * | clone | UnfinishedClone: the clone that fills the cluster, or was meant to. Absent: none was begun, it succeeded, or it was forgotten |
 * | archived/SHARD | the index up to which the archive has the log of a table's shard; goes with the shard. Absent: 0 |
 * | states/ID | MemberState: what an operator wants of a member. Absent: online |
 */
const GENESIS_KEY = Buffer.from('genesis');
const NEXT_SHARD_KEY = Buffer.from('next-shard');
const TABLES_PREFIX = 'tables/';
const NAMES_PREFIX = 'names/';
const MEMBERS_PREFIX = 'members/';
const CLUSTER_KEY = Buffer.from('cluster');
const LOADING_PREFIX = 'loading/';
const REPLICATION_PREFIX = 'replication/';
const QUARANTINE_PREFIX = 'quarantine/';
const ARCHIVED_PREFIX = 'archived/';
const STATES_PREFIX = 'states/';
const CLONE_KEY = Buffer.from('clone');

const packr = new Packr({ useRecords: false });

/** The order in which tables are told. */
export function compareNames(a: { readonly name: string }, b: { readonly name: string }): number {
  if (hasOtherOrder.test(a.name) || hasOtherOrder.test(b.name))
    return Buffer.compare(Buffer.from(a.name), Buffer.from(b.name));
  return a.name < b.name ? -1 : a.name > b.name ? 1 : 0;
}

/** UTF-16, in which JavaScript compares, has these in another order than UTF-8 has them. */
const hasOtherOrder = /[\ud800-\uffff]/;

interface TableRecord {
  readonly shardId: number;
  /** The log of the shard starts behind this index. */
  readonly base: number;
  readonly config: Record<string, unknown> | null;
  /** Follows the leader cluster's table of that name. Absent in older data: false. */
  readonly isReplicated?: boolean;
  /** The entry that ended the shard's load: what it held before was no state of the table. Absent: it was not loaded. */
  readonly loadedIndex?: number;
}

interface ClusterRecord {
  readonly role: ClusterRole;
  /** It was a follower cluster once. */
  readonly wasPromoted: boolean;
  /** Null while none was met; empty for a leader cluster that tells no id (R4). */
  readonly leaderClusterId: string | null;
}

type ClusterChange = Partial<ClusterRecord>;

/** How a whole shard takes over. */
export interface Switching {
  /** The entry that ended its load. */
  readonly loadedIndex: number;
  /** Only when the old shard is at that cursor. */
  readonly ifCursor: number | null;
}

/** The process that fills a shard. */
export interface Loader {
  readonly node: NodeId;
  /** Hex. */
  readonly boot: string;
}

/** A clone of another cluster that was begun and has not succeeded. */
export interface UnfinishedClone {
  /** Random: no other clone has it. */
  readonly id: string;
  /** The process that fills the cluster. */
  readonly filler: Loader;
  /** The address of the cluster that is cloned. */
  readonly donor: string;
  /** Why it failed; null: it goes on, or its node has died and nobody has said so yet. */
  readonly error: string | null;
}

/** As the registry has it. */
export interface RegisteredClone extends UnfinishedClone {
  /** The entry of the meta group that wrote it. */
  readonly modRevision: number;
}

interface LoadingRecord {
  readonly shardId: number;
  readonly base: number;
  readonly isReplicated: boolean;
  /** Absent in older data. */
  readonly loader?: Loader;
  /** Set once the shard is whole: from then on the switch is carried to its end, by anybody (T2). */
  readonly switching: Switching | null;
}

interface ReplicationRecord {
  readonly stopped: string | null;
  readonly isResetWanted: boolean;
}

interface QuarantineRecord {
  readonly name: string;
  readonly base: number;
  /** As in TableRecord. */
  readonly loadedIndex?: number;
  /** Wall time, as the node told that wrote it. */
  readonly untilMs: number;
}

interface RetiredName {
  readonly lastIndex: number;
}

export interface RegisteredTable extends TableInfo {
  readonly base: number;
  readonly isReplicated: boolean;
  readonly loadedIndex: number;
  /** The revision in which the record was written: compared when it is deleted. */
  readonly modRevision: number;
}

/** A shard that is being filled to take over a table's name (T2). */
export interface LoadingShard {
  readonly name: string;
  readonly shardId: number;
  readonly base: number;
  readonly isReplicated: boolean;
  readonly loader?: Loader;
  readonly switching: Switching | undefined;
  readonly modRevision: number;
}

/** A table that the leader cluster had no more, and whose data is kept for a while (R4). */
export interface QuarantinedTable {
  readonly name: string;
  readonly shardId: number;
  readonly base: number;
  readonly loadedIndex?: number;
  readonly untilMs: number;
}

/** How far the archive has a shard's log. */
interface Archived {
  readonly index: number;
  readonly modRevision: number;
}

/** What an operator wants of a member. */
interface KeptState {
  readonly state: MemberState;
  readonly modRevision: number;
}

/** What holds a table's replication up. */
export interface ReplicationHold {
  readonly stopped: string | undefined;
  readonly isResetWanted: boolean;
}

const NO_HOLD: ReplicationHold = { stopped: undefined, isResetWanted: false };

/** What the meta group says, as of its applied index. Follows it after every apply. */
export class Registry {
  /** The revision that it is of, and how many keys the meta group has there; undefined: it has read nothing. */
  #read: { readonly revision: number; readonly keyCount: number } | undefined;
  #tables = new Map<string, RegisteredTable>();
  /** The tables by name, once somebody has asked. */
  #sorted: readonly RegisteredTable[] | undefined;
  #members = new Map<NodeId, MemberInfo>();
  #nextShard = FIRST_TABLE_SHARD;
  #nextShardVersion = 0;
  #genesis: string | undefined;
  #retired = new Map<string, number>();
  #loading = new Map<string, LoadingShard>();
  #holds = new Map<string, ReplicationHold & { readonly modRevision: number }>();
  #quarantined = new Map<number, QuarantinedTable>();
  #archived = new Map<number, Archived>();
  #states = new Map<NodeId, KeptState>();
  #clone: RegisteredClone | undefined;
  #cluster: ClusterRecord = LEADER_CLUSTER;
  #clusterVersion = 0;

  /**
   * Reads what has changed; all of it where that is not known, or where keys are gone: then there are fewer than were known
   * and have come since.
   */
  async follow(meta: Table): Promise<void> {
    const view = meta.view();
    try {
      const { revision, keyCount } = view;
      const changed = await this.#changes(view);
      // Until it is taken in, nobody knows what of it is.
      this.#read = undefined;
      await this.#takeIn(changed ?? view.pages(changedSince(0)), changed !== undefined);
      if (keyCount !== undefined) this.#read = { revision, keyCount };
    } finally {
      view.close();
    }
  }

  /** What was written since the last look; undefined: that does not tell all. */
  async #changes(view: TableView): Promise<RangePage[] | undefined> {
    const read = this.#read;
    if (read === undefined || view.revision < read.revision) return undefined;
    const pages: RangePage[] = [];
    let newCount = 0;
    for await (const page of view.pages(changedSince(read.revision))) {
      pages.push(page);
      newCount += page.records.filter(({ createRevision }) => createRevision > read.revision).length;
    }
    return read.keyCount + newCount === view.keyCount ? pages : undefined;
  }

  async #takeIn(pages: Iterable<RangePage> | AsyncIterable<RangePage>, isAddition: boolean): Promise<void> {
    const kept = <Key, Value>(map: Map<Key, Value>): Map<Key, Value> =>
      isAddition ? new Map(map) : new Map<Key, Value>();
    const tables = kept(this.#tables);
    const members = kept(this.#members);
    const retired = kept(this.#retired);
    const loading = kept(this.#loading);
    const holds = kept(this.#holds);
    const quarantined = kept(this.#quarantined);
    const archived = kept(this.#archived);
    const states = kept(this.#states);
    let clone = isAddition ? this.#clone : undefined;
    for await (const page of pages) {
      for (const record of page.records) {
        const key = record.key.toString('utf8');
        if (key.startsWith(TABLES_PREFIX)) {
          const name = key.slice(TABLES_PREFIX.length);
          const { shardId, base, config, isReplicated, loadedIndex } = packr.unpack(
            record.value,
          ) as TableRecord;
          tables.set(name, {
            name,
            shardId,
            base,
            isReplicated: isReplicated ?? false,
            loadedIndex: loadedIndex ?? 0,
            config: config ?? undefined,
            modRevision: record.modRevision,
          });
        } else if (key.startsWith(NAMES_PREFIX)) {
          retired.set(key.slice(NAMES_PREFIX.length), (packr.unpack(record.value) as RetiredName).lastIndex);
        } else if (key.startsWith(MEMBERS_PREFIX)) {
          const member = packr.unpack(record.value) as MemberInfo;
          members.set(member.id, member);
        } else if (key.startsWith(LOADING_PREFIX)) {
          const name = key.slice(LOADING_PREFIX.length);
          const { switching, ...shard } = packr.unpack(record.value) as LoadingRecord;
          loading.set(name, {
            ...shard,
            name,
            switching: switching ?? undefined,
            modRevision: record.modRevision,
          });
        } else if (key.startsWith(REPLICATION_PREFIX)) {
          const { stopped, isResetWanted } = packr.unpack(record.value) as ReplicationRecord;
          const { modRevision } = record;
          const hold = { stopped: stopped ?? undefined, isResetWanted, modRevision };
          holds.set(key.slice(REPLICATION_PREFIX.length), hold);
        } else if (key.startsWith(QUARANTINE_PREFIX)) {
          const shardId = Number(key.slice(QUARANTINE_PREFIX.length));
          quarantined.set(shardId, { ...(packr.unpack(record.value) as QuarantineRecord), shardId });
        } else if (key.startsWith(ARCHIVED_PREFIX)) {
          const index = packr.unpack(record.value) as number;
          const { modRevision } = record;
          archived.set(Number(key.slice(ARCHIVED_PREFIX.length)), { index, modRevision });
        } else if (key.startsWith(STATES_PREFIX)) {
          const state = packr.unpack(record.value) as MemberState;
          const { modRevision } = record;
          states.set(Number(key.slice(STATES_PREFIX.length)), { state, modRevision });
        } else if (record.key.equals(CLONE_KEY)) {
          const { modRevision } = record;
          clone = { ...(packr.unpack(record.value) as UnfinishedClone), modRevision };
        } else if (record.key.equals(CLUSTER_KEY)) {
          this.#cluster = packr.unpack(record.value) as ClusterRecord;
          this.#clusterVersion = record.version;
        } else if (record.key.equals(NEXT_SHARD_KEY)) {
          this.#nextShard = packr.unpack(record.value) as number;
          this.#nextShardVersion = record.version;
        } else if (record.key.equals(GENESIS_KEY)) {
          this.#genesis = packr.unpack(record.value) as string;
        }
      }
    }
    this.#tables = tables;
    this.#sorted = undefined;
    this.#members = members;
    this.#retired = retired;
    this.#loading = loading;
    this.#holds = holds;
    this.#quarantined = quarantined;
    this.#archived = archived;
    this.#states = states;
    this.#clone = clone;
  }

  get role(): ClusterRole {
    return this.#cluster.role;
  }

  get wasPromoted(): boolean {
    return this.#cluster.wasPromoted;
  }

  get leaderClusterId(): string | undefined {
    return this.#cluster.leaderClusterId ?? undefined;
  }

  loading(): Iterable<LoadingShard> {
    return this.#loading.values();
  }

  loadingOf(name: string): LoadingShard | undefined {
    return this.#loading.get(name);
  }

  quarantined(): Iterable<QuarantinedTable> {
    return this.#quarantined.values();
  }

  holdOf(name: string): ReplicationHold {
    const { stopped, isResetWanted } = this.#holds.get(name) ?? NO_HOLD;
    return { stopped, isResetWanted };
  }

  /** What the next table or load gets. */
  get nextShardId(): number {
    return this.#nextShard;
  }

  get clone(): RegisteredClone | undefined {
    return this.#clone;
  }

  archivedIndex(shardId: number): number {
    return this.#archived.get(shardId)?.index ?? 0;
  }

  get hasGenesis(): boolean {
    return this.#genesis !== undefined;
  }

  table(name: string): RegisteredTable | undefined {
    return this.#tables.get(name);
  }

  /** Sorted by name in byte order, as the wire wants it. */
  tables(): readonly RegisteredTable[] {
    this.#sorted ??= [...this.#tables.values()].sort(compareNames);
    return this.#sorted;
  }

  /** With those that are being made from a load. */
  get tableCount(): number {
    let count = this.#tables.size;
    for (const name of this.#loading.keys()) if (!this.#tables.has(name)) count++;
    return count;
  }

  /** The last index that a deleted table of that name had (T1); undefined: there was none. */
  lastIndexOf(name: string): number | undefined {
    return this.#retired.get(name);
  }

  members(): MemberInfo[] {
    return [...this.#members.values()].sort((a, b) => a.id - b.id);
  }

  member(id: NodeId): MemberInfo | undefined {
    return this.#members.get(id);
  }

  stateOf(id: NodeId): MemberState {
    return this.#states.get(id)?.state ?? 'online';
  }

  /** A member is to be paused. Where the cluster is a follower cluster, nobody replicates then. */
  get isAnyPaused(): boolean {
    return [...this.#states.values()].some(({ state }) => state === 'pausing' || state === 'paused');
  }

  /** The meta group's first command: the genesis and the tables that exist from the start. */
  writeGenesis(genesis: Genesis, role: 'leader' | 'follower', tableNames: readonly string[]): mvcc.Command {
    const success = [put(GENESIS_KEY, genesisText(genesis)), put(CLUSTER_KEY, { ...LEADER_CLUSTER, role })];
    let shardId = FIRST_TABLE_SHARD;
    for (const name of tableNames) {
      const record: TableRecord = { shardId: shardId++, base: 0, config: null };
      success.push(put(tableKey(name), record));
    }
    success.push(put(NEXT_SHARD_KEY, shardId));
    return transaction([versionIs(GENESIS_KEY, 0)], success);
  }

  /**
   * Registers a table under the next shard id, and forgets a load of that name: what was meant to make the table must
   * not replace the writes that it takes from now on. Has no effect when the name is taken, when a load of it was
   * begun meanwhile, or when another creation took the id first: then the caller reads again and tries again.
   */
  createTable(
    name: string,
    config: Record<string, unknown> | undefined,
    isReplicated: boolean,
  ): mvcc.Command {
    const lastIndex = this.lastIndexOf(name);
    const record: TableRecord = {
      shardId: this.#nextShard,
      base: lastIndex === undefined ? 0 : lastIndex + BASE_STEP,
      config: config ?? null,
      isReplicated,
    };
    const loadingKey = keyOf(LOADING_PREFIX, name);
    const loading = this.#loading.get(name);
    return transaction(
      [
        versionIs(tableKey(name), 0),
        modRevisionIs(loadingKey, loading?.modRevision ?? 0),
        versionIs(NEXT_SHARD_KEY, this.#nextShardVersion),
        // Whether a table follows another cluster's depends on what this cluster is (R5).
        versionIs(CLUSTER_KEY, this.#clusterVersion),
        this.#cloneIsTheSame(),
      ],
      [
        put(tableKey(name), record),
        put(NEXT_SHARD_KEY, this.#nextShard + 1),
        ...(loading === undefined ? [] : [remove(loadingKey)]),
      ],
    );
  }

  /**
   * Removes exactly the registration that was read, and keeps the name's last index (T1). A table of a follower
   * cluster goes into quarantine until `keptUntilMs` (R4).
   */
  deleteTable(table: RegisteredTable, lastIndex: number, keptUntilMs: number): mvcc.Command {
    const { name, shardId, base, loadedIndex } = table;
    const retired: RetiredName = { lastIndex };
    const success = [
      remove(tableKey(name)),
      remove(keyOf(LOADING_PREFIX, name)),
      remove(keyOf(REPLICATION_PREFIX, name)),
      remove(archivedKey(shardId)),
      put(keyOf(NAMES_PREFIX, name), retired),
    ];
    if (table.isReplicated) {
      const kept: QuarantineRecord = { name, base, loadedIndex, untilMs: keptUntilMs };
      success.push(put(keyOf(QUARANTINE_PREFIX, String(shardId)), kept));
    }
    return transaction([modRevisionIs(tableKey(name), table.modRevision)], success);
  }

  endQuarantine({ shardId }: QuarantinedTable): mvcc.Command {
    return transaction([], [remove(keyOf(QUARANTINE_PREFIX, String(shardId)))]);
  }

  /**
   * Gives the next shard id to a shard that is to take over the table's name, or to make the table where there is none;
   * one that was begun earlier is forgotten. `lastIndex` is the last one that the name ever had; undefined: it had none.
   * Has no effect when the table has changed, when an earlier one is being switched to, or when the id was taken.
   */
  beginLoad(
    name: string,
    table: RegisteredTable | undefined,
    lastIndex: number | undefined,
    loader: Loader,
  ): mvcc.Command {
    const key = keyOf(LOADING_PREFIX, name);
    const earlier = this.#loading.get(name);
    const lastIndices = [lastIndex, earlier?.base].filter((index) => index !== undefined);
    const record: LoadingRecord = {
      shardId: this.#nextShard,
      base: lastIndices.length === 0 ? 0 : Math.max(...lastIndices) + BASE_STEP,
      isReplicated: table?.isReplicated === true && this.role === 'follower',
      loader,
      switching: null,
    };
    return transaction(
      [
        modRevisionIs(tableKey(name), table?.modRevision ?? 0),
        modRevisionIs(key, earlier?.modRevision ?? 0),
        versionIs(NEXT_SHARD_KEY, this.#nextShardVersion),
        versionIs(CLUSTER_KEY, this.#clusterVersion),
      ],
      [put(key, record), put(NEXT_SHARD_KEY, this.#nextShard + 1)],
    );
  }

  /** From here on the shard takes over the name, whoever sees to it. No effect when it is not the one any more. */
  beginSwitch(shard: LoadingShard, switching: Switching): mvcc.Command {
    const { name, modRevision, ...record } = shard;
    const key = keyOf(LOADING_PREFIX, name);
    return transaction(
      [modRevisionIs(key, modRevision), this.#cloneIsTheSame()],
      [put(key, { ...record, switching })],
    );
  }

  /**
   * The name goes to the new shard, and nothing holds its replication up any more: the old shard is sealed, or there is
   * no table of that name, and none was made meanwhile.
   */
  finishSwitch(table: RegisteredTable | undefined, shard: LoadingShard, loadedIndex: number): mvcc.Command {
    const { name, shardId, base, isReplicated } = shard;
    const config = table?.config ?? null;
    const record: TableRecord = { shardId, base, config, isReplicated, loadedIndex };
    return transaction(
      [
        modRevisionIs(tableKey(name), table?.modRevision ?? 0),
        modRevisionIs(keyOf(LOADING_PREFIX, name), shard.modRevision),
        // Where a seal names the shard already, nothing may keep it from taking over (T2).
        ...(table === undefined ? [this.#cloneIsTheSame()] : []),
      ],
      [
        put(tableKey(name), record),
        remove(keyOf(LOADING_PREFIX, name)),
        remove(keyOf(REPLICATION_PREFIX, name)),
        ...(table === undefined ? [] : [remove(archivedKey(table.shardId))]),
      ],
    );
  }

  abandonLoad(shard: LoadingShard): mvcc.Command {
    const key = keyOf(LOADING_PREFIX, shard.name);
    return transaction([modRevisionIs(key, shard.modRevision)], [remove(key)]);
  }

  /**
   * Writes what holds these tables' replication up, with `change` to what the cluster is. No effect when one of them
   * or its hold is not what it was when it was read: a late stop would undo a reset, or outlive its table.
   */
  writeHolds(
    tables: readonly RegisteredTable[],
    { stopped, isResetWanted }: ReplicationHold,
    change?: ClusterChange,
  ): mvcc.Command {
    const record: ReplicationRecord = { stopped: stopped ?? null, isResetWanted };
    const compare = tables.flatMap(({ name, modRevision }) => [
      modRevisionIs(tableKey(name), modRevision),
      modRevisionIs(keyOf(REPLICATION_PREFIX, name), this.#holds.get(name)?.modRevision ?? 0),
    ]);
    const success = tables.map(({ name }) => put(keyOf(REPLICATION_PREFIX, name), record));
    if (change !== undefined) {
      compare.push(versionIs(CLUSTER_KEY, this.#clusterVersion));
      success.push(put(CLUSTER_KEY, { ...this.#cluster, ...change }));
    }
    return transaction(compare, success);
  }

  /** Changes what the cluster is to others. No effect when that has changed since it was read. */
  writeCluster(change: ClusterChange): mvcc.Command {
    return this.writeHolds([], NO_HOLD, change);
  }

  /**
   * Writes how far the archive has the logs of these shards, and only what is further than what is known; undefined:
   * there is no such thing. At most `REPORTED_AT_ONCE_MAX` of them. No effect when one of the tables has another shard
   * by now, or when something else was written of one of the shards.
   */
  writeArchived(indices: ReadonlyMap<number, number>): mvcc.Command | undefined {
    const compare: mvcc.Compare[] = [];
    const success: mvcc.RequestOp[] = [];
    for (const { name, shardId, modRevision } of this.#tables.values()) {
      const index = indices.get(shardId) ?? 0;
      if (index <= this.archivedIndex(shardId)) continue;
      const key = archivedKey(shardId);
      compare.push(modRevisionIs(tableKey(name), modRevision));
      compare.push(modRevisionIs(key, this.#archived.get(shardId)?.modRevision ?? 0));
      success.push(put(key, index));
      if (success.length === REPORTED_AT_ONCE_MAX) break;
    }
    return success.length === 0 ? undefined : transaction(compare, success);
  }

  /** No effect when something else was written of the member's state. */
  writeState(id: NodeId, state: MemberState): mvcc.Command {
    const key = keyOf(STATES_PREFIX, String(id));
    return transaction([modRevisionIs(key, this.#states.get(id)?.modRevision ?? 0)], [put(key, state)]);
  }

  /** Writes the clone that has not succeeded in the place of the one that was read; undefined: there is none any more. No effect when that has changed. */
  writeClone(clone: UnfinishedClone | undefined): mvcc.Command {
    const compare = [this.#cloneIsTheSame()];
    // What a cluster is may change meanwhile, and only a leader cluster is filled by a clone (R5).
    if (clone !== undefined) compare.push(versionIs(CLUSTER_KEY, this.#clusterVersion));
    return transaction(compare, [clone === undefined ? remove(CLONE_KEY) : put(CLONE_KEY, clone)]);
  }

  /** Who may make tables depends on the clone that has not succeeded (T2). */
  #cloneIsTheSame(): mvcc.Compare {
    return modRevisionIs(CLONE_KEY, this.#clone?.modRevision ?? 0);
  }

  writeMember(member: MemberInfo): mvcc.Command {
    return transaction([], [put(keyOf(MEMBERS_PREFIX, String(member.id)), member)]);
  }
}

const NOTHING = Buffer.alloc(0);

const LEADER_CLUSTER: ClusterRecord = { role: 'leader', wasPromoted: false, leaderClusterId: null };

/** All keys that were written after a revision. */
function changedSince(revision: number): RangeQuery {
  return {
    key: Buffer.from([0]),
    rangeEnd: Buffer.from([0]),
    limit: 0,
    keysOnly: false,
    countOnly: false,
    minModRevision: revision === 0 ? 0 : revision + 1,
    maxModRevision: 0,
    minCreateRevision: 0,
    maxCreateRevision: 0,
    maxBytes: 1024 * 1024,
  };
}

function keyOf(prefix: string, name: string): Buffer {
  return Buffer.from(prefix + name);
}

function archivedKey(shardId: number): Buffer {
  return keyOf(ARCHIVED_PREFIX, String(shardId));
}

function tableKey(name: string): Buffer {
  return keyOf(TABLES_PREFIX, name);
}

function remove(key: Buffer): mvcc.RequestOp {
  return {
    request: { $case: 'requestDeleteRange', value: mvcc.RequestOp_DeleteRange.fromPartial({ key }) },
  };
}

/** Also 0, for a key that is not there. */
function modRevisionIs(key: Buffer, modRevision: number): mvcc.Compare {
  return {
    result: mvcc.Compare_CompareResult.EQUAL,
    target: mvcc.Compare_CompareTarget.MOD,
    key,
    targetUnion: { $case: 'modRevision', value: BigInt(modRevision) },
    rangeEnd: NOTHING,
  };
}

function put(key: Buffer, value: unknown): mvcc.RequestOp {
  return {
    request: {
      $case: 'requestPut',
      value: mvcc.RequestOp_Put.fromPartial({ key, value: Buffer.from(packr.pack(value)) }),
    },
  };
}

function versionIs(key: Buffer, version: number): mvcc.Compare {
  return {
    result: mvcc.Compare_CompareResult.EQUAL,
    target: mvcc.Compare_CompareTarget.VERSION,
    key,
    targetUnion: { $case: 'version', value: BigInt(version) },
    rangeEnd: NOTHING,
  };
}

function transaction(compare: mvcc.Compare[], success: mvcc.RequestOp[]): mvcc.Command {
  return mvcc.Command.fromPartial({
    type: mvcc.Command_CommandType.TXN,
    txn: { compare, success, failure: [] },
  });
}
