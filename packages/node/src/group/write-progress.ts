import type { Entry, StorageAppend } from '@coxswain/raft';
import type { Clock } from '@coxswain/runtime';
import type { Proposal } from './proposals.js';
import type { WriteStages } from './write-stages.js';

/**
 * Notes when the entries of one group that are under way reach the stages of a write, and measures those that this node
 * proposed. It costs a reading of the clock and a mark for each batch, not for each entry.
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

  /** Called when an append is about to be handed to the write-ahead log. */
  handed({ entries }: StorageAppend): void {
    this.#handed.reach(entries, this.#clock.monotonicMs());
  }

  /** Called when an append is durable in the write-ahead log. */
  durable({ entries }: StorageAppend): void {
    this.#durable.reach(entries, this.#clock.monotonicMs());
  }

  /** Called when entries are committed and durable here (D2). */
  committed(entries: readonly Entry[]): void {
    this.#committed.reach(entries, this.#clock.monotonicMs());
  }

  /**
   * Called when entries are applied and about to be answered. `proposals` holds, at the same positions, the proposals
   * of this node for which somebody waits.
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
      // Entries that were in the log when the core was started anew have no marks.
      if (handedMs === undefined || durableMs === undefined || committedMs === undefined) continue;
      stages.queue.observe((handedMs - proposal.beganMs) / 1000);
      stages.wal.observe((durableMs - handedMs) / 1000);
      stages.peers.observe((committedMs - durableMs) / 1000);
      stages.apply.observe((nowMs - committedMs) / 1000);
      proposal.call.applied?.(nowMs, stages);
    }
    this.#forget(entries.at(-1)!.index);
  }

  /** Forgets all marks, because the core begins anew. */
  clear(): void {
    this.#forget(Number.POSITIVE_INFINITY);
  }

  #forget(index: number): void {
    for (const milestone of [this.#handed, this.#durable, this.#committed]) milestone.forget(index);
  }
}

/** The times at which entries reached one stage. */
class Milestone {
  /** The marks in ascending order; no two cover the same index. */
  readonly #marks: { readonly first: number; last: number; readonly atMs: number }[] = [];

  /** Notes that these consecutive entries have reached the stage. Entries whose place they take no longer count. */
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

  /**
   * Gives the time at which the entry at `index` reached the stage. Called in ascending order: entries before `index`
   * are forgotten.
   */
  at(index: number): number | undefined {
    this.forget(index - 1);
    const mark = this.#marks[0];
    return mark !== undefined && mark.first <= index ? mark.atMs : undefined;
  }

  /** Forgets the entries up to `index`. */
  forget(index: number): void {
    while (this.#marks.length > 0 && this.#marks[0]!.last <= index) this.#marks.shift();
  }
}
