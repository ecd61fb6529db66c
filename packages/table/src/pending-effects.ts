import type { PairRecord } from '@coxswain/stream';
import { ContentHash } from './content-hash.js';
import type { Effects, Write } from './effects.js';
import { FrozenSource } from './frozen-source.js';
import { HistoryBlockWriter } from './history-block.js';
import type { Change } from './journal.js';
import type { KeyBounds } from './key-bounds.js';
import {
  createRevisionOf,
  keyInLatestKey,
  latestKey,
  modRevisionOf,
  type Stamp,
  versionOf,
  writeRecordHeader,
} from './layout.js';
import { Overlay } from './overlay.js';
import type { PageCache } from './page-cache.js';
import { deletionOf, type RangeDeletion } from './range-deletion.js';
import { identityOf, type RecordBlock } from './record-block.js';
import { type RecordReader, type RecordScan, type RecordScanOptions, scanLive } from './record-source.js';
import { SharedSnapshot } from './shared-snapshot.js';
import { SortedRun } from './sorted-run.js';
import { keyId } from './sorted-tree.js';
import type { StoreReader } from './store.js';
import { liveKeyCountOf, type Progress, type TableState } from './table-state.js';

/** The place among the pending effects where those of the present entry begin. */
export interface EntryMark {
  readonly operationCount: number;
  readonly runCount: number;
  readonly changeCount: number;
  readonly sizeBytes: number;
  readonly state: TableState;
  /** True when the store already has all effects from before the entry. */
  readonly hasSpilled: boolean;
  /** The last revision whose records the store may already have. */
  readonly spilledRevision: number;
}

/** The ratio of the size of a loaded pair as it is stored to its size in the entry. */
const STORED_FACTOR = 1.2;

type Mutable<T> = { -readonly [Property in keyof T]: T[Property] };

/**
 * The table as the entries so far leave it. It reads the store through the overlay of effects that are not written yet
 * (A2), and keeps state, content hash and history in step with every record that is put or deleted.
 */
export class PendingEffects implements RecordReader {
  readonly overlay = new Overlay();
  readonly contentHash: ContentHash;
  /** The state after the entries so far. Its content hash is out of date until effects are taken. */
  readonly state: Mutable<TableState>;
  readonly #store: StoreReader;
  readonly #pages: PageCache | undefined;
  #operations: Write[] = [];
  #runs: SortedRun[] = [];
  /** The run that takes the pairs of the present entry; undefined when it has loaded none yet. */
  #run: SortedRun | undefined;
  #changes: Change[] = [];
  #sizeBytes = 0;
  #lastPutRevision = 0;
  /** The table as it is in the middle of a Txn, shared by its reads until something is written. */
  #frozen: FrozenSource | undefined;

  constructor(store: StoreReader, state: TableState, pages: PageCache | undefined) {
    this.#store = store;
    this.#pages = pages;
    this.state = { ...state };
    this.contentHash = ContentHash.fromBuffer(state.contentHash);
  }

  /** True when nothing was written since effects were last taken. */
  get isEmpty(): boolean {
    return this.#operations.length === 0 && this.#runs.length === 0;
  }

  /** Returns the effects that were collected since the last call. */
  take(): Effects {
    const effects: Effects = {
      operations: this.#operations,
      runs: this.#runs,
      changes: this.#changes,
      state: this.#captureState(),
      progress: undefined,
      generation: this.overlay.endGeneration(),
    };
    this.#clear();
    return effects;
  }

