export interface Timer {
  cancel(): void;
}

export interface Clock {
  /** Wall time, milliseconds since 1970. May jump. */
  nowMs(): number;
  /** Never goes back; only differences mean anything. */
  monotonicMs(): number;
  /** Calls back once, after `delayMs`. */
  startTimer(delayMs: number, callback: () => void): Timer;
  /** Calls back soon, after the input that already waits was handled. */
  defer(callback: () => void): void;
}
