export interface Timer {
  cancel(): void;
}

export interface Clock {
  /** Returns wall time in milliseconds since 1970, which may jump. */
  nowMs(): number;
  /** Returns milliseconds that never go back; only differences of them have a meaning. */
  monotonicMs(): number;
  /** Calls back once, after `delayMs` milliseconds. */
  startTimer(delayMs: number, callback: () => void): Timer;
  /** Calls back soon, after the input that already waits was handled. */
  defer(callback: () => void): void;
}
