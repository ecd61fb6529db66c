import type { Clock } from '@coxswain/runtime';
import type { FollowerSighting } from './status.js';

/** A follower that has not asked for so long is forgotten. */
const FORGOTTEN_AFTER_MS = 5 * 60_000;
const SIGHTINGS_MAX = 10_000;
const NAME_LENGTH_MAX = 200;

interface Sighting {
  readonly table: string;
  readonly follower: string;
  readonly clusterId: string;
  readonly leaderIndex: number;
  readonly appliedIndex: number;
  readonly seenMs: number;
}

/** A follower that asks for a table's log. */
export interface Asker {
  /** The name that the follower gave, or its network address. */
  readonly name: string;
  /** The id of the follower's cluster, one node of which replicates a table at a time; empty: it gave none. */
  readonly clusterId: string;
}

/**
 * Remembers who replicates from this node, as far as the node can see: by table, and by the follower cluster's id, so
 * that a node that takes over from another one of its cluster takes its place here, or by the name or address of
 * followers that give no id.
 */
export class Followers {
  readonly #clock: Clock;
  /** The sightings, with the one seen longest ago first. */
  readonly #sightings = new Map<string, Sighting>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /**
   * Records that a follower has taken everything up to `leaderIndex`, and applied it up to `appliedIndex`. Returns true
   * when it, or its cluster, was not known here.
   */
  saw(table: string, asker: Asker, leaderIndex: number, appliedIndex = leaderIndex): boolean {
    const follower = asker.name.slice(0, NAME_LENGTH_MAX);
    const key = asker.clusterId === '' ? `${table}\0${follower}` : keyOf(table, asker.clusterId);
    const isNew = !this.#sightings.delete(key);
    const seenMs = this.#clock.monotonicMs();
    const clusterId = asker.clusterId.slice(0, NAME_LENGTH_MAX);
    this.#sightings.set(key, { table, follower, clusterId, leaderIndex, appliedIndex, seenMs });
    this.#forget(seenMs - FORGOTTEN_AFTER_MS);
    return isNew;
  }

  /** Forgets a follower cluster that asks another node for the table now: its last sighting here is no lag. */
  left(table: string, clusterId: string): void {
    this.#sightings.delete(keyOf(table, clusterId));
  }

  /**
   * Returns the sightings, sorted by table and name. `appliedIndex` returns this cluster's applied index of a table.
   */
  sightings(appliedIndex: (table: string) => number | undefined): FollowerSighting[] {
    const nowMs = this.#clock.monotonicMs();
    this.#forget(nowMs - FORGOTTEN_AFTER_MS);
    return [...this.#sightings.values()]
      .map(({ table, follower, clusterId, leaderIndex, appliedIndex: applied, seenMs }) => ({
        table,
        follower,
        clusterId,
        leaderIndex,
        appliedIndex: applied,
        lagEntries: Math.max(0, (appliedIndex(table) ?? leaderIndex) - leaderIndex),
        lastSeenMsAgo: nowMs - seenMs,
      }))
      .sort((a, b) => compareText(a.table, b.table) || compareText(a.follower, b.follower));
  }

  #forget(seenBeforeMs: number): void {
    for (const [key, { seenMs }] of this.#sightings) {
      if (seenMs >= seenBeforeMs && this.#sightings.size <= SIGHTINGS_MAX) return;
      this.#sightings.delete(key);
    }
  }
}

function keyOf(table: string, clusterId: string): string {
  return `${table}\0cluster\0${clusterId.slice(0, NAME_LENGTH_MAX)}`;
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
