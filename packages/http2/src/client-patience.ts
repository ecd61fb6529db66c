import { ConnectionError, ErrorCode } from './errors.js';
import { recentStandstillMs } from './standstill.js';

/**
 * How often a client may make this side work for nothing (rapid reset, CVE-2023-44487), and how often more each
 * second: nghttp2's numbers. A request that is answered makes good for one.
 */
const PATIENCE_MAX = 1000;
const PATIENCE_PER_SECOND = 33;
/** Frames that carry nothing and change nothing, in a row. */
const IDLE_FRAMES_MAX = 1000;
/** Resets of answered streams that may still come, at most. */
const RESETS_DUE_MAX = 100_000;

/**
 * A stream that has lived so long before the client resets it counts as no work for nothing: it took one of the streams
 * that the client may have open, as any request does, and clients cancel what takes too long.
 */
const RAPID_MS = 100;
/** The same holds for a stream whose own deadline, if at least this long, has passed: a shorter one passes before any server could answer. */
const DEADLINE_MS_MIN = 10;

/** A stream that its client resets: when it came, and how long the client wanted to wait, in milliseconds. */
interface ResetStream {
  readonly openedAtMs: number;
  readonly timeoutMs: number | undefined;
}

/** Bounds the work that one client may cause for nothing. Each method throws a ConnectionError once that is spent. */
export class ClientPatience {
  #left = PATIENCE_MAX;
  #idleFrames = 0;
  /** Streams that were answered, and that the client may still reset without having known. */
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

  /** A frame carried something: idle ones are counted anew. */
  endIdleFrames(): void {
    this.#idleFrames = 0;
  }

  /** A request was answered: that makes good for one that was not, and the client may reset it without having known. */
  answered(): void {
    this.#resetsDue = Math.min(this.#resetsDue + 1, RESETS_DUE_MAX);
    if (this.#left < PATIENCE_MAX) this.#left++;
  }

  /** The client resets a stream that is not open: it may, once for each that was answered. */
  countLateReset(): void {
    if (this.#resetsDue > 0) this.#resetsDue--;
    else this.countIdleFrame();
  }

  /** Some time has passed. */
  passed(durationMs: number): void {
    this.#left = Math.min(PATIENCE_MAX, this.#left + (PATIENCE_PER_SECOND * durationMs) / 1000);
  }

  /** The client resets an open stream, at `nowMs` on the clock of `performance.now()`. */
  countReset({ openedAtMs, timeoutMs }: ResetStream, nowMs: number): void {
    const waitedMs = nowMs - openedAtMs;
    if (waitedMs >= RAPID_MS) return;
    // While the process stood still its requests lay in the system's buffers, and their resets after them.
    const hasExpired =
      timeoutMs !== undefined &&
      timeoutMs >= DEADLINE_MS_MIN &&
      waitedMs + recentStandstillMs(nowMs) >= timeoutMs;
    if (!hasExpired) this.spend();
  }
}
