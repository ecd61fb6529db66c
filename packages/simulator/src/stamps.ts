import type { NodeId } from '@coxswain/raft';
import type { SimulatedClock } from './clock.js';
import { check } from './violation.js';

/** A clock counts as ahead from here on: drift alone may make out a part of it. */
const AHEAD_MS = 20_000;
/** What a node allows its own clock, of this node's time. */
const LEAD_MS = 10_000;
/** How fast the clocks of two machines part, and an estimate of one with them, at most. */
const DRIFT = 0.15;
/** A clock that a node compares with nothing counts again after a minute: a little less, since clocks drift. */
const SETTLING_MS = 50_000;
/** An entry is in the log this long after its leader stamped it. */
const APPEND_MS = 5_000;

/** What is known of one node's clock. */
class Watched {
  hasBeenAhead = false;
  life: object | undefined;
  /** Its process was started, or opened its disk, while the clock was ahead: it has nothing right to compare with. */
  isWrongFromStart = false;
  aheadSinceMs: number | undefined;
  /** Until then it may stamp what it cannot know to be wrong. */
  doubtedUntilMs = 0;
  /** The furthest of such stamps. */
  excusedMs = 0;

  constructor(readonly clock: SimulatedClock) {}
}

/**
 * Checks that a leader stamps no entry far ahead of the true time (A7), as long as the clocks of a majority were never
 * ahead. Excused is what nobody could know: a node that was started while its clock was ahead, or has kept it so for a
 * minute, and has not heard enough members to compare clocks. A stamp that is excused excuses the later ones up to it,
 * since they may not go back.
 */
export class Stamps {
  readonly #nodes: ReadonlyMap<NodeId, Watched>;
  readonly #excusedMs = new Map<number, number>();
  readonly #beganMs: number;

  constructor(clocks: ReadonlyMap<NodeId, SimulatedClock>) {
    this.#nodes = new Map([...clocks].map(([id, clock]) => [id, new Watched(clock)]));
    this.#beganMs = [...clocks.values()][0]!.trueMs;
  }

  /** After an event of `node`, whose process `life` is, and began at `startedUs`. */
  observe(node: NodeId, { life, isCompared, startedUs }: ObservedNode): void {
    for (const watched of this.#nodes.values()) watched.hasBeenAhead ||= watched.clock.errorMs > AHEAD_MS;
    const watched = this.#nodes.get(node)!;
    const { clock } = watched;
    const isAhead = clock.errorMs > AHEAD_MS;
    if (watched.life !== life) {
      watched.life = life;
      watched.isWrongFromStart = isAhead || clock.jumpedUs >= startedUs;
      watched.aheadSinceMs = undefined;
    }
    if (!isAhead) {
      watched.aheadSinceMs = undefined;
      return;
    }
    watched.aheadSinceMs ??= clock.trueMs;
    const isSettled = watched.isWrongFromStart || clock.trueMs - watched.aheadSinceMs > SETTLING_MS;
    if (isCompared || !isSettled) return;
    watched.doubtedUntilMs = clock.trueMs + APPEND_MS;
    watched.excusedMs = Math.max(watched.excusedMs, clock.trueMs + clock.errorMs);
  }

  /** An entry of a group was seen for the first time. */
  appended(leader: NodeId | undefined, group: number, timeMs: number): void {
    const watched = leader === undefined ? undefined : this.#nodes.get(leader);
    const ahead = [...this.#nodes.values()].filter(({ hasBeenAhead }) => hasBeenAhead).length;
    const isMajorityRight = ahead < this.#nodes.size / 2;
    const excusedMs = Math.max(this.#excusedMs.get(group) ?? 0, watched?.excusedMs ?? 0);
    if (watched === undefined || !isMajorityRight || watched.doubtedUntilMs > watched.clock.trueMs) {
      this.#excusedMs.set(group, Math.max(excusedMs, timeMs));
      return;
    }
    const { trueMs, errorMs } = watched.clock;
    const boundMs = trueMs + AHEAD_MS + LEAD_MS + (trueMs - this.#beganMs) * DRIFT;
    check(
      timeMs <= Math.max(boundMs, excusedMs),
      'a stamp is not far ahead of the time',
      () =>
        `group ${group}: node ${leader}, whose clock is ahead by ${errorMs} ms, stamped ${timeMs - trueMs} ms ahead`,
    );
  }
}

export interface ObservedNode {
  readonly life: object;
  readonly isCompared: boolean;
  readonly startedUs: number;
}
