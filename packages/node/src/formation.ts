import type { NodeId } from '@coxswain/raft';
import type { Log } from './environment.js';
import type { FrameHeader, Hello } from './frame.js';
import { NO_CLUSTER } from './frame.js';
import { clusterIdOf, DataDirectoryError, type Genesis, genesisText, type Identity } from './identity.js';
import type { Peers } from './peers.js';

/**
 * How a cluster comes to be (T4). Every node makes an incarnation id and greets the others. When the member
 * with the lowest id has heard from every initial member that it is empty, it writes the genesis to its own
 * disk and tells it; the others join it when it names their incarnation. Only one member decides, so two
 * clusters cannot form from the same nodes; it decides durably before it tells, so a crash changes nothing.
 */
export class Formation {
  readonly #identity: Identity;
  readonly #peers: Peers;
  readonly #memberIds: readonly NodeId[];
  readonly #log: Log;
  readonly #onJoined: () => void;
  readonly #onRefused: (error: DataDirectoryError) => void;
  /** The empty members that have greeted, by incarnation. */
  readonly #empty = new Map<NodeId, string>();
  #isJoining = false;

  constructor(options: {
    identity: Identity;
    peers: Peers;
    memberIds: readonly NodeId[];
    log: Log;
    onJoined: () => void;
    onRefused: (error: DataDirectoryError) => void;
  }) {
    this.#identity = options.identity;
    this.#peers = options.peers;
    this.#memberIds = [...options.memberIds].sort((a, b) => a - b);
    this.#log = options.log;
    this.#onJoined = options.onJoined;
    this.#onRefused = options.onRefused;
  }

  /** Until the cluster has formed: greets, since the first greeting may be lost. */
  tick(): void {
    if (this.#identity.phase !== 'new') return;
    for (const id of this.#peers.ids) this.#greet(id);
    this.#formIfComplete();
  }

  onHello(header: FrameHeader, hello: Hello): void {
    if (this.#identity.phase !== 'new') {
      // The newcomer finds out by itself whether the genesis names it.
      if (header.clusterId === NO_CLUSTER) this.#greet(header.from);
      return;
    }
    if (hello.genesis !== undefined) {
      this.#join(JSON.parse(hello.genesis) as Genesis);
      return;
    }
    const theirs = [...hello.members].sort((a, b) => a - b).join();
    if (theirs !== this.#memberIds.join()) {
      this.#log(
        'error',
        'another node was started with other initial members: give all nodes the same list',
        {
          peer: header.from,
          theirs,
          ours: this.#memberIds.join(),
        },
      );
      return;
    }
    this.#empty.set(header.from, header.incarnation);
    this.#formIfComplete();
  }

  peerLost(id: NodeId): void {
    this.#empty.delete(id);
  }

  #greet(id: NodeId): void {
    const { genesis } = this.#identity;
    this.#peers.frameTo(id).hello({
      genesis: genesis === undefined ? undefined : genesisText(genesis),
      members: this.#memberIds,
    });
  }

  #formIfComplete(): void {
    if (this.#identity.nodeId !== this.#memberIds[0]) return;
    if (this.#empty.size !== this.#memberIds.length - 1) return;
    const members = this.#memberIds.map((id) => ({
      id,
      incarnation: id === this.#identity.nodeId ? this.#identity.incarnation : this.#empty.get(id)!,
    }));
    this.#join({ members });
  }

  #join(genesis: Genesis): void {
    if (this.#isJoining) return;
    const { nodeId, incarnation } = this.#identity;
    const known = genesis.members.find(({ id }) => id === nodeId);
    if (known?.incarnation !== incarnation) {
      const cluster = clusterIdOf(genesis);
      this.#onRefused(
        new DataDirectoryError(
          known === undefined
            ? `node ${nodeId} is not a member of cluster ${cluster}, whose nodes it was pointed at: check raft.initial-members`
            : `cluster ${cluster} knows node ${nodeId} with another data directory: bring that one back, since an empty one could vote twice`,
        ),
      );
      return;
    }
    this.#isJoining = true;
    this.#identity.join(genesis).then(this.#onJoined, (error: unknown) => {
      this.#onRefused(new DataDirectoryError(`node.json cannot be written: ${String(error)}`));
    });
  }
}
