/**
 * Counts the proposals that a node has taken and not answered, over all its groups, and refuses more beyond a limit
 * (ARCHITECTURE.md, "Limits").
 */
export class Budget {
  readonly #countMax: number;
  readonly #bytesMax: number;
  #count = 0;
  #bytes = 0;

  constructor(limits: { countMax: number; bytesMax: number }) {
    this.#countMax = limits.countMax;
    this.#bytesMax = limits.bytesMax;
  }

  /** The number of proposals that are counted now. */
  get count(): number {
    return this.#count;
  }

  /**
   * Counts a proposal of `bytes`. Returns false, and counts nothing, if that would exceed a limit. A proposal that is
   * alone always fits, however large.
   */
  tryTake(bytes: number): boolean {
    if (this.#count >= this.#countMax) return false;
    if (this.#count > 0 && this.#bytes + bytes > this.#bytesMax) return false;
    this.#count++;
    this.#bytes += bytes;
    return true;
  }

  /** Ends the count of a proposal of `bytes`. */
  release(bytes: number): void {
    this.#count--;
    this.#bytes -= bytes;
  }
}
