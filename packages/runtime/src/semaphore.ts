/** Lets so many at a time do what takes much memory or time; others wait for their turn, in the order in which they came. */
export class Semaphore {
  #free: number;
  readonly #waiting = new Set<() => void>();

  constructor(max: number) {
    this.#free = max;
  }

  /** Settles as `act` does, which is called at once where a turn is free. */
  async take<Result>(act: () => Promise<Result>): Promise<Result> {
    const turn = this.enter();
    if (turn !== undefined) await turn;
    try {
      return await act();
    } finally {
      this.leave();
    }
  }

  /** Takes a turn until `leave`: undefined where one is free, otherwise resolves when it is. */
  enter(): Promise<void> | undefined {
    if (this.#free === 0) return new Promise<void>((resolve) => this.#waiting.add(resolve));
    this.#free--;
    return undefined;
  }

  /** Passes on a turn that `enter` gave. */
  leave(): void {
    const [next] = this.#waiting;
    if (next === undefined) {
      this.#free++;
      return;
    }
    this.#waiting.delete(next);
    next();
  }
}
