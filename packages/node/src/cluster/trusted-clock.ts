import type { NodeId } from '@coxswain/raft';
import type { Clock } from '@coxswain/runtime';

/** A wall clock that is further ahead than this is not believed: NTP leaves far less, a wrong setting far more. */
export const CLOCK_LEAD_MS_MAX = 10_000;
/** A jump ends when the clock is ahead by less than this, so that one at the limit does not begin a jump each second. */
const JUMP_OVER_MS = CLOCK_LEAD_MS_MAX / 2;
/** A wall clock that nothing can be compared with is believed once it has kept its new time for this long. */
const SETTLING_MS = 60_000;
/** Times that members sent are compared with one another for this long, up to twice. */
const WINDOW_MS = 30_000;

export interface TrustedClockOptions {
  /** Members of the cluster, this node among them. */
  readonly memberCount: number;
  /** The clock of this node has come to be so far ahead that it is not believed. Called once for each jump. */
  readonly onJump: (jump: { readonly aheadMs: number; readonly isCompared: boolean }) => void;
  /** The clock is believed again; `aheadMs` is the furthest that it was ahead. */
  readonly onJumpOver: (jump: { readonly aheadMs: number }) => void;
}

/**
 * Decides how much of this node's wall clock is believed (A7), from the wall times that members send with each frame.
 * A stamp of a clock that ran an hour ahead for a moment would stay in the log for ever, since the next ones may not go
 * back. So time is taken from this node's clock, but from no later moment than the members' clocks show and
 * `CLOCK_LEAD_MS_MAX`. A clock that lags is left as it is: its stamps do no such harm.
 *
 * A minority of f clocks may be wrong, this node's among them. So the limit is the f-th latest clock of the other
 * members: where this clock is ahead of it, f + 1 are at it or ahead, one of which is right. At least f + 1 others must
 * have been heard since this node started, so that one that lags does not set the limit by itself. Otherwise, and
 * in a cluster of one or two, this clock is compared with the monotonic clock alone: a jump counts once it has lasted
 * `SETTLING_MS`. A node that starts while its clock is wrong, and hears too few, can not know.
 *
 * Wall clocks are kept as their distance from this node's monotonic clock, which no change of the time moves. The last
 * one of a member that has fallen silent goes on counting: its clock runs on.
 */
export class TrustedClock {
  readonly #options: TrustedClockOptions;
  /** As many clocks as may be wrong. */
  readonly #minority: number;
  readonly #members = new Map<NodeId, MemberOffset>();
  /** The limit before `CLOCK_LEAD_MS_MAX` is added; undefined: too few members are known. */
  #comparedMs: number | undefined;
  readonly #alone = new SettledOffset();
  /** The furthest that this clock was ahead in the jump that goes on. */
  #jumpMs: number | undefined;
  #jumps = 0;
  #lastJumpMs = 0;

  constructor(options: TrustedClockOptions) {
    this.#options = options;
    this.#minority = Math.floor((options.memberCount - 1) / 2);
  }

  /** Jumps so far. */
  get jumps(): number {
    return this.#jumps;
  }

  /** The furthest that the clock was ahead in the last jump, also when it goes on; 0 before the first. */
  get lastJumpMs(): number {
    return this.#lastJumpMs;
  }

  /** Enough members were heard to compare clocks. */
  get isCompared(): boolean {
    return this.#comparedMs !== undefined;
  }

  /** A member has sent its wall time. It is later by now, by as long as the frame was under way. */
  heard(member: NodeId, wallMs: number, monotonicMs: number): void {
    let known = this.#members.get(member);
    if (known === undefined) {
      known = new MemberOffset();
      this.#members.set(member, known);
    }
    if (known.observe(wallMs - monotonicMs, monotonicMs)) this.#compare();
  }

