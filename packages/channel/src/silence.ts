/** What becomes of a silent connection. */
export type SilenceVerdict = 'alive' | 'try' | 'dead';

/**
 * As much more that the system took to send since the last look shows that the other side acknowledges what is sent: a
 * long upload over a slow link has nothing to read for longer than a connection may be silent.
 */
const PROGRESS_BYTES_MIN = 16 * 1024;

/** How long a connection may say nothing. */
export interface SilenceLimits {
  /** A connection on which nothing came for so long, while a call waits, is tried with a call; 0: never. */
  readonly silenceMs: number;
  /** How long that trial may take. When it is over without a single byte, the connection is closed. */
  readonly trialMs: number;
}

/**
 * Finds a connection that has fallen silent, by the counters of its socket. It counts looks and not time: a process that
 * was held up itself has not listened meanwhile.
 */
export class Silence {
  readonly #limits: SilenceLimits;
  readonly #lookMs: number;
  #receivedBytes = 0;
  #sentBytes = 0;
  #silentLooks = 0;

  /** @param lookMs how often `look` is called. */
  constructor(limits: SilenceLimits, lookMs: number) {
    this.#limits = limits;
    this.#lookMs = lookMs;
  }

  /** Takes how much came and left so far. Says `try` once in each silence. */
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

  /** Nobody waits for anything: what follows is no silence. */
  reset(): void {
    this.#silentLooks = 0;
  }
}
