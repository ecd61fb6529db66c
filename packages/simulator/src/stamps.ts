import type { NodeId } from '@coxswain/raft';
import type { SimulatedClock } from './clock.js';
import { check } from './violation.js';

/** The error from which on a clock counts as ahead, in milliseconds; drift alone may cause a part of it. */
const AHEAD_MS = 20_000;
/** The lead that a node allows its own clock over the group's time, in milliseconds. */
const LEAD_MS = 10_000;
/** The greatest rate at which the clocks of two machines part, and an estimate of one with them. */
const DRIFT = 0.15;
/**
 * Milliseconds after which a clock that a node cannot compare counts again: a little less than a minute, since clocks
 * drift.
 */
const SETTLING_MS = 50_000;
/** The most milliseconds between an entry's stamp and its appearance in the log. */
const APPEND_MS = 5_000;

/** The observations of one node's clock. */
class Watched {
  hasBeenAhead = false;
  life: object | undefined;
  /**
   * True when the process was started, or opened its disk, while the clock was ahead, so that it has no right time to
   * compare with.
   */
  isWrongFromStart = false;
  aheadSinceMs: number | undefined;
  /** The time until which the node may use stamps that it cannot know to be wrong. */
  doubtedUntilMs = 0;
  /** The latest of these stamps. */
  excusedMs = 0;

  constructor(readonly clock: SimulatedClock) {}
}

/**
 * Checks that a leader stamps no entry far ahead of the true time (A7), as long as the clocks of a majority were never
 * ahead. It excuses errors that a node could not know: a node that was started while its clock was ahead, or whose
 * clock has been ahead for a minute, and that has not heard enough members to compare clocks. An excused stamp excuses
 * later ones up to it, since stamps may not go back.
 */
export class Stamps {
  readonly #nodes: ReadonlyMap<NodeId, Watched>;
  readonly #excusedMs = new Map<number, number>();
  readonly #beganMs: number;

  constructor(clocks: ReadonlyMap<NodeId, SimulatedClock>) {
    this.#nodes = new Map([...clocks].map(([id, clock]) => [id, new Watched(clock)]));
    this.#beganMs = [...clocks.values()][0]!.trueMs;
  }

  /** Observes a node after one of its events; `life` identifies its process, which began at `startedUs`. */
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

  /** Checks the stamp of an entry that is seen for the first time. */
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
