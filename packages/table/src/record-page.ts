import { strict as assert } from 'node:assert/strict';

/** What a pair takes in memory beside its encoded bytes: the string by which it is found, places in arrays. */
const PAIR_OVERHEAD_BYTES = 64;
const PAGE_OVERHEAD_BYTES = 512;

/** Keys in order, their encoded pairs one behind the other, and where each pair begins and the last one ends. */
export interface PagePairs {
  readonly ids: string[];
  readonly joined: Buffer;
  readonly offsets: number[];
}

/**
 * All live keys of an interval with their pairs, encoded as an answer has them: a range is copied out of it. Keys are
 * Latin-1 strings, see `keyId`.
 */
export class RecordPage {
  /** The interval begins with it. */
  readonly first: string;
  /** The interval ends before it; undefined: it has no end. */
  end: string | undefined;
  /** The page that was used before this one and the one that was used after it; see `PageBudget`. */
  older: RecordPage | undefined;
  newer: RecordPage | undefined;
  /** Called when memory is short. */
  readonly evict: (page: RecordPage) => void;
  #ids: string[];
  /** The pairs one behind the other, and where each begins and the last ends; undefined: something was written since. */
  #joined: Buffer | undefined;
  #offsets: number[];
  /** The pairs where they are not joined. */
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

  /** Whether the interval has the key in it. */
  covers(id: string): boolean {
    return id >= this.first && (this.end === undefined || id < this.end);
  }

  get size(): number {
    return this.#ids.length;
  }

  /** About what it takes in memory. */
  get sizeBytes(): number {
    return (
      PAGE_OVERHEAD_BYTES + this.#pairBytes + this.#ids.length * (PAIR_OVERHEAD_BYTES + this.first.length)
    );
  }

  /** The place of the first key that is not before the given one. */
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

  /** The encoded pair of a key, which may be overwritten in place later; undefined: there is no such key. */
  find(id: string): Buffer | undefined {
    const place = this.placeOf(id);
    return this.#ids[place] === id ? this.#pairAt(place) : undefined;
  }

  /** Takes in a write of a key that it covers; undefined deletes it. */
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

  /** How many bytes the pairs from one place up to another, but not with it, take. */
  bytesBetween(from: number, to: number): number {
    this.#join();
    return this.#offsets[to]! - this.#offsets[from]!;
  }

  /** Copies the pairs from one place up to another, but not with it. */
  copyTo(target: Buffer, at: number, from: number, to: number): void {
    const joined = this.#join();
    joined.copy(target, at, this.#offsets[from]!, this.#offsets[to]!);
  }

  /** Gives its second half away. */
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
    // Of its own: a part of a pool would keep the rest of that alive.
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

/** Of its own: a part would keep the rest of the memory alive. */
function ownCopy(bytes: Buffer, start: number, end: number): Buffer {
  const copy = Buffer.allocUnsafeSlow(end - start);
  bytes.copy(copy, 0, start, end);
  return copy;
}
