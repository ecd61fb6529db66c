/**
 * Limits how many callers at the same time do work that takes much memory or time; others wait for their turn, in
 * order.
 */
export class Semaphore {
  #free: number;
  readonly #waiting = new Set<() => void>();

  constructor(max: number) {
    this.#free = max;
  }

  /** Calls `act` in a turn, at once when one is free, and settles as it does. */
  async take<Result>(act: () => Promise<Result>): Promise<Result> {
    const turn = this.enter();
    if (turn !== undefined) await turn;
    try {
      return await act();
    } finally {
      this.leave();
    }
  }

  /** Takes a turn until `leave`. Returns undefined when one is free; otherwise the promise resolves when it is. */
  enter(): Promise<void> | undefined {
    if (this.#free === 0) return new Promise<void>((resolve) => this.#waiting.add(resolve));
    this.#free--;
    return undefined;
  }

  /** Gives back a turn from `enter`, to the next caller in line if there is one. */
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
