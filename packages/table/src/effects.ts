import type { Change } from './journal.js';
import type { SortedRun } from './sorted-run.js';
import type { Operation } from './store.js';
import type { Progress, TableState } from './table-state.js';

/** A write to a table's store, with the version that it moves into the history. */
export interface Write extends Operation {
  /** The record that the write replaces or deletes, and the revision at which it does so. */
  readonly superseded?: { readonly record: Buffer; readonly revision: number } | undefined;
  /** True for a latest key of which the store has no record yet. A key without a record is never deleted. */
  readonly isNew?: boolean;
}

/** The effects that go into one store batch. */
export interface Effects {
  readonly operations: readonly Write[];
  /**
   * The runs are written before the operations. Their keys were never in the store, and those of each run follow those
   * of the run before.
   */
  readonly runs: readonly SortedRun[];
  readonly changes: readonly Change[];
  /** The table's state after the batch. */
  readonly state: TableState;
  /** How far the entry has come when the batch ends in the middle of it (A4). */
  readonly progress: Progress | undefined;
  /** The last generation of the overlay that the store has after the batch; 0 for none. */
  readonly generation: number;
}