  /** How far the wall clock is ahead of the clocks that it is compared with, in milliseconds; negative: it lags. */
  aheadMs(wallMs: number, monotonicMs: number): number {
    const offsetMs = wallMs - monotonicMs;
    return offsetMs - (this.#comparedMs ?? this.#alone.settle(offsetMs, monotonicMs));
  }

  /** The time now, in whole milliseconds since 1970: `wallMs` unless that is too far ahead. */
  now(wallMs: number, monotonicMs: number): number {
    const aheadMs = this.aheadMs(wallMs, monotonicMs);
    if (aheadMs <= CLOCK_LEAD_MS_MAX) {
      if (this.#jumpMs !== undefined && aheadMs < JUMP_OVER_MS) this.#jumpOver(this.#jumpMs);
      return wallMs;
    }
    this.#jump(aheadMs);
    return Math.floor(wallMs - aheadMs + CLOCK_LEAD_MS_MAX);
  }

  /** The same clock, whose wall time is what this one believes of it. */
  believed(clock: Clock): Clock {
    return {
      nowMs: () => this.now(clock.nowMs(), clock.monotonicMs()),
      monotonicMs: () => clock.monotonicMs(),
      startTimer: (delayMs, callback) => clock.startTimer(delayMs, callback),
      defer: (callback) => clock.defer(callback),
    };
  }

  #compare(): void {
    if (this.#minority === 0 || this.#members.size <= this.#minority) return;
    const offsets = [...this.#members.values()].map(({ valueMs }) => valueMs).sort((a, b) => b - a);
    this.#comparedMs = offsets[this.#minority - 1];
  }

  #jump(aheadMs: number): void {
    const isNew = this.#jumpMs === undefined;
    this.#jumpMs = isNew ? aheadMs : Math.max(this.#jumpMs!, aheadMs);
    this.#lastJumpMs = this.#jumpMs;
    if (!isNew) return;
    this.#jumps++;
    this.#options.onJump({ aheadMs, isCompared: this.isCompared });
  }

  #jumpOver(aheadMs: number): void {
    this.#jumpMs = undefined;
    this.#options.onJumpOver({ aheadMs });
  }
}

/**
 * A member's wall clock, as its distance from this node's monotonic clock. A frame makes it too small by the time that it
 * was under way, or waited while this node was held up; so the greatest of the last `WINDOW_MS` or twice as long counts.
 */
class MemberOffset {
  #currentMs = Number.NEGATIVE_INFINITY;
  #previousMs = Number.NEGATIVE_INFINITY;
  #sinceMs = Number.NEGATIVE_INFINITY;

  get valueMs(): number {
    return Math.max(this.#currentMs, this.#previousMs);
  }

  /** True when the value has changed. */
  observe(offsetMs: number, monotonicMs: number): boolean {
    const beforeMs = this.valueMs;
    if (monotonicMs - this.#sinceMs >= WINDOW_MS) {
      this.#previousMs = this.#currentMs;
      this.#currentMs = offsetMs;
      this.#sinceMs = monotonicMs;
    } else {
      this.#currentMs = Math.max(this.#currentMs, offsetMs);
    }
    return this.valueMs !== beforeMs;
  }
}

/** This node's wall clock as its distance from the monotonic clock, where nothing else is known to compare it with. */
class SettledOffset {
  #offsetMs: number | undefined;
  /** Since when it has been another by more than `CLOCK_LEAD_MS_MAX`, either way. */
  #differsSinceMs: number | undefined;

  /** Takes in what it is now, and gives what counts. The first one counts at once. */
  settle(offsetMs: number, monotonicMs: number): number {
    this.#offsetMs ??= offsetMs;
    if (Math.abs(offsetMs - this.#offsetMs) <= CLOCK_LEAD_MS_MAX) this.#differsSinceMs = undefined;
    else {
      this.#differsSinceMs ??= monotonicMs;
      if (monotonicMs - this.#differsSinceMs < SETTLING_MS) return this.#offsetMs;
      this.#differsSinceMs = undefined;
    }
    this.#offsetMs = offsetMs;
    return offsetMs;
  }
}
