interface Sample {
  readonly atMs: number;
  readonly revision: number;
}

/**
 * How long ago revisions of a table were reached here, by this node's monotonic clock, which no change of the wall time
 * moves. History goes by it where the entries' own times ran ahead (A5, A7): a stamp of an hour too late would keep all
 * later history for that hour. A start of the node begins anew, and then history stays for longer, never for less.
 */
export class RevisionAges {
  /** Oldest first; every revision occurs once, with the first moment at which it was seen. */
  readonly #samples: Sample[] = [];

  /** Notes the table's revision. Called at a steady interval: the number of samples is the window by that interval. */
  note(revision: number, nowMs: number): void {
    const last = this.#samples.at(-1);
    if (last === undefined || revision > last.revision) this.#samples.push({ atMs: nowMs, revision });
  }

  /** The greatest revision noted that long ago; 0: there is none. Forgets what came before it. */
  olderThan(ageMs: number, nowMs: number): number {
    while (this.#samples.length > 1 && nowMs - this.#samples[1]!.atMs >= ageMs) this.#samples.shift();
    const oldest = this.#samples[0];
    return oldest !== undefined && nowMs - oldest.atMs >= ageMs ? oldest.revision : 0;
  }
}
