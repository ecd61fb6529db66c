import type { Entry, StorageAppend } from '@coxswain/raft';
import type { Clock } from '@coxswain/runtime';
import type { Proposal } from './proposals.js';
import type { WriteStages } from './write-stages.js';

/**
 * When the entries of one group that are under way reached the stages of a write, and the measuring of those that this
 * node proposed. It costs a reading of the clock and a mark for each batch, not for each entry.
 */
export class WriteProgress {
  readonly #stages: WriteStages;
  readonly #clock: Clock;
  readonly #handed = new Milestone();
  readonly #durable = new Milestone();
  readonly #committed = new Milestone();

  constructor(stages: WriteStages, clock: Clock) {
    this.#stages = stages;
    this.#clock = clock;
  }

  /** Is about to be handed to the write-ahead log. */
  handed({ entries }: StorageAppend): void {
    this.#handed.reach(entries, this.#clock.monotonicMs());
  }

  durable({ entries }: StorageAppend): void {
    this.#durable.reach(entries, this.#clock.monotonicMs());
  }

  /** Committed and durable here (D2). */
  committed(entries: readonly Entry[]): void {
    this.#committed.reach(entries, this.#clock.monotonicMs());
  }

  /**
   * These entries are applied and about to be answered: `proposals` holds, at the same places, what this node proposed
   * and somebody waits for.
   */
  applied(entries: readonly Entry[], proposals: readonly (Proposal | undefined)[]): void {
    const nowMs = this.#clock.monotonicMs();
    const stages = this.#stages;
    for (let i = 0; i < entries.length; i++) {
      const proposal = proposals[i];
      if (proposal === undefined) continue;
      const { index } = entries[i]!;
      const handedMs = this.#handed.at(index);
      const durableMs = this.#durable.at(index);
      const committedMs = this.#committed.at(index);
      // What the core took over from before it was started anew was handed over in another life.
      if (handedMs === undefined || durableMs === undefined || committedMs === undefined) continue;
      stages.queue.observe((handedMs - proposal.beganMs) / 1000);
      stages.wal.observe((durableMs - handedMs) / 1000);
      stages.peers.observe((committedMs - durableMs) / 1000);
      stages.apply.observe((nowMs - committedMs) / 1000);
      proposal.call.applied?.(nowMs, stages);
    }
    this.#forget(entries.at(-1)!.index);
  }

  /** The core begins anew. */
  clear(): void {
    this.#forget(Number.POSITIVE_INFINITY);
  }

  #forget(index: number): void {
    for (const milestone of [this.#handed, this.#durable, this.#committed]) milestone.forget(index);
  }
}

/** When entries reached one stage. */
class Milestone {
  /** Ascending; no two hold the same index. */
  readonly #marks: { readonly first: number; last: number; readonly atMs: number }[] = [];

  /** These consecutive entries have reached it. Those that they take the place of count no more. */
  reach(entries: readonly Entry[], atMs: number): void {
    if (entries.length === 0) return;
    const marks = this.#marks;
    const first = entries[0]!.index;
    for (let mark = marks.at(-1); mark !== undefined && mark.last >= first; mark = marks.at(-1)) {
      if (mark.first < first) mark.last = first - 1;
      else marks.pop();
    }
    marks.push({ first, last: entries.at(-1)!.index, atMs });
  }

  /** Is asked in ascending order: what was reached before `index` is forgotten. */
  at(index: number): number | undefined {
    this.forget(index - 1);
    const mark = this.#marks[0];
    return mark !== undefined && mark.first <= index ? mark.atMs : undefined;
  }

  /** Everything up to `index` is done with. */
  forget(index: number): void {
    while (this.#marks.length > 0 && this.#marks[0]!.last <= index) this.#marks.shift();
  }
}
