import { type ArchiveError, archiveErrors } from './errors.js';
import type { StoreCall } from './store.js';

/** What ends one operation on a store: the caller's signal, or the time that it may take. */
export class Deadline {
  /** Aborted when either has happened. */
  readonly signal: AbortSignal;
  readonly #call: StoreCall;
  readonly #url: string;
  readonly #doing: string;

  /** `doing`: what is under way, for messages. */
  constructor(url: string, doing: string, call: StoreCall) {
    this.#url = url;
    this.#doing = doing;
    this.#call = call;
    const signals: AbortSignal[] = [];
    if (call.signal) signals.push(call.signal);
    if (call.timeoutMs !== undefined) signals.push(AbortSignal.timeout(call.timeoutMs));
    this.signal = AbortSignal.any(signals);
  }

  get hasPassed(): boolean {
    return this.signal.aborted;
  }

  /** Throws when either has happened. */
  check(): void {
    if (this.hasPassed) throw this.error();
  }

  error(): ArchiveError {
    return this.#call.signal?.aborted
      ? archiveErrors.aborted(this.#url, this.#doing)
      : archiveErrors.timedOut(this.#url, this.#doing);
  }

  /** The work's end, or the deadline: work that hangs, as on a network disk that is away, is left behind. */
  async race<T>(work: Promise<T>): Promise<T> {
    const { signal } = this;
    if (signal.aborted) {
      work.catch(() => undefined);
      throw this.error();
    }
    let stop: (() => void) | undefined;
    const passed = new Promise<never>((_resolve, reject) => {
      stop = () => reject(this.error());
      signal.addEventListener('abort', stop, { once: true });
    });
    try {
      return await Promise.race([work, passed]);
    } finally {
      signal.removeEventListener('abort', stop!);
    }
  }
}
