interface Sample {
  readonly atMs: number;
  readonly revision: number;
}

/**
 * Knows how long ago this node reached the revisions of a table, by its monotonic clock, which no change of the wall
 * time moves. History is removed by these ages where the entries' own times ran ahead (A5, A7): a stamp that is an hour
 * too late would keep all later history for that hour. The ages begin anew at a start of the node; then history stays
 * longer, never shorter.
 */
export class RevisionAges {
  /** The samples, oldest first. Each revision occurs once, with the first moment at which it was seen. */
  readonly #samples: Sample[] = [];

  /**
   * Notes the table's revision. Called at a steady interval, so that the number of samples is the retention period
   * divided by it.
   */
  note(revision: number, nowMs: number): void {
    const last = this.#samples.at(-1);
    if (last === undefined || revision > last.revision) this.#samples.push({ atMs: nowMs, revision });
  }

  /**
   * Gives the greatest revision that was noted at least `ageMs` ago, and forgets the older samples; 0 when there is
   * none.
   */
  olderThan(ageMs: number, nowMs: number): number {
    while (this.#samples.length > 1 && nowMs - this.#samples[1]!.atMs >= ageMs) this.#samples.shift();
    const oldest = this.#samples[0];
    return oldest !== undefined && nowMs - oldest.atMs >= ageMs ? oldest.revision : 0;
  }
}
