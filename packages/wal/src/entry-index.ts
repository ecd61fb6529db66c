import { invariant } from './errors.js';
import { entrySizeBytes } from './record.js';
import type { SegmentTable } from './segment.js';

const BLOCK_ENTRIES = 512;
const BLOCK_ENTRIES_MIN = 8;
const BLOCK_SHIFT = 9;
const BLOCK_MASK = BLOCK_ENTRIES - 1;
const STRIDE = 3;

/** Segment, offset and data length of each entry, and its term: 20 bytes an entry. */
interface Block {
  places: Uint32Array;
  terms: Float64Array;
  /** The bytes that the entries of this block take in the segments. */
  sizeBytes: number;
}

/**
 * The place of each entry of one group's log. An entry without a place is not durable yet or, during recovery, was in a
 * segment that is gone: then a copy of it must follow.
 */
export class EntryIndex {
  readonly #segments: SegmentTable;
  #blocks: Block[] = [];
  /** The number of entries of the first block that were dropped. */
  #skipped = 0;
  #first: number;
  #count = 0;
  #sizeBytes = 0;

  constructor(segments: SegmentTable, firstIndex: number) {
    this.#segments = segments;
    this.#first = firstIndex;
  }

  get firstIndex(): number {
    return this.#first;
  }

  get lastIndex(): number {
    return this.#first + this.#count - 1;
  }

