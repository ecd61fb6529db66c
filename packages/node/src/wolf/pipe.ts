/**
 * Passes pieces from one side, which pushes them, to the other, which takes them, one at a time, so that the faster
 * side waits.
 */
export class Pipe implements AsyncIterable<Buffer> {
  #piece: Buffer | undefined;
  #isEnded = false;
  #failure: Error | undefined;
  #taken: (() => void) | undefined;
  #wake: (() => void) | undefined;

  /** Pushes a piece. Resolves when it was taken, or when nobody takes pieces any more. */
  push(piece: Buffer): Promise<void> {
    if (piece.length === 0 || this.#failure !== undefined) return Promise.resolve();
    this.#piece = piece;
    this.#wake?.();
    return new Promise((resolve) => {
      this.#taken = resolve;
    });
  }

  /** Ends the pipe: no piece follows. */
  end(): void {
    this.#isEnded = true;
    this.#wake?.();
  }

  /** Breaks the pipe: the taking side gets the error. */
  fail(error: Error): void {
    this.#failure = error;
    this.#wake?.();
    this.#taken?.();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Buffer, void, undefined> {
    try {
      for (;;) {
        if (this.#failure !== undefined) throw this.#failure;
        const piece = this.#piece;
        if (piece !== undefined) {
          this.#piece = undefined;
          yield piece;
          this.#taken?.();
        } else if (this.#isEnded) return;
        else {
          await new Promise<void>((resolve) => {
            this.#wake = resolve;
          });
        }
      }
    } finally {
      // A taking side that stopped lets the other side go on, which learns of the reason elsewhere.
      this.#failure ??= new Error('nobody takes the rest');
      this.#taken?.();
    }
  }
}
