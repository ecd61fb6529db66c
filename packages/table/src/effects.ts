import type { Change } from './journal.js';
import type { SortedRun } from './sorted-run.js';
import type { Operation } from './store.js';
import type { Progress, TableState } from './table-state.js';

/** A write of a table's store, and the version that it moves into the history. */
export interface Write extends Operation {
  /** What it replaces or deletes, at the revision. */
  readonly superseded?: { readonly record: Buffer; readonly revision: number } | undefined;
  /** Of a latest key that the store has no record of yet. A key that it has none of is never deleted. */
  readonly isNew?: boolean;
}

/** What goes into one store batch. */
export interface Effects {
  readonly operations: readonly Write[];
  /** Written before the operations: keys that the store has never had, each run's after those of the one before. */
  readonly runs: readonly SortedRun[];
  readonly changes: readonly Change[];
  /** The table's state once this is written. */
  readonly state: TableState;
  /** Set when the batch ends in the middle of an entry (A4). */
  readonly progress: Progress | undefined;
  /** The overlay's generations that the store has once this is written. */
  readonly generation: number;
}
