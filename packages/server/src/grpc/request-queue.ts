/** The streamed messages of a call, for one reader, which takes each when it asks for it. */
export class RequestQueue<Message> implements AsyncIterable<Message> {
  readonly #take: () => Message | Promise<Message> | undefined;
  #isEnded = false;
  #wake: (() => void) | undefined;

  /**
   * `take` returns the next message, or undefined when none is complete yet. The reader gets the errors that it throws.
   */
  constructor(take: () => Message | Promise<Message> | undefined) {
    this.#take = take;
  }

  /** Lets the reader look for a further message. */
  wake(): void {
    this.#wake?.();
  }

  /** Ends the queue, when no more messages will come. */
  end(): void {
    this.#isEnded = true;
    this.#wake?.();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Message> {
    for (;;) {
      for (let message = this.#take(); message !== undefined; message = this.#take()) yield message;
      if (this.#isEnded) return;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }
}
