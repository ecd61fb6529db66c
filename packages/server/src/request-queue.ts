/** The messages of a call that go on coming, for one reader. */
export class RequestQueue<Message> implements AsyncIterable<Message> {
  readonly #onTaken: () => void;
  readonly #messages: (Message | Promise<Message>)[] = [];
  #isEnded = false;
  #wake: (() => void) | undefined;

  /** `onTaken` is called when the reader is done with a message and asks for more. */
  constructor(onTaken: () => void) {
    this.#onTaken = onTaken;
  }

  push(message: Message | Promise<Message>): void {
    this.#messages.push(message);
    this.#wake?.();
  }

  /** No more will come. */
  end(): void {
    this.#isEnded = true;
    this.#wake?.();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Message> {
    for (;;) {
      while (this.#messages.length > 0) {
        yield this.#messages.shift()!;
        this.#onTaken();
      }
      if (this.#isEnded) return;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }
}
