import type { replication } from '@coxswain/protocol';
import type { Clock } from '@coxswain/runtime';

/** A node that has not asked for so long is forgotten. */
const FORGOTTEN_AFTER_MS = 5 * 60_000;
const NODES_MAX = 1_000;
const TEXT_LENGTH_MAX = 200;

/** A node of a follower cluster, as it described itself when it last asked for the tables. */
export interface FollowerNodeSighting {
  readonly clusterId: string;
  readonly name: string;
  /** host:port of its REST listener. */
  readonly address: string;
  /** The state that an operator wants of it: online, pausing, paused, closing or offline. */
  readonly state: string;
  readonly lastSeenMsAgo: number;
}

interface Seen {
  readonly node: Omit<FollowerNodeSighting, 'lastSeenMsAgo'>;
  readonly seenMs: number;
}

/** The nodes of follower clusters that asked this node for its tables within five minutes. */
export class FollowerNodes {
  readonly #clock: Clock;
  /** The sightings, with the one seen longest ago first. */
  readonly #seen = new Map<string, Seen>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  saw({ clusterId, name, address, state }: replication.FollowerNode): void {
    if (clusterId === '' || name === '') return;
    const cut = (text: string): string => text.slice(0, TEXT_LENGTH_MAX);
    const node = { clusterId: cut(clusterId), name: cut(name), address: cut(address), state: cut(state) };
    const key = `${node.clusterId}\0${node.name}`;
    this.#seen.delete(key);
    this.#seen.set(key, { node, seenMs: this.#clock.monotonicMs() });
    this.#forget();
  }

  /** Returns the sightings, with the one seen longest ago first. */
  sightings(): FollowerNodeSighting[] {
    this.#forget();
    const nowMs = this.#clock.monotonicMs();
    return [...this.#seen.values()].map(({ node, seenMs }) => ({ ...node, lastSeenMsAgo: nowMs - seenMs }));
  }

  #forget(): void {
    const seenBeforeMs = this.#clock.monotonicMs() - FORGOTTEN_AFTER_MS;
    for (const [key, { seenMs }] of this.#seen) {
      if (seenMs >= seenBeforeMs && this.#seen.size <= NODES_MAX) return;
      this.#seen.delete(key);
    }
  }
}
