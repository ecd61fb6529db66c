import type { PairRecord } from '@coxswain/stream';
import { LATEST, RECORD_HEADER_SIZE_BYTES, type Stamp, writeRecordHeaderAt } from './layout.js';
import { copyBytes } from './record-block.js';
import { keyId } from './sorted-tree.js';
import type { Operation } from './store.js';

const LENGTH_SIZE_BYTES = 4;
/** A run that grows no more may keep memory of at most this multiple of its bytes. */
const UNUSED_FACTOR_MAX = 1.5;
/** The size of an element in the list of record places. */
const PLACE_SIZE_BYTES = 8;

/**
 * Latest records in key order, packed one after another, as an entry of a load brings them. A load writes millions of
 * keys that nobody has written before and that nobody reads for the moment. So there is no object for any of them, and
 * no map or tree: keys are found by binary search.
 */
export class SortedRun {
  #bytes: Buffer;
  /**
   * The offset of each record. A record is its u32 key length, store key and stored record, which is also the input of
   * its content hash (A6).
   */
  readonly #starts: number[] = [];
  #end = 0;

  /** `sizeBytes` is about how much memory the records will take. */
  constructor(sizeBytes: number) {
    this.#bytes = Buffer.allocUnsafeSlow(sizeBytes);
  }

  /** The number of records. */
  get length(): number {
    return this.#starts.length;
  }

  /** About how many bytes of memory the run takes. */
  get usedBytes(): number {
    return this.#bytes.length + this.#starts.length * PLACE_SIZE_BYTES;
  }

  /**
   * Adds a pair whose key follows all others, with a stamp. Returns the input of its content hash, valid until the next
   * call.
   */
  add({ bytes, keyStart, keyEnd, valueStart, valueEnd }: PairRecord, stamp: Stamp): Buffer {
    const start = this.#end;
    const keyAt = start + LENGTH_SIZE_BYTES + 1;
    const recordAt = keyAt + keyEnd - keyStart;
    const end = recordAt + RECORD_HEADER_SIZE_BYTES + valueEnd - valueStart;
    if (end > this.#bytes.length) this.#resize(2 * end);
    const target = this.#bytes;
    target.writeUInt32LE(keyEnd - keyStart, start);
    target[keyAt - 1] = LATEST;
    copyBytes(bytes, keyStart, keyEnd, target, keyAt);
    writeRecordHeaderAt(target, recordAt, stamp);
    copyBytes(bytes, valueStart, valueEnd, target, recordAt + RECORD_HEADER_SIZE_BYTES);
    this.#starts.push(start);
    this.#end = end;
    return target.subarray(start, end);
  }

  /** Ends the run's growth, and gives back unused memory when that is much. */
  seal(): void {
    if (this.#bytes.length > this.#end * UNUSED_FACTOR_MAX) this.#resize(this.#end);
  }

  #resize(sizeBytes: number): void {
    const other = Buffer.allocUnsafeSlow(sizeBytes);
    this.#bytes.copy(other, 0, 0, this.#end);
    this.#bytes = other;
  }

  storeKey(place: number): Buffer {
    const start = this.#starts[place]!;
    return this.#bytes.subarray(start + LENGTH_SIZE_BYTES, this.#recordAt(start));
  }

  record(place: number): Buffer {
    return this.#bytes.subarray(this.#recordAt(this.#starts[place]!), this.#starts[place + 1] ?? this.#end);
  }

  /** Returns the store key at a place as a Latin-1 string; see `keyId`. */
  id(place: number): string {
    return keyId(this.storeKey(place));
  }

  #recordAt(start: number): number {
    return start + LENGTH_SIZE_BYTES + 1 + this.#bytes.readUInt32LE(start);
  }

  /**
   * Returns a number below 0 when the store key at a place comes before `id`, above 0 when it comes after it, else 0.
   * Compares the bytes in place: a string for each key that a search passes would cost several times as much.
   */
  compareAt(place: number, id: string): number {
    const bytes = this.#bytes;
    const start = this.#starts[place]!;
    const keyAt = start + LENGTH_SIZE_BYTES;
    const length = this.#recordAt(start) - keyAt;
    const common = Math.min(length, id.length);
    for (let at = 0; at < common; at++) {
      const difference = bytes[keyAt + at]! - id.charCodeAt(at);
      if (difference !== 0) return difference;
    }
    return length - id.length;
  }

  /** Returns the place of the first store key that is not before `id`, or the run's length when there is none. */
  placeOf(id: string): number {
    let low = 0;
    let high = this.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.compareAt(middle, id) < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /**
   * Returns the places of the store keys from `first` on and before `end`: that of the first one, and the one after the
   * last.
   */
  between(
    first: string | undefined,
    end: string | undefined,
  ): { readonly from: number; readonly to: number } {
    const from = first === undefined ? 0 : this.placeOf(first);
    const to = end === undefined ? this.length : this.placeOf(end);
    return { from, to: Math.max(from, to) };
  }

  /** Returns the place of a store key; undefined when the run does not have it. */
  find(id: string): number | undefined {
    const place = this.placeOf(id);
    return place < this.length && this.compareAt(place, id) === 0 ? place : undefined;
  }

  /** Yields the writes that bring the run into a store. */
  *operations(): Generator<Operation, void, undefined> {
    for (let place = 0; place < this.length; place++) {
      yield { storeKey: this.storeKey(place), record: this.record(place) };
    }
  }
}

/** An object that holds a run, beside others. */
interface HoldsRun {
  readonly run: SortedRun;
}

/**
 * Returns the only one of some runs that can hold a store key; undefined when none can. `runs` must be in key order,
 * and none may be empty. A large load leaves a hundred runs, and to search each would cost more than all other work for
 * a write of such a key.
 */
export function runAround<Holder extends HoldsRun>(runs: readonly Holder[], id: string): Holder | undefined {
  let low = 0;
  let high = runs.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (runs[middle]!.run.compareAt(0, id) <= 0) low = middle + 1;
    else high = middle;
  }
  return runs[low - 1];
}
