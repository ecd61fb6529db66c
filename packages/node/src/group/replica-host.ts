import type { NodeId, RaftConfig, SnapshotMetadata, StorageAppend } from '@coxswain/raft';
import type { Clock, Random, Tracer } from '@coxswain/runtime';
import type { Table } from '@coxswain/table';
import type { GroupWrite } from '@coxswain/wal';
import type { ApiError } from '../api/errors.js';
import type { NodeOptions } from '../api/options.js';
import type { FrameWriter } from '../cluster/frame.js';
import type { Budget } from './budget.js';
import type { WriteStages } from './write-stages.js';

/** Collects a group's messages to one of its members, and sends them at the end of the turn. */
export type Outbox = Pick<
  FrameWriter,
  'raft' | 'forward' | 'traces' | 'refused' | 'quiesce' | 'snapshotWanted'
>;

/** Identifies this node in a group. */
export interface GroupMember {
  /** The id of this node among the group's members. */
  readonly nodeId: NodeId;
  /** Identifies this start of the node: 8 bytes that no other start of any node has (P1, P2). */
  readonly boot: Buffer;
  /** The same as `boot`, in hex. */
  readonly bootHex: string;
  /** Gives the number by which operators know a member of the group; undefined for `NO_NODE`. */
  numberOf(id: NodeId): number | undefined;
}

/** Reaches the other members of a group. */
export interface GroupPeers {
  /** Gives the outbox whose messages go to `peer` at the end of this turn. */
  frameTo(peer: NodeId): Outbox;
  isConnected(peer: NodeId): boolean;
  /** Whether `peer` is connected and was heard within an election timeout. It proves nothing about any group (P2). */
  isAlive(peer: NodeId): boolean;
}

/**
 * Errors and reasons for a group whose members do not speak in frames, so that nothing carries requests to its leader.
 */
interface LedElsewhere {
  /** Makes the error for writes and linearizable reads that reach a member while another one, `leader`, leads. */
  error(leader: NodeId): ApiError;
  /**
   * Says why the group has no leader, and what to do about it; undefined when nothing is known except how many voters
   * answer.
   */
  whyLeaderless(voters: { readonly answer: string; readonly isQuorum: boolean }): string | undefined;
}

/** Supplies a replica with the parts and settings of the node that hosts it. */
export interface ReplicaHost {
  readonly member: GroupMember;
  readonly peers: GroupPeers;
  /** The settings of the core that depend on the messages that the members' protocol can carry. */
  readonly core: Pick<
    RaftConfig,
    'preVote' | 'maxInflightMessages' | 'maxMessageEntries' | 'remembersLeader'
  >;
  /** Set for a group whose members do not speak in frames, and undefined otherwise. */
  readonly elsewhere: LedElsewhere | undefined;
  readonly options: NodeOptions;
  /** The node's clock. Its wall time is as much of the system's as the node believes (A7). */
  readonly clock: Clock;
  readonly random: Random;
  readonly proposalBudget: Budget;
  readonly writeStages: WriteStages;
  /** Records spans of writes; undefined when tracing is off. */
  readonly tracer?: Tracer | undefined;
  readonly counters: { appended: number; readIndexRounds: number };
  /** Whether the disk is full, so that proposals are refused until there is room (D6). */
  readonly isDiskFull: boolean;
  /** Stops the node, loudly: an invariant is broken, or a disk cannot be trusted. */
  fail(error: unknown): void;
}

/** Hears what a replica reports, and does for it what it cannot do by itself. */
export interface ReplicaEvents {
  /** Called when the replica has work for the next turn. */
  schedule(): void;
  /** Called when the group has another leader, or none. */
  leaderChanged(): void;
  /** Called with the number of entries that were applied. */
  applied(entries: number): void;
  /**
   * Called when the replica serves and did not before: its load was applied to the end, or an entry that a crash had
   * left half applied was.
   */
  becameWhole(): void;
  /** Called when the table closed itself with this error. */
  tableFailed(table: Table, error: unknown): void;
  /** Called when the member `to` needs a snapshot. */
  sendSnapshot(to: NodeId): void;
  /** Called when the core has accepted a snapshot, which must be put in place before `write` is written (D7). */
  installSnapshot(snapshot: SnapshotMetadata, write: GroupWrite, append: StorageAppend): void;
}
