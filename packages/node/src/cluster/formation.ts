import type { NodeId } from '@coxswain/raft';
import type { Log, Random } from '@coxswain/runtime';
import { nodeEvents } from '../events.js';
import type { FrameHeader, Hello } from './frame.js';
import { NO_CLUSTER } from './frame.js';
import {
  clusterIdOf,
  DataDirectoryError,
  type Genesis,
  genesisText,
  type Identity,
  parseGenesis,
} from './identity.js';
import type { Peers } from './peers.js';

/**
 * Forms a cluster (T4). Every node makes an incarnation id and greets the others. When the member with the lowest id
 * has heard from every initial member that it is empty, it writes the genesis to its own disk and announces it; the
 * others join if it names their incarnation. Only one member decides, so two clusters cannot form from the same nodes;
 * it decides durably before it announces, so a crash changes nothing.
 *
 * Anyone who reaches the raft port may claim to be a member. So a greeting is a question with a nonce, sent over the
 * connection that this node dialled to the member's configured address, and only an answer that echoes the nonce
 * counts: its sender listens at that address. A question by itself makes this node do no more than answer it, again
 * over a connection to the configured address.
 */
export class Formation {
  readonly #identity: Identity;
  readonly #peers: Peers;
  readonly #memberIds: readonly NodeId[];
  readonly #log: Log;
  readonly #onJoined: () => void;
  readonly #onRefused: (error: DataDirectoryError) => void;
  /** The nonce that each member must echo, 16 hex digits. */
  readonly #nonces = new Map<NodeId, string>();
  /** The incarnations of the empty members that have answered. */
  readonly #empty = new Map<NodeId, string>();
  /** The refusals that were logged: each is logged once, since it repeats with every greeting. */
  readonly #refused = new Set<string>();
  /** The differing lists of initial members of other nodes, which greet many times a second: each is logged once. */
  readonly #otherLists = new Map<NodeId, string>();
  #isJoining = false;

  constructor(options: {
    identity: Identity;
    peers: Peers;
    memberIds: readonly NodeId[];
    random: Random;
    log: Log;
    onJoined: () => void;
    onRefused: (error: DataDirectoryError) => void;
  }) {
    this.#identity = options.identity;
    this.#peers = options.peers;
    this.#memberIds = [...options.memberIds].sort((a, b) => a - b);
    for (const id of this.#peers.ids) this.#nonces.set(id, options.random.bytes(8).toString('hex'));
    this.#log = options.log;
    this.#onJoined = options.onJoined;
    this.#onRefused = options.onRefused;
  }

  /** Called at every tick: asks every member until the cluster has formed, since a question may be lost. */
  tick(): void {
    if (this.#identity.phase !== 'new') return;
    for (const id of this.#peers.ids) this.#greet(id, { nonce: this.#nonces.get(id)!, echo: '' });
    this.#formIfComplete();
  }

  /** Called with a greeting: answers a question, and takes in an answer. */
  onHello(header: FrameHeader, hello: Hello): void {
    const { from } = header;
    if (hello.nonce !== '') {
      // Members of a cluster have nothing to ask. A newcomer finds out by itself whether the genesis names it.
      if (header.clusterId === NO_CLUSTER) this.#greet(from, { nonce: '', echo: hello.nonce });
      return;
    }
    if (this.#identity.phase !== 'new') return;
    if (hello.echo !== this.#nonces.get(from)) {
      this.#refuse(from, 'it does not answer at the address of that member');
      return;
    }
    if (hello.genesis !== undefined) {
      const genesis = parseGenesis(hello.genesis);
      if (genesis === undefined || clusterIdOf(genesis) !== header.clusterId) {
        this.#refuse(from, 'what it says of its cluster cannot be read');
      } else this.#join(genesis);
      return;
    }
    if (header.clusterId !== NO_CLUSTER) {
      this.#refuse(from, 'it does not say who formed its cluster');
      return;
    }
    const theirs = [...hello.members].sort((a, b) => a - b).join();
    if (theirs !== this.#memberIds.join()) {
      if (this.#otherLists.get(from) === theirs) return;
      this.#otherLists.set(from, theirs);
      this.#log(nodeEvents.otherInitialMembers, { peer: from, theirs, ours: this.#memberIds.join() });
      return;
    }
    this.#empty.set(from, header.incarnation);
    this.#formIfComplete();
  }

  #refuse(peer: NodeId, reason: string): void {
    const key = `${peer} ${reason}`;
    if (this.#refused.has(key)) return;
    this.#refused.add(key);
    this.#log(nodeEvents.greetingRefused, { peer, reason });
  }

  /** Forgets the answer of a member whose connection was lost. */
  peerLost(id: NodeId): void {
    this.#empty.delete(id);
  }

  #greet(id: NodeId, question: { readonly nonce: string; readonly echo: string }): void {
    const { genesis } = this.#identity;
    this.#peers.frameTo(id).hello({
      genesis: genesis === undefined ? undefined : genesisText(genesis),
      members: this.#memberIds,
      ...question,
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
