import type { NodeId } from '@coxswain/raft';
import type { Clock } from '@coxswain/runtime';

/**
 * The lead beyond which a wall clock is not believed, in milliseconds: NTP leaves far less, a wrong setting far more.
 */
export const CLOCK_LEAD_MS_MAX = 10_000;
/** The lead below which a jump ends, so that a clock at the limit does not begin a jump each second. */
const JUMP_OVER_MS = CLOCK_LEAD_MS_MAX / 2;
/** How long a wall clock that nothing can be compared with must keep a new time before it is believed. */
const SETTLING_MS = 60_000;
/**
 * The times that a member sent are compared with one another for this long, in milliseconds, or for up to twice as
 * long.
 */
const WINDOW_MS = 30_000;

/** The settings of a TrustedClock, and the events that it reports. */
export interface TrustedClockOptions {
  /** The number of the cluster's members, this node included. */
  readonly memberCount: number;
  /** Called once for each jump, when this node's clock is so far ahead that it is not believed. */
  readonly onJump: (jump: { readonly aheadMs: number; readonly isCompared: boolean }) => void;
  /** Called when the clock is believed again; `aheadMs` is its greatest lead in the jump. */
  readonly onJumpOver: (jump: { readonly aheadMs: number }) => void;
}

/**
 * Decides how much of this node's wall clock is believed (A7), from the wall times that members send with each frame. A
 * stamp of a clock that ran an hour ahead for a moment would stay in the log for ever, since later stamps may not go
 * back. So the time is that of this node's clock, but no later than the members' clocks show plus `CLOCK_LEAD_MS_MAX`.
 * A clock that lags is left as it is: its stamps do no such harm.
 *
 * A minority of f clocks may be wrong, this node's among them. So the limit is the f-th latest clock of the other
 * members: if this clock is ahead of it, f + 1 clocks are at it or ahead, one of which is right. At least f + 1 others
 * must have been heard since this node started, so that one that lags does not set the limit by itself. Otherwise, and
 * in a cluster of one or two, this clock is compared with the monotonic clock alone: a jump counts once it has lasted
 * `SETTLING_MS`. A node that starts while its clock is wrong, and hears too few, cannot know.
 *
 * Wall clocks are kept as their distance from this node's monotonic clock, which no change of the time moves. The last
 * one of a member that has fallen silent still counts: its clock runs on.
 */
export class TrustedClock {
  readonly #options: TrustedClockOptions;
  /** The number of clocks that may be wrong. */
  readonly #minority: number;
  readonly #members = new Map<NodeId, MemberOffset>();
  /**
   * The limit before `CLOCK_LEAD_MS_MAX` is added, in milliseconds from the monotonic clock; undefined when too few
   * members are known.
   */
  #comparedMs: number | undefined;
  readonly #alone = new SettledOffset();
  /** The greatest lead of this clock in the jump that goes on; undefined when none does. */
  #jumpMs: number | undefined;
  #jumps = 0;
  #lastJumpMs = 0;

  constructor(options: TrustedClockOptions) {
    this.#options = options;
    this.#minority = Math.floor((options.memberCount - 1) / 2);
  }

  /** The number of jumps so far. */
  get jumps(): number {
    return this.#jumps;
  }

  /** The greatest lead of the clock in the last jump, in milliseconds, even if it goes on; 0 before the first. */
  get lastJumpMs(): number {
    return this.#lastJumpMs;
  }

  /** Whether enough members were heard to compare clocks. */
  get isCompared(): boolean {
    return this.#comparedMs !== undefined;
  }

  /** Called with the wall time that a member has sent. It is later by now, by as long as the frame was under way. */
  heard(member: NodeId, wallMs: number, monotonicMs: number): void {
    let known = this.#members.get(member);
    if (known === undefined) {
      known = new MemberOffset();
      this.#members.set(member, known);
    }
    if (known.observe(wallMs - monotonicMs, monotonicMs)) this.#compare();
  }

  /**
   * Gives the lead of the wall clock over the clocks with which it is compared, in milliseconds; negative when it lags.
   */
  aheadMs(wallMs: number, monotonicMs: number): number {
    const offsetMs = wallMs - monotonicMs;
    return offsetMs - (this.#comparedMs ?? this.#alone.settle(offsetMs, monotonicMs));
  }

  /** Gives the time that is believed, in whole milliseconds since 1970: `wallMs`, unless that is too far ahead. */
  now(wallMs: number, monotonicMs: number): number {
    const aheadMs = this.aheadMs(wallMs, monotonicMs);
    if (aheadMs <= CLOCK_LEAD_MS_MAX) {
      if (this.#jumpMs !== undefined && aheadMs < JUMP_OVER_MS) this.#jumpOver(this.#jumpMs);
      return wallMs;
    }
    this.#jump(aheadMs);
    return Math.floor(wallMs - aheadMs + CLOCK_LEAD_MS_MAX);
  }

  /** Gives a clock like `clock`, whose wall time is as much of that clock's as is believed. */
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
 * A member's wall clock, as its distance from this node's monotonic clock. The time that a frame was under way, or
 * waited while this node was held up, makes the distance too small. So the greatest one of the last `WINDOW_MS`, or up
 * to twice as long, counts.
 */
class MemberOffset {
  #currentMs = Number.NEGATIVE_INFINITY;
  #previousMs = Number.NEGATIVE_INFINITY;
  #sinceMs = Number.NEGATIVE_INFINITY;

  get valueMs(): number {
    return Math.max(this.#currentMs, this.#previousMs);
  }

  /** Takes in a distance. Returns whether the value has changed. */
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

/**
 * This node's wall clock as its distance from the monotonic clock, for when there is nothing else to compare it with.
 */
class SettledOffset {
  #offsetMs: number | undefined;
  /** Since when the distance has differed by more than `CLOCK_LEAD_MS_MAX`, in either direction. */
  #differsSinceMs: number | undefined;

  /** Takes in the distance now, and gives the one that counts. The first one counts at once. */
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
