import { type ArchiveError, archiveErrors } from './errors.js';
import type { StoreCall } from './store.js';

/** Limits one operation on a store: it ends when the caller's signal aborts, or when its time is over. */
export class Deadline {
  readonly #signals: readonly AbortSignal[];
  readonly #call: StoreCall;
  readonly #url: string;
  readonly #doing: string;

  /** `doing` names the operation, for messages. */
  constructor(url: string, doing: string, call: StoreCall) {
    this.#url = url;
    this.#doing = doing;
    this.#call = call;
    const signals: AbortSignal[] = [];
    if (call.signal) signals.push(call.signal);
    if (call.timeoutMs !== undefined) signals.push(AbortSignal.timeout(call.timeoutMs));
    this.#signals = signals;
  }

  get hasPassed(): boolean {
    return this.#signals.some((signal) => signal.aborted);
  }

  /** Throws the `aborted` error when the signal has aborted, and the `timedOut` error when the time is over. */
  check(): void {
    if (this.hasPassed) throw this.error();
  }

  /** Makes the error for an operation that the deadline ended. */
  error(): ArchiveError {
    return this.#call.signal?.aborted
      ? archiveErrors.aborted(this.#url, this.#doing)
      : archiveErrors.timedOut(this.#url, this.#doing);
  }

  /**
   * Calls `listener` when the deadline passes. Returns a function that stops that, which must be called in any case:
   * the signal may live as long as the process.
   */
  onPassed(listener: () => void): () => void {
    for (const signal of this.#signals) signal.addEventListener('abort', listener);
    return () => {
      for (const signal of this.#signals) signal.removeEventListener('abort', listener);
    };
  }

  /**
   * Settles as the work does, or rejects at the deadline. Work that hangs then, as on a network disk that is away, is
   * abandoned.
   */
  async race<T>(work: Promise<T>): Promise<T> {
    if (this.hasPassed) {
      work.catch(() => undefined);
      throw this.error();
    }
    let stop: (() => void) | undefined;
    const passed = new Promise<never>((_resolve, reject) => {
      stop = this.onPassed(() => reject(this.error()));
    });
    try {
      return await Promise.race([work, passed]);
    } finally {
      stop!();
    }
  }
}
