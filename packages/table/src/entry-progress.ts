import type { Effects } from './effects.js';
import type { EntryMark, PendingEffects } from './pending-effects.js';
import type { Progress } from './table-state.js';
import type { TableEntry } from './types.js';

/** A command: an entry, or one of a SEQUENCE. */
export type CommandPlace = Pick<Progress, 'index' | 'command'>;

/** Where in an entry an operation is: what a crash must know to go on with it (A4). */
export type Place = Pick<Progress, 'index' | 'command' | 'succeeded' | 'operation'>;

/** A command of which nothing has been done. */
export const BEGINNING = { succeeded: undefined, operation: 0, nextKey: undefined, deletedCount: 0 };

/** An entry that has more effects than these limits hands them over and goes on (A4). */
export interface EntryProgressOptions {
  /** What one store batch writes, at most. */
  readonly effectsSizeBytesMax: number;
  readonly effectsOperationsMax: number;
  /**
   * Writes the effects from before the entry that grew too large (when there are any), then a part of its
   * effects. Resolves when both are in the store.
   */
  readonly spill: (before: Effects | undefined, part: Effects) => Promise<void>;
}

/** Follows one entry after the other from its beginning to its end, in parts where its effects grow large (A4). */
export class EntryProgress {
  readonly #effects: PendingEffects;
  readonly #options: EntryProgressOptions;
  #resumed: Progress | undefined;
  #mark: EntryMark | undefined;

  /** `resumed`: how far a crash left the entry that comes first. */
  constructor(effects: PendingEffects, resumed: Progress | undefined, options: EntryProgressOptions) {
    this.#effects = effects;
    this.#resumed = resumed;
    this.#options = options;
  }

  /** How far a crash left the entry that comes first; undefined: that begins at its beginning. */
  get resumed(): Progress | undefined {
    return this.#resumed;
  }

  /** From here on the entry's effects may be handed over in parts (A4). Gives where a crash left it. */
  beginLarge(): Progress | undefined {
    // A resumed entry is the first one, and was half in the store before it was opened.
    this.#mark = this.#effects.mark(this.#resumed !== undefined);
    return this.#resumed;
  }

  /** The entry's effects fill a store batch. */
  isLarge(): boolean {
    return this.#effects.isLargeSince(this.#mark!, this.#options);
  }

  /** Every record that was written at the revision is in the overlay. */
  isAllUnwritten(revision: number): boolean {
    return revision > this.#effects.state.revision && revision > this.#mark!.spilledRevision;
  }

  /** Hands over what the entry has come to. Resolves when that is in the store. */
  async spill(progress: Progress): Promise<void> {
    const { before, part, mark } = this.#effects.takePart(this.#mark!, progress);
    this.#mark = mark;
    await this.#options.spill(before, part);
  }

  /** The entry has been applied. `leaderIndex`: of the replicated command in it (R1). */
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
