/** The messages of a call that go on coming, for one reader, which takes each when it asks for it. */
export class RequestQueue<Message> implements AsyncIterable<Message> {
  readonly #take: () => Message | Promise<Message> | undefined;
  #isEnded = false;
  #wake: (() => void) | undefined;

  /** `take` gives the next message, undefined where none is whole yet; the reader gets the errors that it throws. */
  constructor(take: () => Message | Promise<Message> | undefined) {
    this.#take = take;
  }

  /** There may be one more. */
  wake(): void {
    this.#wake?.();
  }

  /** No more will come. */
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
