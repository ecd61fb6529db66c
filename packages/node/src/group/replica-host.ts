import type { NodeId, RaftConfig, SnapshotMetadata, StorageAppend } from '@coxswain/raft';
import type { Clock, Random } from '@coxswain/runtime';
import type { Table } from '@coxswain/table';
import type { GroupWrite } from '@coxswain/wal';
import type { ApiError } from '../api/errors.js';
import type { NodeOptions } from '../api/options.js';
import type { FrameWriter } from '../cluster/frame.js';
import type { Budget } from './budget.js';
import type { WriteStages } from './write-stages.js';

/** Takes a group's messages to one of its members, at the end of the turn. */
export type Outbox = Pick<FrameWriter, 'raft' | 'forward' | 'refused' | 'quiesce' | 'snapshotWanted'>;

/** Who this node is in a group. */
export interface GroupMember {
  /** This node's id among the group's members. */
  readonly nodeId: NodeId;
  /** 8 bytes that no other boot of any node has (P1, P2). */
  readonly boot: Buffer;
  /** `boot` in hex. */
  readonly bootHex: string;
  /** Gives the number by which operators know a member of the group; undefined for `NO_NODE`. */
  numberOf(id: NodeId): number | undefined;
}

/** How this node reaches the other members of a group. */
export interface GroupPeers {
  /** Gives what goes to `peer` at the end of this turn. */
  frameTo(peer: NodeId): Outbox;
  isConnected(peer: NodeId): boolean;
  /** Whether `peer` is connected and was heard within an election timeout. Says nothing about any group (P2). */
  isAlive(peer: NodeId): boolean;
}

/** What holds for a group whose members do not speak in frames: nothing carries requests to its leader. */
interface LedElsewhere {
  /** Gives the error of writes and linearizable reads that come to a member while `leader`, another one, leads. */
  error(leader: NodeId): ApiError;
  /** Says why the group has no leader, and what to do; undefined: no more is known than how many voters answer. */
  whyLeaderless(voters: { readonly answer: string; readonly isQuorum: boolean }): string | undefined;
}

/** Gives a replica what it needs of the node that hosts it. */
export interface ReplicaHost {
  readonly member: GroupMember;
  readonly peers: GroupPeers;
  /** The settings of the core that depend on what the protocol of its members carries. */
  readonly core: Pick<
    RaftConfig,
    'preVote' | 'maxInflightMessages' | 'maxMessageEntries' | 'remembersLeader'
  >;
  /** Undefined for a group whose members speak in frames. */
  readonly elsewhere: LedElsewhere | undefined;
  readonly options: NodeOptions;
  /** Its wall time is what this node believes of its clock (A7). */
  readonly clock: Clock;
  readonly random: Random;
  readonly proposalBudget: Budget;
  readonly writeStages: WriteStages;
  readonly counters: { appended: number; readIndexRounds: number };
  /** Proposals are refused until there is room (D6). */
  readonly isDiskFull: boolean;
  /** Stops the node, loudly: an invariant is broken, or a disk lies. */
  fail(error: unknown): void;
}

/** What a replica reports, and asks to be done with it. */
export interface ReplicaEvents {
  /** The replica has work for the next turn. */
  schedule(): void;
  leaderChanged(): void;
  /** So many entries were applied. */
  applied(entries: number): void;
  /** The replica serves now and did not before: it was loaded to its end, or an entry that a crash left half applied was. */
  becameWhole(): void;
  /** The table closed itself with this error. */
  tableFailed(table: Table, error: unknown): void;
  /** A member needs a snapshot. */
  sendSnapshot(to: NodeId): void;
  /** The core has taken a snapshot: it must be put in place before `write` (D7). */
  installSnapshot(snapshot: SnapshotMetadata, write: GroupWrite, append: StorageAppend): void;
}
