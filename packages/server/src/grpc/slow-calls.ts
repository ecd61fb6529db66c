import type { Log } from '@coxswain/runtime';
import { serverEvents } from '../events.js';

/** A call with one request and one answer is slow, and logged, when it takes this long or longer. */
export const SLOW_CALL_MS = 1_000;
/** The time in which slow calls of one method share a log line, which has their count and the slowest time. */
const LINE_INTERVAL_MS = 10_000;

interface Slow {
  loggedMs: number;
  times: number;
  slowestMs: number;
}

/** Logs calls that took long: their method and duration, never a key or a value. */
export class SlowCalls {
  readonly #log: Log;
  readonly #byPath = new Map<string, Slow>();

  constructor(log: Log) {
    this.#log = log;
  }

  /**
   * Logs a call that has ended, if it was slow. It is only called for methods that are served, so there are no more
   * paths than methods.
   */
  ended(path: string, durationMs: number, nowMs: number): void {
    if (durationMs < SLOW_CALL_MS) return;
    let slow = this.#byPath.get(path);
    if (slow === undefined) {
      slow = { loggedMs: Number.NEGATIVE_INFINITY, times: 0, slowestMs: 0 };
      this.#byPath.set(path, slow);
    }
    slow.times++;
    slow.slowestMs = Math.max(slow.slowestMs, durationMs);
    if (nowMs - slow.loggedMs < LINE_INTERVAL_MS) return;
    const slowestMs = Math.round(slow.slowestMs);
    this.#log(serverEvents.requestSlow, { path, slowestMs, times: slow.times });
    slow.loggedMs = nowMs;
    slow.times = 0;
    slow.slowestMs = 0;
  }
}
