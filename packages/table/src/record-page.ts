import { strict as assert } from 'node:assert/strict';

/** The memory that a pair takes beside its encoded bytes: the string by which it is found, places in arrays. */
const PAIR_OVERHEAD_BYTES = 64;
const PAGE_OVERHEAD_BYTES = 512;

/**
 * Keys in order, their encoded pairs one after another, and the offsets at which each pair begins and the last one
 * ends.
 */
export interface PagePairs {
  readonly ids: string[];
  readonly joined: Buffer;
  readonly offsets: number[];
}

/**
 * All live keys of an interval with their pairs, encoded as in an answer, so that a range can be copied out. Keys are
 * Latin-1 strings; see `keyId`.
 */
export class RecordPage {
  /** The key at which the interval begins. */
  readonly first: string;
  /** The key before which the interval ends; undefined when it has no end. */
  end: string | undefined;
  /** The page that was used before this one and the one that was used after it; see `PageBudget`. */
  older: RecordPage | undefined;
  newer: RecordPage | undefined;
  /** Called when memory is short, to drop the page. */
  readonly evict: (page: RecordPage) => void;
  #ids: string[];
  /**
   * The encoded pairs one after another, at the offsets in `#offsets`; undefined when something was written since they
   * were joined.
   */
  #joined: Buffer | undefined;
  #offsets: number[];
  /** The encoded pairs while they are not joined. */
  #pairs: Buffer[] = [];
  #pairBytes: number;

  constructor(
    { first, end }: { first: string; end: string | undefined },
    { ids, joined, offsets }: PagePairs,
    evict: (page: RecordPage) => void,
  ) {
    this.first = first;
    this.end = end;
    this.evict = evict;
    this.#ids = ids;
    this.#joined = joined;
    this.#offsets = offsets;
    this.#pairBytes = joined.length;
  }

  /** Returns whether the key lies in the interval. */
  covers(id: string): boolean {
    return id >= this.first && (this.end === undefined || id < this.end);
  }

  get size(): number {
    return this.#ids.length;
  }

  /** About how many bytes of memory the page takes. */
  get sizeBytes(): number {
    return (
      PAGE_OVERHEAD_BYTES + this.#pairBytes + this.#ids.length * (PAIR_OVERHEAD_BYTES + this.first.length)
    );
  }

  /** Returns the place of the first key that is not before the given one. */
  placeOf(id: string): number {
    const ids = this.#ids;
    let low = 0;
    let high = ids.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (ids[middle]! < id) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /**
   * Returns the encoded pair of a key, which may be overwritten in place later; undefined when the page has no such
   * key.
   */
  find(id: string): Buffer | undefined {
    const place = this.placeOf(id);
    return this.#ids[place] === id ? this.#pairAt(place) : undefined;
  }

  /** Takes in a write of a key that the page covers; undefined deletes the key. */
  write(id: string, pair: Buffer | undefined): void {
    const place = this.placeOf(id);
    const before = this.#ids[place] === id ? this.#pairAt(place) : undefined;
    if (before === undefined && pair === undefined) return;
    this.#pairBytes += (pair?.length ?? 0) - (before?.length ?? 0);
    if (before !== undefined && pair?.length === before.length && this.#joined !== undefined) {
      pair.copy(before);
      return;
    }
    this.#part();
    if (pair === undefined) {
      this.#ids.splice(place, 1);
      this.#pairs.splice(place, 1);
    } else if (before === undefined) {
      this.#ids.splice(place, 0, id);
      this.#pairs.splice(place, 0, pair);
    } else {
      this.#pairs[place] = pair;
    }
  }

  /** Returns the size in bytes of the pairs from place `from` up to, but not with, place `to`. */
  bytesBetween(from: number, to: number): number {
    this.#join();
    return this.#offsets[to]! - this.#offsets[from]!;
  }

  /** Copies the pairs from place `from` up to, but not with, place `to` to `target`. */
  copyTo(target: Buffer, at: number, from: number, to: number): void {
    const joined = this.#join();
    joined.copy(target, at, this.#offsets[from]!, this.#offsets[to]!);
  }

  /** Moves the second half of the page into a new one, which it returns. */
  split(): RecordPage {
    assert(this.#ids.length > 1, 'a page of one key is not split');
    const joined = this.#join();
    const middle = this.#ids.length >>> 1;
    const ids = this.#ids.splice(middle);
    const cut = this.#offsets[middle]!;
    const offsets = this.#offsets.splice(middle).map((offset) => offset - cut);
    this.#offsets.push(cut);
    const pairs = { ids, joined: ownCopy(joined, cut, joined.length), offsets };
    const upper = new RecordPage({ first: ids[0]!, end: this.end }, pairs, this.evict);
    this.end = ids[0]!;
    this.#joined = ownCopy(joined, 0, cut);
    this.#pairBytes = cut;
    return upper;
  }

  #pairAt(place: number): Buffer {
    const joined = this.#joined;
    return joined === undefined
      ? this.#pairs[place]!
      : joined.subarray(this.#offsets[place]!, this.#offsets[place + 1]!);
  }

  #join(): Buffer {
    if (this.#joined !== undefined) return this.#joined;
    let offset = 0;
    this.#offsets = this.#pairs.map((pair) => {
      const start = offset;
      offset += pair.length;
      return start;
    });
    this.#offsets.push(offset);
    // The bytes get memory of their own, since a part of a pool would keep the rest of the pool alive.
    const joined = Buffer.allocUnsafeSlow(offset);
    for (const [place, pair] of this.#pairs.entries()) pair.copy(joined, this.#offsets[place]!);
    this.#joined = joined;
    this.#pairs = [];
    return joined;
  }

  #part(): void {
    if (this.#joined === undefined) return;
    this.#pairs = this.#ids.map((_, place) => this.#pairAt(place));
    this.#joined = undefined;
  }
}

/** Copies bytes into memory of their own, since a part would keep the rest of the memory alive. */
function ownCopy(bytes: Buffer, start: number, end: number): Buffer {
  const copy = Buffer.allocUnsafeSlow(end - start);
  bytes.copy(copy, 0, start, end);
  return copy;
}
