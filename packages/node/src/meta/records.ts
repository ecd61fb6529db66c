import type { mvcc } from '@coxswain/protocol';
import type { NodeId } from '@coxswain/raft';
import { Packr } from 'msgpackr';
import type { ClusterRole } from '../api/cluster-api.js';
import type { MemberState } from '../api/member-control.js';
import type { MemberInfo } from '../api/reports-api.js';
import { put, remove } from './transaction.js';

export interface TableRecord {
  readonly shardId: number;
  /** The log of the shard starts after this index. */
  readonly base: number;
  readonly config: Record<string, unknown> | null;
  /** Follows the leader cluster's table of that name. Absent in older data: false. */
  readonly isReplicated?: boolean;
  /** The entry that ended the shard's load: what it held before was no state of the table. Absent: it was not loaded. */
  readonly loadedIndex?: number;
}

export interface ClusterRecord {
  readonly role: ClusterRole;
  /** It was a follower cluster once. */
  readonly wasPromoted: boolean;
  /** Null while none was met; empty for a leader cluster that gives no id (R4). */
  readonly leaderClusterId: string | null;
}

export type ClusterChange = Partial<ClusterRecord>;

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

export interface LoadingRecord {
  readonly shardId: number;
  readonly base: number;
  readonly isReplicated: boolean;
  /** Absent in older data. */
  readonly loader?: Loader;
  /** Set once the shard is whole: from then on the switch is carried to its end, by anybody (T2). */
  readonly switching: Switching | null;
}

export interface ReplicationRecord {
  readonly stopped: string | null;
  readonly isResetWanted: boolean;
}

export interface QuarantineRecord {
  readonly name: string;
  readonly base: number;
  /** As in TableRecord. */
  readonly loadedIndex?: number;
  /** Wall time of the node that wrote it. */
  readonly untilMs: number;
}

export interface RetiredName {
  readonly lastIndex: number;
}

const packr = new Packr({ useRecords: false });

/** How the values of records become bytes and back. Data directories hold these bytes: what was written once stays readable. */
class RecordValues<Value> {
  encode(value: Value): Buffer {
    return Buffer.from(packr.pack(value));
  }

  decode(bytes: Buffer): Value {
    return packr.unpack(bytes) as Value;
  }
}

/** Records of the meta group of one kind, whose keys are a prefix and a name. */
export class RecordKind<Value, Name extends string | number = string> extends RecordValues<Value> {
  readonly prefix: string;
  readonly #nameOf: (text: string) => Name;

  constructor(prefix: string, nameOf: (text: string) => Name) {
    super();
    this.prefix = prefix;
    this.#nameOf = nameOf;
  }

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

/** A record of the meta group of which there is one. */
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
 * The meta group is a table like any other, with a reserved id: its commands are transactions with version
 * and revision compares, so that it shares apply, snapshots, checkpoints and hashes with every table.
 *
 * | key | value (msgpack) |
 * | --- | --- |
 * | genesis | the text whose hash is the cluster's id (T4) |
 * | next-shard | the next shard id; ids are never reused |
 * | tables/NAME | TableRecord |
 * | names/NAME | RetiredName: the last index of a deleted table (T1) |
 * | members/ID | MemberInfo, as the member last wrote it |
 * | cluster | ClusterRecord: what the cluster is to others (R5). Absent: a leader cluster |
 * | loading/NAME | LoadingRecord: the shard that is being filled to take over the name (T2), also of a table that does not exist yet |
 * | replication/NAME | ReplicationRecord: what holds the table's replication up. Absent: nothing |
 * | quarantine/SHARD | QuarantineRecord: a table that the leader cluster had no more (R4) |
 * | clone | UnfinishedClone: the clone that fills the cluster, or was meant to. Absent: none was begun, it succeeded, or it was forgotten |
 * | archived/SHARD | the index up to which the archive has the log of a table's shard; goes with the shard. Absent: 0 |
 * | states/ID | MemberState: what an operator wants of a member. Absent: online |
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

/** The records of which there is one. */
export const single = {
  genesis: new SingleRecord<string>('genesis'),
  nextShard: new SingleRecord<number>('next-shard'),
  cluster: new SingleRecord<ClusterRecord>('cluster'),
  clone: new SingleRecord<UnfinishedClone>('clone'),
} as const;

export const LEADER_CLUSTER: ClusterRecord = { role: 'leader', wasPromoted: false, leaderClusterId: null };
