import { assert } from './assert.js';
import { type HardState, type LogReader, type Membership, NO_NODE, type NodeId } from './types.js';

/** Configuration of a replica's core. Only the answers of `log` change while the core lives. */
export interface RaftConfig {
  readonly id: NodeId;
  /** Ticks without contact before a follower campaigns; each timeout is drawn from [n, 2n). More than `heartbeatTicks`. */
  readonly electionTicks: number;
  readonly heartbeatTicks: number;
  readonly log: LogReader;
  /** The hard state that was last made durable. Its `commit` is a hint: it may lag behind `applied`. */
  readonly hardState: HardState;
  readonly membership: Membership;
  /** The state machine's applied index at start. */
  readonly applied: number;
  /** True makes a node ask whether it could win before it raises its term (thesis 9.6). */
  readonly preVote: boolean;
  /**
   * True makes a leader step down when it has not heard from a quorum for `electionTicks`, and keeps a node from voting
   * while it was in contact with a leader for less than that (thesis 6.2, 4.2.3).
   */
  readonly checkQuorum: boolean;
  /**
   * True remembers the leader of a term over restarts, as the replica's vote, as soon as the replica has an entry of
   * that leader. It is for groups whose members cannot be held to one vote in a term. False by default.
   */
  readonly remembersLeader?: boolean;
  /** The most bytes of entry data in one append; a single entry may exceed it. */
  readonly maxMessageBytes: number;
  /** The most entries in one append; undefined means no limit. */
  readonly maxMessageEntries?: number;
  /**
   * The limits for appends in flight to one follower, by count and by bytes of entry data. By Little's law the bytes
   * bound the rate: 8 MiB with a round trip of 100 ms is 80 MiB/s to each follower.
   */
  readonly maxInflightMessages: number;
  readonly maxInflightBytes: number;
  /**
   * The most bytes of uncommitted data; a proposal that would exceed it is refused, unless there is no other. 0 means
   * no limit. Data counts from its proposal until it is handed out in `Ready.committed`.
   */
  readonly maxUncommittedBytes: number;
  /** The most bytes handed out in one `Ready.committed`; a single entry may exceed it. */
  readonly maxCommittedBytesPerReady: number;
  /** Returns a number that is uniform in [0, 1). It is the only source of chance. */
  readonly random: () => number;
}

/** Throws RaftInvariantError for a configuration with which no replica could run. */
export function validateConfig(config: RaftConfig): void {
  assert(config.id !== NO_NODE, 'a replica needs a node id');
  assert(config.heartbeatTicks >= 1, 'heartbeatTicks must be at least 1');
  assert(config.electionTicks > config.heartbeatTicks, 'electionTicks must be more than heartbeatTicks');
  assert(config.maxInflightMessages >= 1, 'maxInflightMessages must be at least 1');
  assert(config.maxInflightBytes >= 1, 'maxInflightBytes must be at least 1');
}
