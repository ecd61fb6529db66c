import type { mvcc } from '@coxswain/protocol';
import type { NodeId } from '@coxswain/raft';
import { Packr } from 'msgpackr';
import type { ClusterRole } from '../api/cluster-api.js';
import type { MemberState } from '../api/member-control.js';
import type { MemberInfo } from '../api/reports-api.js';
import { put, remove } from './transaction.js';

/** A table, as the registry keeps it. */
export interface TableRecord {
  readonly shardId: number;
  /** The index after which the shard's log starts (T1). */
  readonly base: number;
  readonly config: Record<string, unknown> | null;
  /** Whether the table follows the leader cluster's table of that name. Absent in older data: false. */
  readonly isReplicated?: boolean;
  /**
   * The index of the entry that ended the shard's load, before which it held no state of the table. Absent when it was
   * not loaded.
   */
  readonly loadedIndex?: number;
}

/** The cluster's relation to other clusters (R5), as the registry keeps it. */
export interface ClusterRecord {
  readonly role: ClusterRole;
  /** Whether the cluster was a follower cluster once. */
  readonly wasPromoted: boolean;
  /** The id of the leader cluster: null while none was met, empty for one that gives no id (R4). */
  readonly leaderClusterId: string | null;
}

/** A change of some fields of the ClusterRecord. */
export type ClusterChange = Partial<ClusterRecord>;

/** How a shard that is completely loaded takes over a table's name (T2). */
export interface Switching {
  /** The index of the entry that ended the shard's load. */
  readonly loadedIndex: number;
  /** The cursor at which the old shard must be for the switch to take effect (R1); null when any will do. */
  readonly ifCursor: number | null;
}

/** The process that fills a shard or a cluster. */
export interface Loader {
  readonly node: NodeId;
  /** The boot of the process, in hex. */
  readonly boot: string;
}

/** A clone of another cluster that was begun and has not succeeded. */
export interface UnfinishedClone {
  /** A random id that no other clone has. */
  readonly id: string;
  /** The process that fills the cluster. */
  readonly filler: Loader;
  /** The address of the cluster that is cloned. */
  readonly donor: string;
  /** Why the clone failed; null while it goes on, or when its node has died and nobody has recorded that yet. */
  readonly error: string | null;
}

/** A shard that is being filled to take over a table's name (T2), as the registry keeps it. */
export interface LoadingRecord {
  readonly shardId: number;
  readonly base: number;
  readonly isReplicated: boolean;
  /** The process that fills the shard. Absent in older data. */
  readonly loader?: Loader;
  /** Set once the shard is completely loaded: from then on any node may carry the switch to its end (T2). */
  readonly switching: Switching | null;
}

/** Why the replication of a table is held up, as the registry keeps it. */
export interface ReplicationRecord {
  readonly stopped: string | null;
  readonly isResetWanted: boolean;
}

/** A table in quarantine (R4), as the registry keeps it. */
export interface QuarantineRecord {
  readonly name: string;
  readonly base: number;
  /** The index of the entry that ended the shard's load; see TableRecord. */
  readonly loadedIndex?: number;
  /** The end of the quarantine, in milliseconds since 1970 by the clock of the node that wrote the record. */
  readonly untilMs: number;
}

/** The last index of a deleted table (T1), as the registry keeps it. */
export interface RetiredName {
  readonly lastIndex: number;
}

const packr = new Packr({ useRecords: false });

/**
 * Encodes and decodes the values of records. Data directories hold these bytes, so a value that was written once must
 * stay readable.
 */
class RecordValues<Value> {
  encode(value: Value): Buffer {
    return Buffer.from(packr.pack(value));
  }

  decode(bytes: Buffer): Value {
    return packr.unpack(bytes) as Value;
  }
}

/** A kind of records of the meta group, whose keys consist of a prefix and a name. */
export class RecordKind<Value, Name extends string | number = string> extends RecordValues<Value> {
  readonly prefix: string;
  readonly #nameOf: (text: string) => Name;

