const VIOLATIONS_KEPT = 100;
const VIOLATIONS_SHOWN = 3;

/** Collects the violations of a run, in words. */
export class Violations {
  readonly #texts: string[] = [];
  #count = 0;

  get count(): number {
    return this.#count;
  }

  get texts(): readonly string[] {
    return this.#texts;
  }

  add(text: string): void {
    this.#count++;
    if (this.#texts.length < VIOLATIONS_KEPT) this.#texts.push(text);
  }

  /** Summarizes for people: the number of violations, and the first of them. */
  summary(): string {
    if (this.#count === 0) return 'none';
    return `${this.#count}, the first: ${this.#texts.slice(0, VIOLATIONS_SHOWN).join('; ')}`;
  }
}
