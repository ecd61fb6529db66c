import { strict as assert } from 'node:assert/strict';
import { mvcc } from '@coxswain/protocol';
import { compareKeys, type KeyPlace, PairRecord } from '@coxswain/stream';
import { pairOf } from './command-applier.js';
import { BEGINNING, type EntryProgress } from './entry-progress.js';
import { UnknownCommandError } from './errors.js';
import { readSafeInteger } from './integers.js';
import { ALL_KEYS } from './key-bounds.js';
import { keyInLatestKey, modRevisionOf, type Stamp, writeRecordHeader } from './layout.js';
import type { PendingEffects } from './pending-effects.js';
import { identityOf, recordBlockOf } from './record-block.js';
import { emptyResult } from './responses.js';
import { keyId } from './sorted-tree.js';
import type { Progress } from './table-state.js';
import type { ApplyResult, TableEntry } from './types.js';

/** The number of keys that the end of a load handles between two turns of the event loop. */
const SCAN_CHUNK_ENTRIES_MAX = 500;
/** A place before every key but the empty one. */
const NO_KEY: KeyPlace = { bytes: Buffer.alloc(0), keyStart: 0, keyEnd: 0 };
/** The size of the length before each record of a load. */
const LENGTH_SIZE_BYTES = 8;
const ZERO_BYTE = Buffer.from([0]);

/** Applies the entries Load and Loaded, by which a shard is loaded that takes the place of another (T2). */
export class LoadApplier {
  readonly #effects: PendingEffects;
  readonly #state: PendingEffects['state'];
  readonly #progress: EntryProgress;
  /** While a table is being loaded, the greatest of its keys; undefined when that is not known. */
  #lastLoaded: KeyPlace | undefined;
  readonly #pair = new PairRecord();

  constructor(effects: PendingEffects, progress: EntryProgress) {
    this.#effects = effects;
    this.#state = effects.state;
    this.#progress = progress;
  }

  /** Forgets the greatest key of the load, since another command is about to write to the table. */
  interrupt(): void {
    this.#lastLoaded = undefined;
  }

  /**
   * Asserts that no range was deleted in the table: a shard is loaded before anything else is written to it (T2), and a
   * loaded pair may be older than a deletion.
   */
  #assertLoads(entry: TableEntry): void {
    assert(this.#state.deletions.length === 0, `entry ${entry.index} loads a table that was written to (T2)`);
  }

  /** Applies Load: pairs of a snapshot stream, which belong to no moment of this table and so leave no history. */
  async load(entry: TableEntry): Promise<ApplyResult> {
    this.#assertLoads(entry);
    const mode = entry.payload[0];
    // A mode that this release does not know stops the table (A8).
    if (mode !== 0 && mode !== 1) throw new UnknownCommandError(`a load of mode ${mode}`, entry.index);
    const resumed = this.#progress.beginLarge();
    // Loaded keys are not added to any list of written keys, so the lists no longer hold.
    this.#state.swept = [];
    // A table without keys that had some may have deletions of them in memory, so nothing is taken in as a run there.
    if (this.#state.keyCount === 0 && this.#state.changeCount === 0) this.#lastLoaded = NO_KEY;
    const stamp =
      mode === 1 ? { createRevision: entry.index, modRevision: entry.index, version: 1 } : undefined;
    const { payload } = entry;
    const pair = this.#pair;
    let place = 0;
    for (let at = 1; at < payload.length; ) {
      const start = at + LENGTH_SIZE_BYTES;
      at = start + readSafeInteger(payload, at);
      if (place++ < (resumed?.operation ?? 0)) continue;
      if (!pair.read(payload, start, at))
        pair.assign(pairOf(mvcc.Command.decode(payload.subarray(start, at)), entry.index));
      this.#load(pair, stamp ?? pair, payload.length - start);
      if (this.#progress.isLarge())
        await this.#progress.spill({ ...BEGINNING, index: entry.index, command: 0, operation: place });
    }
    this.#effects.endLoad();
    if (this.#lastLoaded !== undefined) this.#lastLoaded = copyOf(this.#lastLoaded);
    this.#progress.end(entry, undefined);
    return emptyResult(entry, this.#state.revision, undefined, false);
  }

  /** Takes in a pair with a stamp. `leftBytes` is the size of the entry from the pair on. */
  #load(pair: PairRecord, stamp: Stamp, leftBytes: number): void {
    // A snapshot comes in key order. To look up keys that cannot be there would be most of the work.
    if (this.#lastLoaded !== undefined && compareKeys(pair, this.#lastLoaded) > 0) {
      const { bytes, keyStart, keyEnd } = pair;
      this.#lastLoaded = { bytes, keyStart, keyEnd };
      this.#effects.load(pair, stamp, leftBytes);
      return;
    }
    const { identity, storeKey, record } = recordBlockOf(pair);
    const id = keyId(storeKey, 1);
    const previous = this.#effects.read(id, storeKey);
    if (previous === undefined) this.#state.keyCount += 1;
    else if (modRevisionOf(previous) !== 0) this.#effects.contentHash.remove(identityOf(storeKey, previous));
    writeRecordHeader(record, stamp.createRevision, stamp.modRevision, stamp.version);
    // A pair without revisions counts only when `Loaded` has stamped it.
    if (stamp.modRevision !== 0) this.#effects.contentHash.add(identity);
    this.#effects.overlay.set(id, record);
    this.#effects.write(storeKey, record, undefined, previous === undefined);
  }

  /**
   * Applies Loaded, which completes the load: pairs that came without revisions are stamped, and the history begins.
   */
  async end(entry: TableEntry): Promise<ApplyResult> {
    const resumed = this.#progress.beginLarge();
    const leaderIndex = readSafeInteger(entry.payload, 0);
    if (entry.payload[8] === 1) await this.#stampUnstamped(entry.index, leaderIndex || entry.index, resumed);
    this.#progress.end(entry, undefined);
    const state = this.#state;
    if (state.leaderIndex !== undefined) {
      state.leaderIndex = leaderIndex;
      state.revision = leaderIndex;
    }
    state.historyFloor = state.revision;
    return emptyResult(entry, this.#state.revision, undefined, false);
  }

  async #stampUnstamped(index: number, revision: number, resumed: Progress | undefined): Promise<void> {
    const scan = this.#effects.scan({ ...ALL_KEYS, first: resumed?.nextKey ?? ALL_KEYS.first }, {});
    try {
      for (;;) {
        const pairs = await scan.next(SCAN_CHUNK_ENTRIES_MAX);
        if (pairs.length === 0) return;
        for (const [storeKey, record] of pairs) {
          if (modRevisionOf(record) !== 0) continue;
          const stamped = Buffer.from(record);
          writeRecordHeader(stamped, revision, revision, 1);
          this.#effects.contentHash.add(identityOf(storeKey, stamped));
          const key = keyInLatestKey(storeKey);
          this.#effects.overlay.set(keyId(key), stamped);
          this.#effects.write(storeKey, stamped);
        }
        if (this.#progress.isLarge()) {
          const lastKey = keyInLatestKey(pairs[pairs.length - 1]![0]);
          const nextKey = Buffer.concat([lastKey, ZERO_BYTE]);
          await this.#progress.spill({ ...BEGINNING, index, command: 0, nextKey });
        }
      }
    } finally {
      await scan.close();
    }
  }
}

/** Copies a key into memory of its own. */
function copyOf({ bytes, keyStart, keyEnd }: KeyPlace): KeyPlace {
  const key = Buffer.from(bytes.subarray(keyStart, keyEnd));
  return { bytes: key, keyStart: 0, keyEnd: key.length };
}
