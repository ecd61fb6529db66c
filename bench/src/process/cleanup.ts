/** Collects the steps that must be undone at the end, whatever happens: last started, first stopped. */
export class Cleanup {
  readonly #steps: (() => Promise<void>)[] = [];
  #isDone = false;

  /** Promises that the step is run at the end; at once when the end has already come. */
  async defer(step: () => Promise<void>): Promise<void> {
    if (this.#isDone) await step();
    else this.#steps.push(step);
  }

  /**
   * Runs every step, even when some fail.
   *
   * @throws AggregateError with the failures
   */
  async run(): Promise<void> {
    this.#isDone = true;
    const errors: unknown[] = [];
    for (let step = this.#steps.pop(); step !== undefined; step = this.#steps.pop()) {
      try {
        await step();
      } catch (error) {
        errors.push(error);
      }
    }
    if (errors.length > 0) throw new AggregateError(errors, 'cleaning up failed');
  }
}
