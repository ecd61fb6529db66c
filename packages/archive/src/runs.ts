/** Indices from `first` to `last`, without a hole between them. */
export interface Run {
  readonly first: number;
  readonly last: number;
}

/**
 * A set of indices, held as the runs that it consists of, in order. It is cheap when indices are mostly added in order.
 */
export class Runs implements Iterable<Run> {
  readonly #runs: { first: number; last: number }[] = [];

  /** Adds a run, and merges it with those that it touches. */
  add({ first, last }: Run): void {
    const runs = this.#runs;
    let at = runs.length;
    while (at > 0 && runs[at - 1]!.first > first) at--;
    // A run that touches the one before it, or those after it, is merged with them.
    if (at > 0 && runs[at - 1]!.last >= first - 1) at--;
    else runs.splice(at, 0, { first, last });
    const run = runs[at]!;
    run.last = Math.max(run.last, last);
    let end = at + 1;
    while (end < runs.length && runs[end]!.first <= run.last + 1) {
      run.last = Math.max(run.last, runs[end]!.last);
      end++;
    }
    runs.splice(at + 1, end - at - 1);
  }

  /** Returns the run that contains an index; undefined when there is none. */
  find(index: number): Run | undefined {
    return this.#runs.find(({ first, last }) => first <= index && index <= last);
  }

  /** Returns the runs from `first` to `last` that are not in the set. */
  missing({ first, last }: Run): Run[] {
    const holes: Run[] = [];
    let next = first;
    for (const run of this.#runs) {
      if (run.first > last) break;
      if (run.last < next) continue;
      if (run.first > next) holes.push({ first: next, last: run.first - 1 });
      next = run.last + 1;
    }
    if (next <= last) holes.push({ first: next, last });
    return holes;
  }

  get isEmpty(): boolean {
    return this.#runs.length === 0;
  }

  /** The last index of the set; 0 when the set is empty. */
  get last(): number {
    return this.#runs.at(-1)?.last ?? 0;
  }

  [Symbol.iterator](): Iterator<Run> {
    return this.#runs.values();
  }
}

/** Formats a run for messages. */
export function showRun({ first, last }: Run): string {
  return first === last ? `entry ${first}` : `entries ${first} to ${last}`;
}
