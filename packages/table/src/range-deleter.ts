import { strict as assert } from 'node:assert/strict';
import type { KeyBounds } from './key-bounds.js';
import { keyInLatestKey, latestKey, modRevisionOf } from './layout.js';
import type { PendingEffects } from './pending-effects.js';
import { RANGE_DELETIONS_MAX } from './range-deletion.js';
import { type StoredPair, scanLive } from './record-source.js';
import { keyId, keyOfId } from './sorted-tree.js';
import type { StoreReader } from './store.js';
import { WrittenKeys } from './written-keys.js';

/** Keys that the sweep removes between two turns of the event loop. */
const SWEEP_KEYS_MAX = 500;
/** Range deletions that are remembered when their keys are removed: every put looks whether it is in one of them. */
const SWEPT_MAX = 4;
const ZERO_BYTE = Buffer.from([0]);

export interface RangeDeleterOptions {
  /** What one store batch writes, at most. */
  readonly effectsSizeBytesMax: number;
  readonly effectsOperationsMax: number;
  /** What the keys written in the bounds of a range deletion may take in memory. */
  readonly writtenKeysSizeBytesMax: number;
}

/** Deletes ranges by a record of each, and removes the keys while later entries are applied (see `RangeDeletion`). */
export class RangeDeleter {
  readonly #store: StoreReader;
  readonly #effects: PendingEffects;
  readonly #options: RangeDeleterOptions;

  constructor(store: StoreReader, effects: PendingEffects, options: RangeDeleterOptions) {
    this.#store = store;
    this.#effects = effects;
    this.#options = options;
  }

  /** One more may be under way. */
  get hasRoom(): boolean {
    return this.#effects.state.deletions.length < RANGE_DELETIONS_MAX;
  }

  /**
   * Deletes the keys that were written at the revision itself and are not in the store yet, and gives their number: a
   * range deletion applies to older revisions.
   */
  deleteUnwritten(first: Buffer, end: Buffer | undefined, revision: number): number {
    let deletedCount = 0;
    for (const { id, record } of this.#effects.overlay.range(keyId(first), end && keyId(end))) {
      if (record === undefined || modRevisionOf(record) < revision) continue;
      const key = keyOfId(id);
      this.#effects.deleteRecord(id, latestKey(key), record, revision);
      deletedCount += 1;
    }
    return deletedCount;
  }

  /** Deletes all older records of the range, at once. */
  deleteLater(bounds: KeyBounds, revision: number): void {
    const { state } = this.#effects;
    const lane = 2 * state.deletions.filter((deletion) => deletion.revision === revision).length;
    const written = new WrittenKeys(bounds, this.#options.writtenKeysSizeBytesMax);
    state.deletions = [...state.deletions, { ...bounds, revision, lane, written }];
    this.#effects.thaw();
  }

  /**
   * Removes the next keys of the oldest range deletion, whose versions go into the history (A4). Takes its turn between
   * entries: what it does depends on what they have written, and nothing that they read depends on it.
   */
  async sweep(): Promise<void> {
    assert(this.#effects.isEmpty, 'a sweep is a batch of its own');
    const [deletion, ...later] = this.#effects.state.deletions;
    if (deletion === undefined) return;
    // Every record that is there, deleted or not.
    const scan = scanLive(
      { store: this.#store, overlay: this.#effects.overlay, deletions: [], swept: [] },
      deletion,
      {},
    );
    let pairs: StoredPair[];
    try {
      pairs = await scan.next(Math.min(SWEEP_KEYS_MAX, this.#options.effectsOperationsMax));
    } finally {
      await scan.close();
    }
    const block = this.#effects.historyBlock(deletion, deletion.lane);
    let swept = 0;
    let sizeBytes = 0;
    for (; swept < pairs.length && sizeBytes < this.#options.effectsSizeBytesMax; swept++) {
      const [storeKey, record] = pairs[swept]!;
      sizeBytes += storeKey.length + record.length;
      if (modRevisionOf(record) >= deletion.revision) continue;
      this.#effects.removeDeleted(storeKey, record);
      block?.add(storeKey, record, deletion.revision);
      this.#effects.overlay.set(keyId(storeKey, 1), undefined);
      this.#effects.write(storeKey, undefined);
    }
    block?.end();
    const last = pairs[swept - 1];
    const rest = last && { ...deletion, first: Buffer.concat([keyInLatestKey(last[0]), ZERO_BYTE]) };
    const { state } = this.#effects;
    state.deletions = rest === undefined ? later : [rest, ...later];
    if (rest !== undefined) return;
    state.swept = [...state.swept, deletion]
      .filter(({ written }) => written?.tree !== undefined)
      .slice(-SWEPT_MAX);
  }
}
