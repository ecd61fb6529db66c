interface Origin {
  /** Every sequence below this is settled. One that still arrives was delayed on an old connection. */
  settledBelow: number;
  readonly appended: Set<number>;
}

/**
 * Remembers the sequences that a leader appended for other nodes in its current term, so that it drops repeats (P1). A
 * node repeats a proposal when its connection to the leader broke; without this it would be applied twice.
 */
export class ForwardedSequences {
  #term = 0;
  /** The proposing nodes by `node/boot`. */
  readonly #origins = new Map<string, Origin>();

  /**
   * Gives the proposals that the leader of `term` has not seen yet. The caller appends them, and then reports them with
   * `appended`. Proposals of earlier terms are no longer accepted, so their sequences are forgotten.
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
    // Insertion order is nearly ascending. A late sequence only stays a little longer.
    for (const sequence of appended) {
      if (sequence >= floor) break;
      appended.delete(sequence);
    }
    return proposals.filter(({ sequence }) => sequence >= floor && !appended.has(sequence));
  }

  /**
   * Gives the sequences of the proposals that the leader of `term` provably has not appended: none for a term whose
   * sequences are forgotten, all for a term that is yet to come.
   */
  notAppended(term: number, from: string, proposals: readonly { readonly sequence: number }[]): number[] {
    if (term < this.#term) return [];
    const origin = term === this.#term ? this.#origins.get(from) : undefined;
    const sequences = proposals.map(({ sequence }) => sequence);
    if (origin === undefined) return sequences;
    return sequences.filter((sequence) => sequence >= origin.settledBelow && !origin.appended.has(sequence));
  }

  /** Notes that these proposals of `from` were appended. */
  appended(from: string, proposals: readonly { readonly sequence: number }[]): void {
    const origin = this.#origins.get(from);
    for (const { sequence } of proposals) origin?.appended.add(sequence);
  }
}
