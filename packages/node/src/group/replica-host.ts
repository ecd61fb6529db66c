import type { NodeId, RaftConfig, SnapshotMetadata, StorageAppend } from '@coxswain/raft';
import type { Clock, Random } from '@coxswain/runtime';
import type { Table } from '@coxswain/table';
import type { GroupWrite } from '@coxswain/wal';
import type { ApiError } from '../api/errors.js';
import type { NodeOptions } from '../api/options.js';
import type { FrameWriter } from '../cluster/frame.js';
import type { Budget } from './budget.js';
import type { Replica } from './replica.js';
import type { WriteStages } from './write-stages.js';

/** What takes a group's messages to one of its members, at the end of the turn. */
export type Outbox = Pick<FrameWriter, 'raft' | 'forward' | 'refused' | 'quiesce' | 'snapshotWanted'>;

/** What a replica asks of the node that hosts it. */
export interface ReplicaHost {
  /** The member of the group that this node is. */
  readonly nodeId: NodeId;
  /** The number by which operators know a member of the group; undefined for nobody. */
  memberNumber(id: NodeId): number | undefined;
  /** The settings of the core that hang on what its members' protocol carries. */
  readonly core: Pick<
    RaftConfig,
    'preVote' | 'maxInflightMessages' | 'maxMessageEntries' | 'remembersLeader'
  >;
  /**
   * What writes and linearizable reads get while another member leads a group whose members do not speak in frames:
   * nothing else carries requests to a leader. Undefined: the members speak in frames.
   */
  readonly ledElsewhere: ((leader: NodeId) => ApiError) | undefined;
  /** Why a group has no leader, and what to do; undefined: nothing is known beyond how many of its voters answer. */
  whyLeaderless(
    replica: Replica,
    voters: { readonly answer: string; readonly isQuorum: boolean },
  ): string | undefined;
  /** 8 bytes that no other boot of any node has (P1, P2). */
  readonly boot: Buffer;
  readonly bootHex: string;
  readonly options: NodeOptions;
  /** Its wall time is what this node believes of its clock (A7). */
  readonly clock: Clock;
  readonly random: Random;
  readonly proposalBudget: Budget;
  readonly writeStages: WriteStages;
  /** Proposals are refused until there is room (D6). */
  readonly isDiskFull: boolean;
  /** The replica has work for the next turn. */
  schedule(replica: Replica): void;
  /** What goes to `peer` at the end of this turn. */
  frameTo(peer: NodeId): Outbox;
  /** Linearizable reads of one group that may wait. */
  readonly readsPendingMax: number;
  isConnected(peer: NodeId): boolean;
  /** Connected, and heard within an election timeout. Says nothing about any group (P2). */
  isAlive(peer: NodeId): boolean;
  countReadIndexRound(): void;
  countAppended(proposals: number): void;
  leaderChanged(replica: Replica): void;
  applied(replica: Replica, entries: number): void;
  /** A replica serves that did not before: it was loaded to its end, or an entry that a crash left half applied was. */
  becameWhole(): void;
  tableFailed(replica: Replica, table: Table, error: unknown): void;
  sendSnapshot(replica: Replica, to: NodeId): void;
  installSnapshot(
    replica: Replica,
    snapshot: SnapshotMetadata,
    write: GroupWrite,
    append: StorageAppend,
  ): void;
  /** There is no room to write (D6). */
  diskFull(): void;
  /** A broken invariant or a disk that lies: the node stops, loudly. */
  fail(error: unknown): void;
}
