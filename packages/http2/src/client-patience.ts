import { ConnectionError, ErrorCode } from './errors.js';
import { recentStandstillMs } from './standstill.js';

/**
 * The number of times that a client may cause work in vain (rapid reset, CVE-2023-44487), and by how much that grows
 * each second: nghttp2's numbers. A request that is answered adds one, too.
 */
const PATIENCE_MAX = 1000;
const PATIENCE_PER_SECOND = 33;
/** The most frames in a row that carry nothing and change nothing. */
const IDLE_FRAMES_MAX = 1000;
/** The most resets of answered streams that may still come. */
const RESETS_DUE_MAX = 100_000;

/**
 * Milliseconds after which a reset is not held against the client. The stream took one of those that the client may
 * have open, as any request does, and clients cancel calls that take too long.
 */
const RAPID_MS = 100;
/**
 * The least deadline in milliseconds that excuses an earlier reset. A shorter one passes before any server could
 * answer.
 */
const DEADLINE_MS_MIN = 10;

/**
 * The properties by which the reset of a stream is judged: when its request came, and how long the client wanted to
 * wait, in milliseconds.
 */
interface ResetStream {
  readonly openedAtMs: number;
  readonly timeoutMs: number | undefined;
}

/** Limits the work that one client may cause in vain. Each method throws a ConnectionError once the budget is spent. */
export class ClientPatience {
  #left = PATIENCE_MAX;
  #idleFrames = 0;
  /** The number of answered streams that the client may still reset, not knowing that they were answered. */
  #resetsDue = 0;

  /** Charges the client for work that it caused and then cancelled, or that its errors caused. */
  spend(): void {
    if (--this.#left < 0) throw new ConnectionError(ErrorCode.enhanceYourCalm, 'too much work for nothing');
  }

  /** Counts a frame that carries nothing and changes nothing. */
  countIdleFrame(): void {
    if (++this.#idleFrames > IDLE_FRAMES_MAX) {
      throw new ConnectionError(ErrorCode.enhanceYourCalm, 'too many frames that carry nothing');
    }
  }

  /** Ends a row of idle frames, after a frame that carried something. */
  endIdleFrames(): void {
    this.#idleFrames = 0;
  }

  /**
   * Counts an answered request: it makes up for one that was not, and the client may still reset it, not knowing the
   * answer.
   */
  answered(): void {
    this.#resetsDue = Math.min(this.#resetsDue + 1, RESETS_DUE_MAX);
    if (this.#left < PATIENCE_MAX) this.#left++;
  }

  /** Counts the reset of a stream that is not open. One is allowed for each answered stream. */
  countLateReset(): void {
    if (this.#resetsDue > 0) this.#resetsDue--;
    else this.countIdleFrame();
  }

  /** Restores a part of the budget after `durationMs` milliseconds. */
  passed(durationMs: number): void {
    this.#left = Math.min(PATIENCE_MAX, this.#left + (PATIENCE_PER_SECOND * durationMs) / 1000);
  }

  /** Counts the client's reset of an open stream, at `nowMs` on the clock of `performance.now()`. */
  countReset({ openedAtMs, timeoutMs }: ResetStream, nowMs: number): void {
    const waitedMs = nowMs - openedAtMs;
    if (waitedMs >= RAPID_MS) return;
    // While the process stood still, requests waited in the system's buffers, and their resets after them.
    const hasExpired =
      timeoutMs !== undefined &&
      timeoutMs >= DEADLINE_MS_MIN &&
      waitedMs + recentStandstillMs(nowMs) >= timeoutMs;
    if (!hasExpired) this.spend();
  }
}
