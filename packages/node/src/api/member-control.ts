import type { NodeId } from '@coxswain/raft';
import type { Call } from './call.js';

/**
 * The state in which an operator wants a member to be (docs/operations-protocols.md §3), as the meta group keeps it.
 * A member that is `pausing` or `paused` does not replicate: on a leader cluster it sends no log and no snapshots,
 * and on a follower cluster no member takes anything. A member of a leader cluster that is `closing` takes no writes
 * of its own clients, and stops once every follower cluster has every entry. One that is `offline` was closed.
 */
export type MemberState = 'online' | 'pausing' | 'paused' | 'closing' | 'offline';

/** A change of a member's state, which is made only if the member is in one of the states `from`. */
export interface StateChange {
  readonly from: readonly MemberState[];
  readonly to: MemberState;
}

/** Reads and changes the states that operators want members to be in. Errors are those of `KvApi.propose`. */
export interface MemberControl {
  /** Gives the state of a member as far as this node knows; `online` when no operator has changed it. */
  state(id: NodeId): MemberState;
  /** Asks the meta group for the state of every member. */
  states(call: Call): Promise<ReadonlyMap<NodeId, MemberState>>;
  /**
   * Changes a member's state, durably. Resolves to undefined when that is done. When the member's state is none of
   * `from`, changes nothing and resolves to that state.
   */
  changeState(id: NodeId, change: StateChange, call: Call): Promise<MemberState | undefined>;
  /** Whether an operator has paused this node: it gives follower clusters neither its log nor snapshots. */
  readonly isLogPaused: boolean;
  /**
   * Whether an operator has paused any member, as far as this node knows. Then no member of a follower cluster takes
   * anything from the leader cluster, since what one member takes is applied on all (docs/operations-protocols.md
   * §3).
   */
  readonly isReplicationPaused: boolean;
}
