interface Origin {
  /** Every sequence below it is settled: one that still comes was delayed on an old connection. */
  settledBelow: number;
  readonly appended: Set<number>;
}

/**
 * What a leader appended for other nodes in its current term, so that a repeat is dropped (P1). A node
 * repeats a proposal when its connection to the leader broke; without this it would be applied twice.
 */
export class ForwardedSequences {
  #term = 0;
  /** By `node/boot` of the origin. */
  readonly #origins = new Map<string, Origin>();

  /**
   * Which of these the leader of `term` has not seen yet: they are to be appended, and then reported with
   * `appended`. Proposals of earlier terms are not accepted any more, so what they left is forgotten.
   */
  fresh<Proposal extends { readonly sequence: number }>(
    term: number,
    from: string,
    settledBelow: number,
    proposals: readonly Proposal[],
  ): readonly Proposal[] {
    if (term !== this.#term) {
      this.#term = term;
      this.#origins.clear();
    }
    let origin = this.#origins.get(from);
    if (origin === undefined) {
      origin = { settledBelow: 0, appended: new Set() };
      this.#origins.set(from, origin);
    }
    const floor = Math.max(origin.settledBelow, settledBelow);
    origin.settledBelow = floor;
    const { appended } = origin;
    // Insertion order is nearly ascending, and a late one only stays a little longer.
    for (const sequence of appended) {
      if (sequence >= floor) break;
      appended.delete(sequence);
    }
    return proposals.filter(({ sequence }) => sequence >= floor && !appended.has(sequence));
  }

  /**
   * Which of these the leader of `term` provably has not appended. Of terms that are forgotten nothing is known; in one
   * that is still to come nothing was accepted.
   */
  notAppended(term: number, from: string, proposals: readonly { readonly sequence: number }[]): number[] {
    if (term < this.#term) return [];
    const origin = term === this.#term ? this.#origins.get(from) : undefined;
    const sequences = proposals.map(({ sequence }) => sequence);
    if (origin === undefined) return sequences;
    return sequences.filter((sequence) => sequence >= origin.settledBelow && !origin.appended.has(sequence));
  }

  appended(from: string, proposals: readonly { readonly sequence: number }[]): void {
    const origin = this.#origins.get(from);
    for (const { sequence } of proposals) origin?.appended.add(sequence);
  }
}
