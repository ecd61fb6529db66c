import type { Effects } from './effects.js';
import type { EntryMark, PendingEffects } from './pending-effects.js';
import type { Progress } from './table-state.js';
import type { TableEntry } from './types.js';

/** The place of a command: an entry, or one command of a SEQUENCE. */
export type CommandPlace = Pick<Progress, 'index' | 'command'>;

/** The place of an operation in an entry, which is needed to resume the entry after a crash (A4). */
export type Place = Pick<Progress, 'index' | 'command' | 'succeeded' | 'operation'>;

/** The progress of a command that has had no effect yet. */
export const BEGINNING = { succeeded: undefined, operation: 0, nextKey: undefined, deletedCount: 0 };

/** The limits of one store batch. An entry with more effects than these hands them over in parts (A4). */
export interface EntryProgressOptions {
  /** The most bytes that one store batch writes. */
  readonly effectsSizeBytesMax: number;
  readonly effectsOperationsMax: number;
  /**
   * Writes the effects from before the entry that grew too large, when there are any, and then a part of the entry's
   * effects. Resolves when the store has both.
   */
  readonly spill: (before: Effects | undefined, part: Effects) => Promise<void>;
}

/** Follows one entry at a time from its beginning to its end, in parts when its effects grow large (A4). */
export class EntryProgress {
  readonly #effects: PendingEffects;
  readonly #options: EntryProgressOptions;
  #resumed: Progress | undefined;
  #mark: EntryMark | undefined;

  /** `resumed` is how far a crash left the first entry. */
  constructor(effects: PendingEffects, resumed: Progress | undefined, options: EntryProgressOptions) {
    this.#effects = effects;
    this.#resumed = resumed;
    this.#options = options;
  }

  /** How far a crash left the entry that comes first; undefined when that is applied from its beginning. */
  get resumed(): Progress | undefined {
    return this.#resumed;
  }

  /** Allows the entry's effects to be handed over in parts from now on (A4). Returns how far a crash left the entry. */
  beginLarge(): Progress | undefined {
    // A resumed entry is the first one, and was half in the store before the table was opened.
    this.#mark = this.#effects.mark(this.#resumed !== undefined);
    return this.#resumed;
  }

  /** Returns true when the entry's effects fill a store batch. */
  isLarge(): boolean {
    return this.#effects.isLargeSince(this.#mark!, this.#options);
  }

  /** Returns true when the overlay has every record that was written at the revision. */
  isAllUnwritten(revision: number): boolean {
    return revision > this.#effects.state.revision && revision > this.#mark!.spilledRevision;
  }

  /** Hands over the effects of the entry so far. Resolves when the store has them. */
  async spill(progress: Progress): Promise<void> {
    const { before, part, mark } = this.#effects.takePart(this.#mark!, progress);
    this.#mark = mark;
    await this.#options.spill(before, part);
  }

  /** Marks the entry as applied. `leaderIndex` is that of the replicated command in it (R1). */
  end(entry: TableEntry, leaderIndex: bigint | undefined): void {
    const { state } = this.#effects;
    if (leaderIndex !== undefined) state.leaderIndex = Number(leaderIndex);
    state.appliedIndex = entry.index;
    state.appliedTerm = entry.term;
    state.revision = Math.max(state.revision, state.leaderIndex ?? entry.index);
    state.lastTimeMs = Math.max(state.lastTimeMs, entry.timeMs);
    this.#resumed = undefined;
    this.#mark = undefined;
  }
}