  /** The bytes that the entries take, or will take, in the segments. */
  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  /** Returns the bytes that the entries from `index` on take. It looks at each block, of 512 entries, once. */
  sizeBytesFrom(index: number): number {
    if (index <= this.#first) return this.#sizeBytes;
    if (index > this.lastIndex) return 0;
    const position = this.#position(index);
    const first = position >> BLOCK_SHIFT;
    let bytes = 0;
    for (let at = first + 1; at < this.#blocks.length; at++) bytes += this.#blocks[at]!.sizeBytes;
    const end = Math.min((first + 1) << BLOCK_SHIFT, this.#skipped + this.#count);
    for (let at = position; at < end; at++) bytes += this.#entrySizeBytes(at);
    return bytes;
  }

  /**
   * Returns the first index such that the entries from it on take at most `sizeBytesMax`; past the last when even that
   * one takes more.
   */
  firstIndexWithin(sizeBytesMax: number): number {
    if (this.#sizeBytes <= sizeBytesMax) return this.#first;
    let left = sizeBytesMax;
    let block = this.#blocks.length - 1;
    while (this.#blocks[block]!.sizeBytes <= left) left -= this.#blocks[block--]!.sizeBytes;
    let position = Math.min((block + 1) << BLOCK_SHIFT, this.#skipped + this.#count);
    for (;;) {
      left -= this.#entrySizeBytes(position - 1);
      if (left < 0) return this.#first + position - this.#skipped;
      position--;
    }
  }

  /** Adds an entry without a place. */
  push(term: number, dataBytes: number): void {
    const position = this.#skipped + this.#count;
    const slot = position & BLOCK_MASK;
    let block = this.#blocks[position >> BLOCK_SHIFT];
    if (block === undefined) {
      // Idle groups are many and hold a few entries each, so a group's first block is small and only later ones are
      // large.
      block = makeBlock(this.#blocks.length === 0 ? BLOCK_ENTRIES_MIN : BLOCK_ENTRIES);
      this.#blocks.push(block);
    } else if (slot >= block.terms.length) {
      grow(block);
    }
    block.places[slot * STRIDE] = 0;
    block.places[slot * STRIDE + 1] = 0;
    block.places[slot * STRIDE + 2] = dataBytes;
    block.terms[slot] = term;
    this.#count++;
    const bytes = entrySizeBytes(dataBytes);
    block.sizeBytes += bytes;
    this.#sizeBytes += bytes;
  }

  /** Sets an entry's term, length and place, wherever it was before. */
  place(index: number, term: number, dataBytes: number, segment: number, offset: number): void {
    const position = this.#position(index);
    const block = this.#blocks[position >> BLOCK_SHIFT]!;
    const slot = position & BLOCK_MASK;
    this.#forget(position, position + 1);
    block.places[slot * STRIDE] = segment;
    block.places[slot * STRIDE + 1] = offset;
    block.places[slot * STRIDE + 2] = dataBytes;
    block.terms[slot] = term;
    const bytes = entrySizeBytes(dataBytes);
    block.sizeBytes += bytes;
    this.#sizeBytes += bytes;
    this.#segments.get(segment)!.liveBytes += bytes;
  }

  termAt(index: number): number {
    const position = this.#position(index);
    return this.#blocks[position >> BLOCK_SHIFT]!.terms[position & BLOCK_MASK]!;
  }

  /** Returns the segment that holds the entry, or 0 when none does. */
  segmentAt(index: number): number {
    return this.#place(index, 0);
  }

  offsetAt(index: number): number {
    return this.#place(index, 1);
  }

  dataBytesAt(index: number): number {
    return this.#place(index, 2);
  }

  /** Drops the entries from `index` on. */
  dropSuffix(index: number): void {
    const kept = Math.max(0, Math.min(index - this.#first, this.#count));
    this.#forget(this.#skipped + kept, this.#skipped + this.#count);
    this.#count = kept;
    this.#blocks.length = Math.ceil((this.#skipped + kept) / BLOCK_ENTRIES);
  }

  /** Drops the entries up to and including `index`. */
  dropPrefix(index: number): void {
    const dropped = Math.max(0, Math.min(index + 1 - this.#first, this.#count));
    this.#forget(this.#skipped, this.#skipped + dropped);
    this.#first += dropped;
    this.#count -= dropped;
    this.#skipped += dropped;
    if (this.#count === 0) {
      this.#blocks = [];
      this.#skipped = 0;
      return;
    }
    this.#blocks.splice(0, this.#skipped >> BLOCK_SHIFT);
    this.#skipped &= BLOCK_MASK;
  }

  /** Drops every entry; the next one is `firstIndex`. */
  reset(firstIndex: number): void {
    this.dropSuffix(this.#first);
    this.#blocks = [];
    this.#skipped = 0;
    this.#first = firstIndex;
  }

  #position(index: number): number {
    invariant(index >= this.#first && index <= this.lastIndex, 'an entry outside of the log was looked up');
    return this.#skipped + index - this.#first;
  }

  #place(index: number, field: number): number {
    const position = this.#position(index);
    return this.#blocks[position >> BLOCK_SHIFT]!.places[(position & BLOCK_MASK) * STRIDE + field]!;
  }

  #entrySizeBytes(position: number): number {
    const { places } = this.#blocks[position >> BLOCK_SHIFT]!;
    return entrySizeBytes(places[(position & BLOCK_MASK) * STRIDE + 2]!);
  }

  /** Subtracts the entries at positions `[from, to)` from the accounts. Neighbours are mostly in the same segment. */
  #forget(from: number, to: number): void {
    let segment = 0;
    let segmentBytes = 0;
    for (let position = from; position < to; position++) {
      const block = this.#blocks[position >> BLOCK_SHIFT]!;
      const { places } = block;
      const place = (position & BLOCK_MASK) * STRIDE;
      if (places[place] !== segment) {
        this.#unaccount(segment, segmentBytes);
        segment = places[place]!;
        segmentBytes = 0;
      }
      const bytes = entrySizeBytes(places[place + 2]!);
      block.sizeBytes -= bytes;
      segmentBytes += bytes;
    }
    this.#unaccount(segment, segmentBytes);
  }

  #unaccount(segment: number, bytes: number): void {
    this.#sizeBytes -= bytes;
    if (segment !== 0) this.#segments.get(segment)!.liveBytes -= bytes;
  }
}

function makeBlock(entries: number): Block {
  return { places: new Uint32Array(STRIDE * entries), terms: new Float64Array(entries), sizeBytes: 0 };
}

function grow(block: Block): void {
  const larger = makeBlock(2 * block.terms.length);
  larger.places.set(block.places);
  larger.terms.set(block.terms);
  block.places = larger.places;
  block.terms = larger.terms;
}
