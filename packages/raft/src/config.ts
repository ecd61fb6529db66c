import { assert } from './assert.js';
import { type HardState, type LogReader, type Membership, NO_NODE, type NodeId } from './types.js';

/** What a replica's core is made from. Nothing in it changes while the core lives, but what `log` answers. */
export interface RaftConfig {
  readonly id: NodeId;
  /** Ticks without contact before a follower campaigns; each timeout is drawn from [n, 2n). More than `heartbeatTicks`. */
  readonly electionTicks: number;
  readonly heartbeatTicks: number;
  readonly log: LogReader;
  /** As last made durable. `commit` is a hint: it may lag behind `applied`. */
  readonly hardState: HardState;
  readonly membership: Membership;
  /** The state machine's applied index at start. */
  readonly applied: number;
  /** A node asks whether it could win before it raises its term (thesis 9.6). */
  readonly preVote: boolean;
  /**
   * A leader steps down when it has not heard from a quorum for `electionTicks`, and nobody votes while it was
   * in contact with a leader for less than that (thesis 6.2, 4.2.3).
   */
  readonly checkQuorum: boolean;
  /**
   * Who leads a term is remembered over restarts as soon as this replica has an entry of that leader, as its vote: for groups
   * whose members cannot be held to one vote in a term. Default false.
   */
  readonly remembersLeader?: boolean;
  /** The most bytes of entry data in one append. One entry always fits. */
  readonly maxMessageBytes: number;
  /** The most entries in one append. Undefined: no limit. */
  readonly maxMessageEntries?: number;
  /**
   * Appends in flight to one follower, by count and by bytes of entry data. By Little's law the bytes bound the
   * rate: 8 MiB with a round trip of 100 ms is 80 MiB/s to each follower.
   */
  readonly maxInflightMessages: number;
  readonly maxInflightBytes: number;
  /**
   * A proposal that would take the uncommitted data above this is refused, but one is always let in. 0: no limit.
   * Data counts from its proposal until it is handed out in `Ready.committed`.
   */
  readonly maxUncommittedBytes: number;
  /** The most bytes handed out in one `Ready.committed`. One entry always fits. */
  readonly maxCommittedBytesPerReady: number;
  /** Uniform in [0, 1). The only source of chance. */
  readonly random: () => number;
}

/** Fails on a configuration that no replica could run with. */
export function validateConfig(config: RaftConfig): void {
  assert(config.id !== NO_NODE, 'a replica needs a node id');
  assert(config.heartbeatTicks >= 1, 'heartbeatTicks must be at least 1');
  assert(config.electionTicks > config.heartbeatTicks, 'electionTicks must be more than heartbeatTicks');
  assert(config.maxInflightMessages >= 1, 'maxInflightMessages must be at least 1');
  assert(config.maxInflightBytes >= 1, 'maxInflightBytes must be at least 1');
}
