/** What a node lets in before it pushes back (ARCHITECTURE.md, "Limits"), shared by all its groups. */
export class Budget {
  readonly #countMax: number;
  readonly #bytesMax: number;
  #count = 0;
  #bytes = 0;

  constructor(limits: { countMax: number; bytesMax: number }) {
    this.#countMax = limits.countMax;
    this.#bytesMax = limits.bytesMax;
  }

  get count(): number {
    return this.#count;
  }

  /** False when it would pass a limit. One request always fits, however large. */
  tryTake(bytes: number): boolean {
    if (this.#count >= this.#countMax) return false;
    if (this.#count > 0 && this.#bytes + bytes > this.#bytesMax) return false;
    this.#count++;
    this.#bytes += bytes;
    return true;
  }

  release(bytes: number): void {
    this.#count--;
    this.#bytes -= bytes;
  }
}
