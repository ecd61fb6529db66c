import type { NodeId } from '@coxswain/raft';
import type { NodeOptions } from '../api/options.js';
import type { Replicas } from '../group/replicas.js';
import type { Peers } from './peers.js';

/**
 * Once its leader was silent for one election timeout, which wakes a quiet group, a follower counts up to two more
 * before it gives the leader up.
 */
const FORLORN_ELECTION_TIMEOUTS = 3;

/** Says which members live, as far as this node hears. It never stands in for a group's own quorum (P2). */
export class Liveness {
  readonly #peers: Peers;
  readonly #electionMs: number;
  readonly #silent = new Set<NodeId>();

  constructor(peers: Peers, { electionTicks, tickMs }: NodeOptions) {
    this.#peers = peers;
    this.#electionMs = electionTicks * tickMs;
  }

  /** Whether the peer is connected and was heard within an election timeout. */
  isAlive(peer: NodeId): boolean {
    return this.#peers.isConnected(peer) && !this.#isSilent(peer);
  }

  /**
   * Whether the peer was silent for so long that, if it lives, it has given up every leader among the members that this
   * node hears.
   */
  isForlorn(peer: NodeId): boolean {
    return this.#peers.silenceMs(peer) >= FORLORN_ELECTION_TIMEOUTS * this.#electionMs;
  }

  #isSilent(peer: NodeId): boolean {
    return this.#peers.silenceMs(peer) >= this.#electionMs;
  }

  /** Wakes the quiet groups of a peer that has fallen silent, since they count no ticks. */
  wakeForSilent(replicas: Replicas): void {
    for (const id of this.#peers.ids) {
      if (!this.#peers.isConnected(id) || !this.#isSilent(id)) {
        this.#silent.delete(id);
        continue;
      }
      if (this.#silent.has(id)) continue;
      this.#silent.add(id);
      for (const replica of replicas.values()) {
        if (replica.isQuiet && (replica.isLeader || replica.raft.leader === id)) replica.wake();
      }
    }
  }
}