  constructor(prefix: string, nameOf: (text: string) => Name) {
    super();
    this.prefix = prefix;
    this.#nameOf = nameOf;
  }

  /** Gives the key of the record of that name. */
  key(name: Name): Buffer {
    return Buffer.from(this.prefix + name);
  }

  /** Gives the name in a key of this kind. */
  nameIn(key: string): Name {
    return this.#nameOf(key.slice(this.prefix.length));
  }

  /** Gives the part of a transaction that writes the record of that name. */
  put(name: Name, value: Value): mvcc.RequestOp {
    return put(this.key(name), this.encode(value));
  }

  /** Gives the part of a transaction that removes the record of that name, if there is one. */
  remove(name: Name): mvcc.RequestOp {
    return remove(this.key(name));
  }
}

/** A kind of record of which the meta group has one at most. */
export class SingleRecord<Value> extends RecordValues<Value> {
  readonly key: Buffer;

  constructor(key: string) {
    super();
    this.key = Buffer.from(key);
  }

  /** Gives the part of a transaction that writes the record. */
  put(value: Value): mvcc.RequestOp {
    return put(this.key, this.encode(value));
  }

  /** Gives the part of a transaction that removes the record, if there is one. */
  remove(): mvcc.RequestOp {
    return remove(this.key);
  }
}

const text = (name: string): string => name;

/**
 * The kinds of records of the meta group. The group is a table like any other, with a reserved id: its commands are
 * transactions with version and revision compares, so that it shares apply, snapshots, checkpoints and hashes with
 * every table.
 *
 * | key | value (msgpack) |
 * | --- | --- |
 * | genesis | the text whose hash is the cluster's id (T4) |
 * | next-shard | the next shard id; ids are never reused |
 * | tables/NAME | TableRecord |
 * | names/NAME | RetiredName: the last index of a deleted table (T1) |
 * | members/ID | MemberInfo, as the member last wrote it |
 * | cluster | ClusterRecord: the role of the cluster towards others (R5). Absent: a leader cluster |
 * | loading/NAME | LoadingRecord: the shard that is filled to take over the name (T2), also of a table yet to be made |
 * | replication/NAME | ReplicationRecord: why the table's replication is held up. Absent: it goes on |
 * | quarantine/SHARD | QuarantineRecord: a table that the leader cluster no longer has (R4) |
 * | clone | UnfinishedClone: the clone that has not succeeded. Absent: none was begun, it succeeded, or it was forgotten |
 * | archived/SHARD | the index up to which the archive has the log of a table's shard; goes with the shard. Absent: 0 |
 * | states/ID | MemberState: the state in which an operator wants a member to be. Absent: online |
 */
export const records = {
  tables: new RecordKind<TableRecord>('tables/', text),
  names: new RecordKind<RetiredName>('names/', text),
  members: new RecordKind<MemberInfo, NodeId>('members/', Number),
  loading: new RecordKind<LoadingRecord>('loading/', text),
  replication: new RecordKind<ReplicationRecord>('replication/', text),
  quarantine: new RecordKind<QuarantineRecord, number>('quarantine/', Number),
  archived: new RecordKind<number, number>('archived/', Number),
  states: new RecordKind<MemberState, NodeId>('states/', Number),
} as const;

/** The kinds of records of which the meta group has one each. */
export const single = {
  genesis: new SingleRecord<string>('genesis'),
  nextShard: new SingleRecord<number>('next-shard'),
  cluster: new SingleRecord<ClusterRecord>('cluster'),
  clone: new SingleRecord<UnfinishedClone>('clone'),
} as const;

/** The ClusterRecord of a leader cluster, which also stands for a missing one. */
export const LEADER_CLUSTER: ClusterRecord = { role: 'leader', wasPromoted: false, leaderClusterId: null };
