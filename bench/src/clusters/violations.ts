const VIOLATIONS_KEPT = 100;
const VIOLATIONS_SHOWN = 3;

/** What was found to be wrong during a run, in words. */
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

  /** For people: how many there are, and the first of them. */
  summary(): string {
    if (this.#count === 0) return 'none';
    return `${this.#count}, the first: ${this.#texts.slice(0, VIOLATIONS_SHOWN).join('; ')}`;
  }
}
