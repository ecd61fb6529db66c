import type { Clock, Timer } from '@coxswain/runtime';
import { EventKind, type EventLoop } from './event-loop.js';
import type { SimulatedProcess } from './process.js';

/** The time on the clocks of all nodes when a run begins: 2026-01-01T00:00:00Z. */
const epochMs = Date.UTC(2026, 0, 1);

/**
 * The clock chip of one machine, which outlives its processes. Its rate is off by a little, and its wall time can be
 * set.
 */
export class SimulatedClock {
  #wallOffsetMs: number;
  #jumpedUs = Number.NEGATIVE_INFINITY;

  readonly #loop: EventLoop;
  /** Seconds of this clock in a true second. */
  readonly #rate: number;

  constructor(loop: EventLoop, rate: number, wallOffsetMs: number) {
    this.#loop = loop;
    this.#rate = rate;
    this.#wallOffsetMs = wallOffsetMs;
  }

  get monotonicMs(): number {
    return (this.#loop.nowUs / 1000) * this.#rate;
  }

  /** The wall time of a clock without any error, in milliseconds since 1970. */
  get trueMs(): number {
    return epochMs + this.#loop.nowUs / 1000;
  }

  /** The milliseconds by which the wall time is ahead of the true one; negative when it is behind. */
  get errorMs(): number {
    return epochMs + this.monotonicMs + this.#wallOffsetMs - this.trueMs;
  }

  /** Sets the wall time forwards or backwards. */
  jump(byMs: number): void {
    this.#wallOffsetMs += byMs;
    this.#jumpedUs = this.#loop.nowUs;
  }

  /** The time of the last jump, in microseconds of the event loop. */
  get jumpedUs(): number {
    return this.#jumpedUs;
  }

  /** Returns the clock as a process sees it. */
  attach(process: SimulatedProcess): Clock {
    const loop = this.#loop;
    const rate = this.#rate;
    return {
      nowMs: () => Math.floor(epochMs + this.monotonicMs + this.#wallOffsetMs),
      monotonicMs: () => this.monotonicMs,
      startTimer: (delayMs: number, callback: () => void): Timer =>
        loop.schedule((Math.max(0, delayMs) * 1000) / rate, EventKind.Timer, process, callback),
      defer: (callback: () => void) => {
        loop.schedule(0, EventKind.Defer, process, callback);
      },
    };
  }
}
