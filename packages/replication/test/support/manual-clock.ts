import type { Clock, Timer } from '@coxswain/runtime';
import { turns } from '@coxswain/testing';

interface Alarm {
  readonly dueMs: number;
  readonly callback: () => void;
}

/** Time that goes on when a test says so. */
export class ManualClock implements Clock {
  #nowMs = 1_000_000;
  readonly #alarms = new Set<Alarm>();

  nowMs(): number {
    return this.#nowMs;
  }

  monotonicMs(): number {
    return this.#nowMs;
  }

  startTimer(delayMs: number, callback: () => void): Timer {
    const alarm = { dueMs: this.#nowMs + delayMs, callback };
    this.#alarms.add(alarm);
    return { cancel: () => this.#alarms.delete(alarm) };
  }

  defer(callback: () => void): void {
    setImmediate(callback);
  }

  /** Timers that were started and neither fired nor cancelled. */
  get waiting(): number {
    return this.#alarms.size;
  }

  /** Lets time pass, timer by timer, with all that each one sets off. */
  async advance(durationMs: number): Promise<void> {
    const endMs = this.#nowMs + durationMs;
    await settled();
    for (;;) {
      const next = [...this.#alarms].sort((a, b) => a.dueMs - b.dueMs)[0];
      if (next === undefined || next.dueMs > endMs) break;
      this.#alarms.delete(next);
      this.#nowMs = Math.max(this.#nowMs, next.dueMs);
      next.callback();
      await settled();
    }
    this.#nowMs = endMs;
    await settled();
  }
}

/** What was set off has come to rest. */
export function settled(): Promise<void> {
  return turns(20);
}
