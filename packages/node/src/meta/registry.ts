import type { NodeId } from '@coxswain/raft';
import type { KeyRecord, RangePage, RangeQuery, Table, TableView } from '@coxswain/table';
import type { ClusterRole } from '../api/cluster-api.js';
import type { MemberState } from '../api/member-control.js';
import type { MemberInfo } from '../api/reports-api.js';
import type { TableInfo } from '../api/tables-api.js';
import { compareNames } from './compare-names.js';
import {
  type ClusterRecord,
  LEADER_CLUSTER,
  type Loader,
  type RecordKind,
  records,
  type SingleRecord,
  type Switching,
  single,
  type UnfinishedClone,
} from './records.js';
import { FIRST_TABLE_SHARD } from './shards.js';

/** A clone of another cluster that has not succeeded, as the registry has it. */
export interface RegisteredClone extends UnfinishedClone {
  /** The index of the meta group's entry that wrote the record. */
  readonly modRevision: number;
}

/** A table, as the registry has it. */
export interface RegisteredTable extends TableInfo {
  readonly base: number;
  readonly isReplicated: boolean;
  readonly loadedIndex: number;
  /** The revision at which the record was written. The deletion of the table compares it. */
  readonly modRevision: number;
}

/** A shard that is being filled to take over a table's name (T2), as the registry has it. */
export interface LoadingShard {
  readonly name: string;
  readonly shardId: number;
  readonly base: number;
  readonly isReplicated: boolean;
  readonly loader?: Loader;
  readonly switching: Switching | undefined;
  readonly modRevision: number;
}

/** A table that the leader cluster no longer has, and whose data is kept for a while (R4). */
export interface QuarantinedTable {
  readonly name: string;
  readonly shardId: number;
  readonly base: number;
  readonly loadedIndex?: number;
  readonly untilMs: number;
}

/** The index up to which the archive has a shard's log. */
interface Archived {
  readonly index: number;
  readonly modRevision: number;
}

/** The state in which an operator wants a member to be. */
interface KeptState {
  readonly state: MemberState;
  readonly modRevision: number;
}

/** Why the replication of a table is held up. */
export interface ReplicationHold {
  readonly stopped: string | undefined;
  readonly isResetWanted: boolean;
}

/** The hold of a table whose replication goes on. */
export const NO_HOLD: ReplicationHold = { stopped: undefined, isResetWanted: false };

/** Everything that the registry holds. */
class Contents {
  tables = new Map<string, RegisteredTable>();
  members = new Map<NodeId, MemberInfo>();
  retired = new Map<string, number>();
  loading = new Map<string, LoadingShard>();
  holds = new Map<string, ReplicationHold & { readonly modRevision: number }>();
  quarantined = new Map<number, QuarantinedTable>();
  archived = new Map<number, Archived>();
  states = new Map<NodeId, KeptState>();
  clone: RegisteredClone | undefined;
  cluster: ClusterRecord = LEADER_CLUSTER;
  clusterVersion = 0;
  nextShard = FIRST_TABLE_SHARD;
  nextShardVersion = 0;
  genesis: string | undefined;

  /** Makes a copy that may be changed by itself. */
  copy(): Contents {
    const copy = Object.assign(new Contents(), this);
    copy.tables = new Map(this.tables);
    copy.members = new Map(this.members);
    copy.retired = new Map(this.retired);
    copy.loading = new Map(this.loading);
    copy.holds = new Map(this.holds);
    copy.quarantined = new Map(this.quarantined);
    copy.archived = new Map(this.archived);
    copy.states = new Map(this.states);
    return copy;
  }

  /** Takes in the newest version of a record. */
  take(record: KeyRecord): void {
    const key = record.key.toString('utf8');
    const slash = key.indexOf('/') + 1;
    if (slash === 0) takers.get(key)?.(this, record, key);
    else takers.get(key.slice(0, slash))?.(this, record, key);
  }
}

type Taker = (contents: Contents, record: KeyRecord, key: string) => void;

/** How each record is taken in, by the prefix of its key or by the whole key. */
const takers = new Map<string, Taker>([
  ofKind(records.tables, (contents, name, value, { modRevision }) => {
    const { shardId, base, config, isReplicated, loadedIndex } = value;
    contents.tables.set(name, {
      name,
      shardId,
      base,
      isReplicated: isReplicated ?? false,
      loadedIndex: loadedIndex ?? 0,
      config: config ?? undefined,
      modRevision,
    });
  }),
  ofKind(records.names, (contents, name, { lastIndex }) => {
    contents.retired.set(name, lastIndex);
  }),
  ofKind(records.members, (contents, _id, member) => {
    contents.members.set(member.id, member);
  }),
  ofKind(records.loading, (contents, name, { switching, ...shard }, { modRevision }) => {
    contents.loading.set(name, { ...shard, name, switching: switching ?? undefined, modRevision });
  }),
  ofKind(records.replication, (contents, name, { stopped, isResetWanted }, { modRevision }) => {
    contents.holds.set(name, { stopped: stopped ?? undefined, isResetWanted, modRevision });
  }),
  ofKind(records.quarantine, (contents, shardId, table) => {
    contents.quarantined.set(shardId, { ...table, shardId });
  }),
  ofKind(records.archived, (contents, shardId, index, { modRevision }) => {
    contents.archived.set(shardId, { index, modRevision });
  }),
  ofKind(records.states, (contents, id, state, { modRevision }) => {
    contents.states.set(id, { state, modRevision });
  }),
  ofSingle(single.clone, (contents, value, { modRevision }) => {
    contents.clone = { ...value, modRevision };
  }),
  ofSingle(single.cluster, (contents, value, { version }) => {
    contents.cluster = value;
    contents.clusterVersion = version;
  }),
  ofSingle(single.nextShard, (contents, value, { version }) => {
    contents.nextShard = value;
    contents.nextShardVersion = version;
  }),
  ofSingle(single.genesis, (contents, value) => {
    contents.genesis = value;
  }),
]);

