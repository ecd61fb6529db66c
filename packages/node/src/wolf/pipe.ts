/** Pieces that one side pushes and the other takes, one at a time, so that the faster of the two waits. */
export class Pipe implements AsyncIterable<Buffer> {
  #piece: Buffer | undefined;
  #isEnded = false;
  #failure: Error | undefined;
  #taken: (() => void) | undefined;
  #wake: (() => void) | undefined;

  /** Resolves when the piece was taken, or nobody takes any more. */
  push(piece: Buffer): Promise<void> {
    if (piece.length === 0 || this.#failure !== undefined) return Promise.resolve();
    this.#piece = piece;
    this.#wake?.();
    return new Promise((resolve) => {
      this.#taken = resolve;
    });
  }

  end(): void {
    this.#isEnded = true;
    this.#wake?.();
  }

  /** Whoever takes gets the error. */
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
      // Whoever stopped taking lets the other side go on, which hears of the reason elsewhere.
      this.#failure ??= new Error('nobody takes the rest');
      this.#taken?.();
    }
  }
}
