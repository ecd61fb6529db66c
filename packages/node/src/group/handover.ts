import { NO_NODE, type NodeId, type PeerStatus } from '@coxswain/raft';
import type { Log } from '@coxswain/runtime';
import { nodeEvents } from '../events.js';
import type { Replica } from './replica.js';

interface HandoverOptions {
  readonly replicas: { values(): Iterable<Replica> };
  /** Whether `peer` is connected and was heard within an election timeout. */
  readonly isAlive: (peer: NodeId) => boolean;
  readonly log: Log;
  /** The longest time that the handover may take, in ticks of the node. */
  readonly patienceTicks: number;
}

/**
 * Hands over the groups that a node leads before it stops (thesis 3.10), so that no group waits for an election
 * timeout. Each group goes to a voter that follows in step, and together they are spread over the other nodes. A voter
 * that does not take over within an election timeout is not asked again, and the next one is.
 *
 * Meanwhile the node goes on as before: it ticks, takes requests, and forwards them to the new leaders.
 */
export class Handover {
  readonly #options: HandoverOptions;
  #ticksLeft = 0;
  #finish: (() => void) | undefined;
  /**
   * The groups that this node led when the handover began, or since, and the voters that were asked to take each over.
   */
  readonly #asked = new Map<Replica, Set<NodeId>>();
  /** The number of groups that each node leads or was asked to lead. */
  readonly #groupsOf = new Map<NodeId, number>();

  constructor(options: HandoverOptions) {
    this.#options = options;
  }

  /**
   * Hands the groups over. Resolves when every group that this node led has another leader, or nobody is left to ask
   * for it, and after `patienceTicks` at the latest. Called once.
   */
  run(): Promise<void> {
    this.#ticksLeft = this.#options.patienceTicks;
    for (const { raft, speaksFrames } of this.#options.replicas.values()) {
      if (speaksFrames) this.#count(raft.leader);
    }
    return new Promise((resolve) => {
      this.#finish = resolve;
      this.look();
    });
  }

  /** Ends the handover, complete or not, because the node has failed and nothing ticks any more. */
  abandon(): void {
    if (this.#finish !== undefined) this.#end(this.#finish);
  }

  /** Counts a tick of the node, and looks again. */
  tick(): void {
    if (this.#finish === undefined) return;
    this.#ticksLeft--;
    this.look();
  }

  /**
   * Looks which groups still wait for another leader, and asks further voters. Also called when a group's leader
   * changes.
   */
  look(): void {
    if (this.#finish === undefined) return;
    let waiting = 0;
    for (const replica of this.#options.replicas.values()) if (this.#isWaiting(replica)) waiting++;
    if (waiting === 0 || this.#ticksLeft <= 0) this.#end(this.#finish);
  }

  #end(finish: () => void): void {
    this.#finish = undefined;
    if (this.#asked.size > 0) {
      const kept = [...this.#asked.keys()].filter(
        ({ raft, isLeader }) => isLeader || raft.leader === NO_NODE,
      );
      const [groups, keptGroups] = [this.#asked.size, kept.length];
      if (keptGroups === 0) this.#options.log(nodeEvents.leadershipHandedOver, { groups });
      else this.#options.log(nodeEvents.leadershipKept, { groups, keptGroups });
    }
    finish();
  }

  #isWaiting(replica: Replica): boolean {
    if (replica.isClosed || replica.isSuspended || !replica.speaksFrames) return false;
    const { raft, isLeader } = replica;
    // This node was deposed already, but the election that deposed it may still fail. Where too few voters are left
    // nobody wins one: the other nodes are stopping too.
    if (!isLeader) return raft.leader === NO_NODE && this.#asked.has(replica) && replica.isQuorumAlive;
    if (raft.transferTarget !== NO_NODE && this.#options.isAlive(raft.transferTarget)) return true;
    const others = raft.peerStatuses().filter(({ isLearner }) => !isLearner);
    // The only member of its group has nobody to hand over to.
    if (others.length === 0) return false;
    const asked = this.#asked.get(replica) ?? new Set();
    this.#asked.set(replica, asked);
    const target = this.#successor(others.filter(({ id }) => !asked.has(id)));
    if (target === undefined) return false;
    asked.add(target);
    this.#count(target);
    return replica.transferLeadership(target);
  }

  /** Chooses among the voters that can take over: one that follows in step first, then one that leads few groups. */
  #successor(peers: readonly PeerStatus[]): NodeId | undefined {
    const able = peers.filter(({ id, state }) => state !== 'snapshot' && this.#options.isAlive(id));
    const lag = ({ state }: PeerStatus) => (state === 'replicate' ? 0 : 1);
    const groups = ({ id }: PeerStatus) => this.#groupsOf.get(id) ?? 0;
    able.sort((a, b) => lag(a) - lag(b) || groups(a) - groups(b) || b.match - a.match);
    return able[0]?.id;
  }

  #count(leader: NodeId): void {
    this.#groupsOf.set(leader, (this.#groupsOf.get(leader) ?? 0) + 1);
  }
}
