import type { NodeId } from '@coxswain/raft';
import type { Call } from '../api/call.js';
import type { MemberControl, MemberState, StateChange } from '../api/member-control.js';
import type { Meta } from '../meta/meta.js';
import type { WriteGate } from './write-gate.js';

/** Reads and changes the states that operators want members to be in. */
export class MemberRequests implements MemberControl {
  readonly #nodeId: NodeId;
  readonly #meta: Meta;
  readonly #gate: WriteGate;

  constructor(nodeId: NodeId, meta: Meta, gate: WriteGate) {
    this.#nodeId = nodeId;
    this.#meta = meta;
    this.#gate = gate;
  }

  state(id: NodeId): MemberState {
    return this.#meta.members.state(id);
  }

  async states(call: Call): Promise<ReadonlyMap<NodeId, MemberState>> {
    return await this.#meta.members.states(call);
  }

  async changeState(id: NodeId, change: StateChange, call: Call): Promise<MemberState | undefined> {
    this.#gate.checkWrite();
    return await this.#meta.members.changeState(id, change, call);
  }

  get isLogPaused(): boolean {
    const state = this.state(this.#nodeId);
    return state === 'pausing' || state === 'paused';
  }

  get isReplicationPaused(): boolean {
    return this.#meta.members.isAnyPaused;
  }

  /**
   * Whether this node is being closed. It stays true once the node was closed, until its process has ended or has
   * started again.
   */
  get isClosing(): boolean {
    const state = this.state(this.#nodeId);
    return state === 'closing' || state === 'offline';
  }
}
