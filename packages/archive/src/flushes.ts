/** A caller that waits until everything is stored that was applied when it called. */
interface Flush {
  /** The index of the last entry that was applied at the call; undefined when the log was not open yet. */
  index: number | undefined;
  readonly done: () => void;
}

/** The callers that wait until a table's log is stored. */
export class Flushes {
  readonly #waiting = new Set<Flush>();

  get isEmpty(): boolean {
    return this.#waiting.size === 0;
  }

  /**
   * Resolves when the entries up to `index` are stored, when nothing more will be, or when aborted. `setMissing`
   * supplies an index that is undefined.
   */
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

  /** Supplies the index for callers that came before the log was open: they wait for what it has applied now. */
  setMissing(appliedIndex: number): void {
    for (const flush of this.#waiting) flush.index ??= appliedIndex;
  }

  /** Resolves the calls that wait for entries up to `storedIndex`. */
  answerUpTo(storedIndex: number): void {
    for (const flush of [...this.#waiting])
      if ((flush.index ?? Number.POSITIVE_INFINITY) <= storedIndex) flush.done();
  }

  /** Resolves all calls: nothing more will be stored here. */
  answerAll(): void {
    for (const flush of [...this.#waiting]) flush.done();
  }
}
