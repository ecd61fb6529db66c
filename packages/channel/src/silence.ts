/** The verdict on a connection: leave it alone, test it with a call, or close it. */
export type SilenceVerdict = 'alive' | 'try' | 'dead';

/**
 * When the system has sent at least this many bytes since the last look, the other side acknowledges what is sent.
 * Otherwise a long upload over a slow link would look silent, since nothing comes back for a long time.
 */
const PROGRESS_BYTES_MIN = 16 * 1024;

/** Limits for the time that a connection may be silent. */
export interface SilenceLimits {
  /**
   * Milliseconds without a byte, while a call waits, after which the connection is tested with a call; 0 means never.
   */
  readonly silenceMs: number;
  /** Milliseconds that the test may take. When it ends without a single byte, the connection is closed. */
  readonly trialMs: number;
}

/**
 * Detects a silent connection by the counters of its socket. It counts looks and not time: a process that was itself
 * suspended was not listening meanwhile.
 */
export class Silence {
  readonly #limits: SilenceLimits;
  readonly #lookMs: number;
  #receivedBytes = 0;
  #sentBytes = 0;
  #silentLooks = 0;

  /** `lookMs` is the number of milliseconds between two calls of `look`. */
  constructor(limits: SilenceLimits, lookMs: number) {
    this.#limits = limits;
    this.#lookMs = lookMs;
  }

  /** Compares the socket's counters with those of the last look. Returns `try` once in each silence. */
  look(receivedBytes: number, sentBytes: number): SilenceVerdict {
    const isAlive =
      receivedBytes !== this.#receivedBytes || sentBytes - this.#sentBytes >= PROGRESS_BYTES_MIN;
    this.#receivedBytes = receivedBytes;
    this.#sentBytes = sentBytes;
    this.#silentLooks = isAlive ? 0 : this.#silentLooks + 1;
    const { silenceMs, trialMs } = this.#limits;
    const silentMs = this.#silentLooks * this.#lookMs;
    if (silenceMs === 0) return 'alive';
    if (silentMs >= silenceMs + trialMs) return 'dead';
    return silentMs >= silenceMs && silentMs - this.#lookMs < silenceMs ? 'try' : 'alive';
  }

  /** Starts over, when no call waits: the time until the next call is no silence. */
  reset(): void {
    this.#silentLooks = 0;
  }
}