  #clear(): void {
    this.endLoad();
    this.#operations = [];
    this.#runs = [];
    this.#changes = [];
    this.#sizeBytes = 0;
  }

  /**
   * Returns the place where an entry's effects begin. `hasSpilled` means that the store already has a part of the
   * entry.
   */
  mark(hasSpilled: boolean): EntryMark {
    return {
      operationCount: this.#operations.length,
      runCount: this.#runs.length,
      changeCount: this.#changes.length,
      sizeBytes: this.#sizeBytes,
      state: this.#captureState(),
      hasSpilled,
      spilledRevision: hasSpilled ? Number.POSITIVE_INFINITY : 0,
    };
  }

  /** Returns true when the effects of the entry since its mark fill a store batch of these limits. */
  isLargeSince(
    mark: EntryMark,
    {
      effectsOperationsMax,
      effectsSizeBytesMax,
    }: { effectsOperationsMax: number; effectsSizeBytesMax: number },
  ): boolean {
    return (
      this.#operations.length - mark.operationCount + (this.#run?.length ?? 0) >= effectsOperationsMax ||
      this.#sizeBytes - mark.sizeBytes > effectsSizeBytesMax
    );
  }

  /**
   * Takes the effects of an entry so far. Returns `before`, the effects from before the entry when the store does not
   * have them yet; `part`, those of the entry; and the mark with which the entry continues.
   */
  takePart(
    mark: EntryMark,
    progress: Progress,
  ): { before: Effects | undefined; part: Effects; mark: EntryMark } {
    const operations = this.#operations;
    const runs = this.#runs;
    const changes = this.#changes;
    const before: Effects | undefined = mark.hasSpilled
      ? undefined
      : {
          operations: operations.slice(0, mark.operationCount),
          runs: runs.slice(0, mark.runCount),
          changes: changes.slice(0, mark.changeCount),
          state: mark.state,
          progress: undefined,
          // Its effects in the overlay share a generation with the part, and are released with it.
          generation: 0,
        };
    const part: Effects = {
      operations: operations.slice(mark.operationCount),
      runs: runs.slice(mark.runCount),
      changes: changes.slice(mark.changeCount),
      state: this.#captureState(),
      progress,
      generation: this.overlay.endGeneration(),
    };
    this.#clear();
    const rest: EntryMark = {
      operationCount: 0,
      runCount: 0,
      changeCount: 0,
      sizeBytes: 0,
      state: mark.state,
      hasSpilled: true,
      spilledRevision: Math.max(mark.spilledRevision, this.#lastPutRevision),
    };
    return { before, part, mark: rest };
  }

  get(key: Buffer): Buffer | undefined {
    return this.#readLive(keyId(key), key, latestKey(key));
  }

  scan(bounds: KeyBounds, options: RecordScanOptions): RecordScan {
    const { deletions, swept } = this.state;
    return scanLive({ store: this.#store, overlay: this.overlay, deletions, swept }, bounds, options);
  }

  /** Reads a key's record, even when a range deletion has deleted it. */
  read(id: string, storeKey: Buffer): Buffer | undefined {
    const unwritten = this.overlay.get(id);
    if (unwritten !== undefined) return unwritten.record;
    // Pages are as the last batch that readers can see left the store; the overlay has everything after it.
    const cached = this.#pages?.record(id);
    return cached === undefined ? this.#store.getSync(storeKey) : (cached ?? undefined);
  }

  #readLive(id: string, key: Buffer, storeKey: Buffer): Buffer | undefined {
    const record = this.read(id, storeKey);
    if (record === undefined) return undefined;
    return deletionOf(this.state.deletions, key, record) === undefined ? record : undefined;
  }

  /** Returns the table as it is now, for reads that continue while later entries are applied. */
  freeze(): FrozenSource {
    this.#frozen ??= new FrozenSource({
      store: this.#store,
      snapshot: new SharedSnapshot(this.#store.snapshot()),
      overlay: this.overlay.freeze(),
      deletions: this.state.deletions,
      swept: this.state.swept,
      keyCount: liveKeyCountOf(this.state),
    });
    return this.#frozen;
  }

  /** Gives the next reader a frozen table of its own. */
  thaw(): void {
    this.#frozen = undefined;
  }

  /** Puts a pair whose record lacks its header, and returns the live record that was there before. */
  put({ identity, storeKey, record }: RecordBlock, revision: number): Buffer | undefined {
    const id = keyId(storeKey, 1);
    this.#lastPutRevision = revision;
    const stored = this.read(id, storeKey);
    const { deletions, swept } = this.state;
    const deletion =
      stored === undefined || deletions.length === 0
        ? undefined
        : deletionOf(deletions, keyInLatestKey(storeKey), stored);
    if (deletion !== undefined) this.#replaceDeleted(deletion, storeKey, stored!);
    const previous = deletion === undefined ? stored : undefined;
    let superseded: Write['superseded'];
    if (previous === undefined) {
      writeRecordHeader(record, revision, revision, 1);
      this.state.keyCount += 1;
    } else {
      writeRecordHeader(record, createRevisionOf(previous), revision, versionOf(previous) + 1);
      superseded = this.#supersede(storeKey, previous, revision);
    }
    this.contentHash.add(identity);
    this.#change(revision, storeKey);
    this.overlay.set(id, record);
    for (const { written } of deletions) written?.add(keyInLatestKey(storeKey), id);
    for (const { written } of swept) written!.add(keyInLatestKey(storeKey), id);
    this.write(storeKey, record, superseded, stored === undefined);
    return previous;
  }

  /** Removes the deleted record of a key that is being written anew, as the sweep would have done. */
  #replaceDeleted(deletion: RangeDeletion, storeKey: Buffer, record: Buffer): void {
    this.removeDeleted(storeKey, record);
    // The block has a lane of its own, since the sweep's blocks may begin and end anywhere.
    const block = this.historyBlock(deletion, deletion.lane + 1);
    block?.add(storeKey, record, deletion.revision);
    block?.end();
  }

  /** Deletes a key, and returns the live record that was there before. */
  delete(key: Buffer, revision: number): Buffer | undefined {
    const id = keyId(key);
    const storeKey = latestKey(key);
    const previous = this.#readLive(id, key, storeKey);
    if (previous !== undefined) this.deleteRecord(id, storeKey, previous, revision);
    return previous;
  }

  /** Deletes a live key whose record is known. */
  deleteRecord(id: string, storeKey: Buffer, previous: Buffer, revision: number): void {
    const superseded = this.#supersede(storeKey, previous, revision);
    this.state.keyCount -= 1;
    this.#change(revision, storeKey);
    this.overlay.set(id, undefined);
    this.write(storeKey, undefined, superseded);
  }

  /**
   * Returns what a replaced or deleted version adds to the history. A version that was written at the same revision was
   * never visible, so it leaves no trace.
   */
  #supersede(storeKey: Buffer, previous: Buffer, revision: number): Write['superseded'] {
    this.contentHash.remove(identityOf(storeKey, previous));
    return modRevisionOf(previous) >= revision ? undefined : { record: previous, revision };
  }

  #change(revision: number, storeKey: Buffer): void {
    this.#changes.push({ revision, storeKey });
    this.state.changeCount += 1;
  }

  /**
   * Takes in a pair whose key was never written and follows all keys that were loaded before. `leftBytes` is about the
   * size of its entry from the pair on.
   */
  load(pair: PairRecord, stamp: Stamp, leftBytes: number): void {
    this.#frozen = undefined;
    if (this.#run === undefined) {
      this.#run = new SortedRun(Math.ceil(leftBytes * STORED_FACTOR));
      this.#runs.push(this.#run);
      this.overlay.load(this.#run);
    }
    const identity = this.#run.add(pair, stamp);
    this.#sizeBytes += identity.length;
    this.state.keyCount += 1;
    // A pair without revisions counts only when `Loaded` has stamped it.
    if (stamp.modRevision !== 0) this.contentHash.add(identity);
  }

  /** Ends the run of the present entry, which loads no more pairs. */
  endLoad(): void {
    this.#run?.seal();
    this.#run = undefined;
  }

  /**
   * Writes a record as it will be stored; undefined deletes it. The overlay, which readers of the key see, must be set
   * separately.
   */
  write(storeKey: Buffer, record: Buffer | undefined, superseded?: Write['superseded'], isNew = false): void {
    this.#frozen = undefined;
    this.#operations.push({ storeKey, record, superseded, isNew });
    this.#sizeBytes += storeKey.length + (record?.length ?? 0) + (superseded?.record.length ?? 0);
  }

  /** Subtracts the record of a key that a range deletion has deleted from key count and content hash. */
  removeDeleted(storeKey: Buffer, record: Buffer): void {
    this.contentHash.remove(identityOf(storeKey, record));
    this.state.keyCount -= 1;
  }

  /**
   * Returns a writer that moves deleted versions into the history; undefined when the history no longer reaches back to
   * them.
   */
  historyBlock({ revision }: RangeDeletion, lane: number): HistoryBlockWriter | undefined {
    if (revision <= this.state.historyFloor) return undefined;
    return new HistoryBlockWriter({ revision, lane }, (storeKey, block) => this.write(storeKey, block));
  }

  #captureState(): TableState {
    return { ...this.state, contentHash: this.contentHash.toBuffer() };
  }
}
