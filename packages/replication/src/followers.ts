import type { Clock } from '@coxswain/node';
import type { FollowerSighting } from './status.js';

/** Who has not asked for so long is forgotten. */
const FORGOTTEN_AFTER_MS = 5 * 60_000;
const SIGHTINGS_MAX = 10_000;
const NAME_LENGTH_MAX = 200;

interface Sighting {
  readonly table: string;
  readonly follower: string;
  leaderIndex: number;
  seenMs: number;
}

/** Who replicates from this node, as far as it can tell: by table, and by the name or address that they gave. */
export class Followers {
  readonly #clock: Clock;
  /** The one seen longest ago first. */
  readonly #sightings = new Map<string, Sighting>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** A follower has everything up to `leaderIndex`. */
  saw(table: string, name: string, leaderIndex: number): void {
    const follower = name.slice(0, NAME_LENGTH_MAX);
    const key = `${table}\0${follower}`;
    this.#sightings.delete(key);
    const seenMs = this.#clock.monotonicMs();
    this.#sightings.set(key, { table, follower, leaderIndex, seenMs });
    this.#forget(seenMs - FORGOTTEN_AFTER_MS);
  }

  /** Sorted by table and name. `appliedIndex` is this cluster's, by table. */
  sightings(appliedIndex: (table: string) => number | undefined): FollowerSighting[] {
    const nowMs = this.#clock.monotonicMs();
    this.#forget(nowMs - FORGOTTEN_AFTER_MS);
    return [...this.#sightings.values()]
      .map(({ table, follower, leaderIndex, seenMs }) => ({
        table,
        follower,
        leaderIndex,
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

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
