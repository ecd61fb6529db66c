import { strict as assert } from 'node:assert/strict';
import type { mvcc } from '@coxswain/protocol';
import type { EntryProgress, EntryProgressOptions, Place } from './entry-progress.js';
import type { KeyBounds } from './key-bounds.js';
import { keyInLatestKey, latestKey, modRevisionOf } from './layout.js';
import type { PendingEffects } from './pending-effects.js';
import { RANGE_DELETIONS_MAX } from './range-deletion.js';
import { EMPTY_SCAN, type StoredPair, scanLive } from './record-source.js';
import { PreviousPairs } from './response-budget.js';
import { keyId, keyOfId } from './sorted-tree.js';
import type { StoreReader } from './store.js';
import type { Progress } from './table-state.js';
import type { TxnAnswers } from './txn-answers.js';
import { WrittenKeys } from './written-keys.js';

/** The most keys that a range deletion handles between two turns of the event loop. */
const SCAN_CHUNK_ENTRIES_MAX = 500;
/** The most keys that the sweep removes between two turns of the event loop. */
const SWEEP_KEYS_MAX = 500;
/**
 * The number of range deletions that are remembered after their keys are removed. It is small, since every put checks
 * whether its key is in one of them.
 */
const SWEPT_MAX = 4;
const ZERO_BYTE = Buffer.from([0]);

/** The limits of a RangeDeleter. */
export interface RangeDeleterOptions
  extends Pick<EntryProgressOptions, 'effectsSizeBytesMax' | 'effectsOperationsMax'> {
  /** The bytes of memory for the keys written within the bounds of one range deletion. */
  readonly writtenKeysSizeBytesMax: number;
}

/**
 * Deletes ranges. It deletes a small one key by key, and a large one by a record of its own, whose keys it removes
 * while later entries are applied (see `RangeDeletion`).
 */
export class RangeDeleter {
  readonly #store: StoreReader;
  readonly #effects: PendingEffects;
  readonly #progress: EntryProgress;
  readonly #options: RangeDeleterOptions;

  constructor(
    store: StoreReader,
    effects: PendingEffects,
    progress: EntryProgress,
    options: RangeDeleterOptions,
  ) {
    this.#store = store;
    this.#effects = effects;
    this.#progress = progress;
    this.#options = options;
  }

  /**
   * Deletes a range in chunks. When that grows large, one record deletes the rest of the range at once, and the sweep
   * removes the keys while later entries are applied; when that is not possible, the entry continues in parts (A4).
   * Either way the number of deleted keys in the answer is exact.
   */
  async delete(
    bounds: KeyBounds,
    place: Place,
    revision: number,
    wantsPrevious: boolean,
    answers: TxnAnswers | undefined,
    resumed: Progress | undefined,
  ): Promise<mvcc.ResponseOp> {
    const previous = new PreviousPairs(wantsPrevious ? answers?.budget : undefined);
    const response: mvcc.ResponseOp_DeleteRange = {
      deleted: BigInt(resumed?.deletedCount ?? 0),
      prevKvs: previous.pairs,
      more: false,
    };
    const rest = { first: resumed?.nextKey ?? bounds.first, end: bounds.end };
    // In an empty table there is no need to pass the keys that were deleted a moment ago.
    const scan = this.#effects.state.keyCount === 0 ? EMPTY_SCAN : this.#effects.scan(rest, {});
    try {
      for (;;) {
        const pairs = await scan.next(SCAN_CHUNK_ENTRIES_MAX);
        if (pairs.length === 0) break;
        for (const [storeKey, record] of pairs) {
          const key = keyInLatestKey(storeKey);
          this.#effects.deleteRecord(keyId(key), storeKey, record, revision);
          previous.take(key, record);
          response.deleted += 1n;
          if (!this.#progress.isLarge()) continue;
          const nextKey = Buffer.concat([key, ZERO_BYTE]);
          if (this.#canDeleteLater(revision)) {
            if (previous.takesMore)
              await previous.takeAll(this.#effects.scan({ first: nextKey, end: bounds.end }, {}));
            response.deleted += BigInt(this.#deleteUnwritten(nextKey, bounds.end, revision));
            answers?.pushCount(response, this.#effects.freeze(), bounds);
            this.#deleteLater(bounds, revision);
            response.more = previous.isCut;
            return { response: { $case: 'responseDeleteRange', value: response } };
          }
          await this.#progress.spill({ ...place, nextKey, deletedCount: Number(response.deleted) });
        }
      }
    } finally {
      await scan.close();
    }
    response.more = previous.isCut;
    return { response: { $case: 'responseDeleteRange', value: response } };
  }

  /**
   * Returns true when the rest of a range can be deleted by one record. Only the overlay distinguishes a range deletion
   * from writes that come after it in the same revision.
   */
  #canDeleteLater(revision: number): boolean {
    const hasRoom = this.#effects.state.deletions.length < RANGE_DELETIONS_MAX;
    return hasRoom && this.#progress.isAllUnwritten(revision);
  }

  /**
   * Deletes the keys that were written at the revision itself and are not in the store yet, and returns their number. A
   * range deletion applies to older revisions only.
   */
  #deleteUnwritten(first: Buffer, end: Buffer | undefined, revision: number): number {
    let deletedCount = 0;
    for (const { id, record } of this.#effects.overlay.range(keyId(first), end && keyId(end))) {
      if (record === undefined || modRevisionOf(record) < revision) continue;
      const key = keyOfId(id);
      this.#effects.deleteRecord(id, latestKey(key), record, revision);
      deletedCount += 1;
    }
    return deletedCount;
  }

  /** Deletes all older records of the range at once, by a range deletion. */
  #deleteLater(bounds: KeyBounds, revision: number): void {
    const { state } = this.#effects;
    const lane = 2 * state.deletions.filter((deletion) => deletion.revision === revision).length;
    const written = new WrittenKeys(bounds, this.#options.writtenKeysSizeBytesMax);
    state.deletions = [...state.deletions, { ...bounds, revision, lane, written }];
    this.#effects.thaw();
  }

  /**
   * Removes the next keys of the oldest range deletion, whose versions go into the history (A4). Takes its turn between
   * entries, since its effects depend on what they have written; the reads of entries do not depend on it.
   */
  async sweep(): Promise<void> {
    assert(this.#effects.isEmpty, 'a sweep is a batch of its own');
    const [deletion, ...later] = this.#effects.state.deletions;
    if (deletion === undefined) return;
    // The scan gives every record, deleted or not.
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