function ofKind<Value, Name extends string | number>(
  kind: RecordKind<Value, Name>,
  take: (contents: Contents, name: Name, value: Value, record: KeyRecord) => void,
): [string, Taker] {
  return [
    kind.prefix,
    (contents, record, key) => take(contents, kind.nameIn(key), kind.decode(record.value), record),
  ];
}

function ofSingle<Value>(
  single: SingleRecord<Value>,
  take: (contents: Contents, value: Value, record: KeyRecord) => void,
): [string, Taker] {
  return [single.key.toString(), (contents, record) => take(contents, single.decode(record.value), record)];
}

/** The contents of the meta group's table, as of its applied index. It follows the table after every apply. */
export class Registry {
  /**
   * The revision of the contents, and the number of keys that the meta group's table has there; undefined when nothing
   * was read.
   */
  #read: { readonly revision: number; readonly keyCount: number } | undefined;
  #contents = new Contents();
  /** The tables in the order of their names, once somebody has asked for them. */
  #sorted: readonly RegisteredTable[] | undefined;

  /**
   * Reads the records that have changed since the last call; reads all of them when that is not known, or when keys
   * were removed, which shows in a smaller number of keys than those known and those added.
   */
  async follow(meta: Table): Promise<void> {
    const view = meta.view();
    try {
      const { revision, keyCount } = view;
      const changed = await this.#changes(view);
      // Until the pages are taken in, it is unknown which of them are.
      this.#read = undefined;
      await this.#takeIn(changed ?? view.pages(changedSince(0)), changed !== undefined);
      if (keyCount !== undefined) this.#read = { revision, keyCount };
    } finally {
      view.close();
    }
  }

  /**
   * Gives the records that were written since the last look; undefined when keys were removed too, or nothing is known
   * yet.
   */
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
    const contents = isAddition ? this.#contents.copy() : new Contents();
    for await (const page of pages) for (const record of page.records) contents.take(record);
    this.#contents = contents;
    this.#sorted = undefined;
  }

  get role(): ClusterRole {
    return this.#contents.cluster.role;
  }

  get wasPromoted(): boolean {
    return this.#contents.cluster.wasPromoted;
  }

  get leaderClusterId(): string | undefined {
    return this.#contents.cluster.leaderClusterId ?? undefined;
  }

  loading(): Iterable<LoadingShard> {
    return this.#contents.loading.values();
  }

  loadingOf(name: string): LoadingShard | undefined {
    return this.#contents.loading.get(name);
  }

  quarantined(): Iterable<QuarantinedTable> {
    return this.#contents.quarantined.values();
  }

  holdOf(name: string): ReplicationHold {
    const { stopped, isResetWanted } = this.#contents.holds.get(name) ?? NO_HOLD;
    return { stopped, isResetWanted };
  }

  /** The shard id that the next table or load gets. */
  get nextShardId(): number {
    return this.#contents.nextShard;
  }

  get clone(): RegisteredClone | undefined {
    return this.#contents.clone;
  }

  archivedIndex(shardId: number): number {
    return this.#contents.archived.get(shardId)?.index ?? 0;
  }

  get hasGenesis(): boolean {
    return this.#contents.genesis !== undefined;
  }

  table(name: string): RegisteredTable | undefined {
    return this.#contents.tables.get(name);
  }

  /** Gives the tables sorted by name in byte order, as the wire requires it. */
  tables(): readonly RegisteredTable[] {
    this.#sorted ??= [...this.#contents.tables.values()].sort(compareNames);
    return this.#sorted;
  }

  /** The number of tables, including those that are being made from a load. */
  get tableCount(): number {
    let count = this.#contents.tables.size;
    for (const name of this.#contents.loading.keys()) if (!this.#contents.tables.has(name)) count++;
    return count;
  }

  /** Gives the last index that a deleted table of that name had (T1); undefined when there was none. */
  lastIndexOf(name: string): number | undefined {
    return this.#contents.retired.get(name);
  }

  members(): MemberInfo[] {
    return [...this.#contents.members.values()].sort((a, b) => a.id - b.id);
  }

  member(id: NodeId): MemberInfo | undefined {
    return this.#contents.members.get(id);
  }

  stateOf(id: NodeId): MemberState {
    return this.#contents.states.get(id)?.state ?? 'online';
  }

  /** Whether an operator wants any member to be paused. Then no member of a follower cluster replicates. */
  get isAnyPaused(): boolean {
    return [...this.#contents.states.values()].some(({ state }) => state === 'pausing' || state === 'paused');
  }

  /** Gives the revision at which the hold of a table's replication was recorded; 0 when there is none. */
  holdRevisionOf(name: string): number {
    return this.#contents.holds.get(name)?.modRevision ?? 0;
  }

  /** Gives the revision at which the archived index of a shard was recorded; 0 when there is none. */
  archivedRevisionOf(shardId: number): number {
    return this.#contents.archived.get(shardId)?.modRevision ?? 0;
  }

  /** Gives the revision at which a member's state was recorded; 0 when there is none. */
  stateRevisionOf(id: NodeId): number {
    return this.#contents.states.get(id)?.modRevision ?? 0;
  }

  get cluster(): ClusterRecord {
    return this.#contents.cluster;
  }

  /** The version of the cluster's record: how often it was written. */
  get clusterVersion(): number {
    return this.#contents.clusterVersion;
  }

  /** The version of the record of the next shard id: how often it was written. */
  get nextShardVersion(): number {
    return this.#contents.nextShardVersion;
  }
}

/** Makes the query for all keys that were written after a revision. */
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
