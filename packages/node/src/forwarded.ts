/**
 * What a leader appended for other nodes in its current term, so that a repeat is dropped (P1). A node
 * repeats a proposal when its connection to the leader broke; without this it would be applied twice.
 */
export class ForwardedSequences {
  #term = 0;
  /** By `node/boot` of the origin. */
  readonly #appended = new Map<string, Set<number>>();

  /** Sequences below `settledBelow` never come again. Those of earlier terms are not accepted any more. */
  begin(term: number, origin: string, settledBelow: number): Set<number> {
    if (term !== this.#term) {
      this.#term = term;
      this.#appended.clear();
    }
    let sequences = this.#appended.get(origin);
    if (sequences === undefined) {
      sequences = new Set();
      this.#appended.set(origin, sequences);
    }
    // Insertion order is nearly ascending, and a late one only stays a little longer.
    for (const sequence of sequences) {
      if (sequence >= settledBelow) break;
      sequences.delete(sequence);
    }
    return sequences;
  }
}
