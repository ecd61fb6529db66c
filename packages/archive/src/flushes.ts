/** A caller that waits until everything is stored that was applied when it came. */
interface Flush {
  /** The last entry that had been applied then; undefined: the log was not open yet. */
  index: number | undefined;
  readonly done: () => void;
}

/** The callers that wait for a table's log to be stored. */
export class Flushes {
  readonly #waiting = new Set<Flush>();

  get isEmpty(): boolean {
    return this.#waiting.size === 0;
  }

  /** Resolves when the entries up to `index` are stored, or when aborted. */
  add(index: number | undefined, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const flush: Flush = {
        index,
        done: () => {
          signal.removeEventListener('abort', flush.done);
          this.#waiting.delete(flush);
          resolve();
        },
      };
      signal.addEventListener('abort', flush.done, { once: true });
      this.#waiting.add(flush);
    });
  }

  /** Those who came before the log was open wait for what it has applied now. */
  setMissing(appliedIndex: number): void {
    for (const flush of this.#waiting) flush.index ??= appliedIndex;
  }

  /** Answers those who wait for entries up to `storedIndex`. */
  answerUpTo(storedIndex: number): void {
    for (const flush of [...this.#waiting])
      if ((flush.index ?? Number.POSITIVE_INFINITY) <= storedIndex) flush.done();
  }

  /** Answers everybody: nothing more will be stored here. */
  answerAll(): void {
    for (const flush of [...this.#waiting]) flush.done();
  }
}
