import type { NodeId } from '@coxswain/raft';
import type { Call } from './call.js';

/**
 * What an operator wants of a member (docs/operations-protocols.md §3), as the meta group keeps it. `pausing`, `paused`: it
 * replicates no longer: a leader cluster's member sends no log and no snapshots, and no member of a follower cluster
 * takes anything. `closing`: a leader cluster's member takes no writes of its own clients, and stops once every follower
 * cluster has every entry. `offline`: it was closed.
 */
export type MemberState = 'online' | 'pausing' | 'paused' | 'closing' | 'offline';

/** A change of a member's state that is made only where it is in one of the states `from`. */
export interface StateChange {
  readonly from: readonly MemberState[];
  readonly to: MemberState;
}

/** Reads and changes the states of members. Errors are those of `KvApi.propose`. */
export interface MemberControl {
  /** The state of a member as far as this node knows; `online` where nothing was ever said of it. */
  state(id: NodeId): MemberState;
  /** The state of every member, by the meta group asked now. */
  states(call: Call): Promise<ReadonlyMap<NodeId, MemberState>>;
  /**
   * Changes a member's state, durably. Resolves to undefined when that is done, and to the state that the member is in
   * where that is none of `from`, and nothing was changed.
   */
  changeState(id: NodeId, change: StateChange, call: Call): Promise<MemberState | undefined>;
  /** An operator has paused this node: it gives follower clusters neither log nor snapshots. */
  readonly isLogPaused: boolean;
  /**
   * An operator has paused a member, as far as this node knows: no member takes anything from the leader cluster, since
   * what one takes is applied on all (docs/operations-protocols.md §3).
   */
  readonly isReplicationPaused: boolean;
}
