import type { Change } from './journal.js';
import type { Progress, TableState } from './table-state.js';

/** A write of one store key; undefined deletes it. */
export interface Operation {
  readonly storeKey: Buffer;
  readonly record: Buffer | undefined;
}

/** What goes into one store batch. */
export interface Effects {
  readonly operations: readonly Operation[];
  readonly changes: readonly Change[];
  /** The table's state once this is written. */
  readonly state: TableState;
  /** Set when the batch ends in the middle of an entry (A4). */
  readonly progress: Progress | undefined;
  /** The overlay's generations that the store has once this is written. */
  readonly generation: number;
}
