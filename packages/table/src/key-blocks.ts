import { strict as assert } from 'node:assert/strict';
import { KeyBlock } from './key-block.js';
import { LATEST, LATEST_END } from './layout.js';
import type { MemtableEntry } from './memtable.js';
import { RevisionSpan } from './revision-bounds.js';
import { keyId, newSortedTree, type SortedTree } from './sorted-tree.js';

/**
 * The usual number of keys of a block, as long as there are few blocks. A block may grow to twice as many before it is
 * worth dividing.
 */
const BLOCK_KEYS_MIN = 256;
/** The most bytes of memory that blocks may take. When they exceed it, all become larger and fewer. */
const SIZE_BYTES_MAX = 4 * 1024 * 1024;
/** The memory that a block takes beside its keys: its object, its span of revisions, and its place in a tree. */
const BLOCK_OVERHEAD_BYTES = 340;
/** The number of entries, or blocks, that are handled between two turns of the event loop. */
const STEP_ENTRIES = 2000;

const LATEST_ID = keyId(Buffer.from([LATEST]));
const LATEST_END_ID = keyId(LATEST_END);

/** The sizes of a table's blocks. Tests set other sizes than the defaults. */
export interface KeyBlockSizes {
  readonly blockKeys?: number | undefined;
  readonly sizeBytesMax?: number;
}

/**
 * The latest keys of a store between two flushes, divided into blocks of neighbours. Each block knows how many keys it
 * has and between which revisions they lie. Every key lies in a block. A reader of the store may divide a block further
 * (`replace`).
 */
export class KeyBlocks {
  readonly #blocks: SortedTree<KeyBlock>;
  readonly #sizeBytesMax: number;
  #blockKeys: number;
  #sizeBytes = 0;

  private constructor(blocks: SortedTree<KeyBlock>, blockKeys: number, sizeBytesMax: number) {
    this.#blocks = blocks;
    this.#blockKeys = blockKeys;
    this.#sizeBytesMax = sizeBytesMax;
  }

  /** Returns the blocks of a store that has no latest keys. */
  static empty({ blockKeys = BLOCK_KEYS_MIN, sizeBytesMax = SIZE_BYTES_MAX }: KeyBlockSizes = {}): KeyBlocks {
    return new KeyBlocks(newSortedTree(), blockKeys, sizeBytesMax);
  }

  /**
   * Returns the blocks of a store that has `keyCount` latest keys at unknown places: one block of which nothing is
   * known.
   */
  static unknown(keyCount: number, sizes: KeyBlockSizes = {}): KeyBlocks {
    const blocks = KeyBlocks.empty(sizes);
    if (keyCount === 0) return blocks;
    while ((keyCount / blocks.#blockKeys) * 2 * BLOCK_OVERHEAD_BYTES > blocks.#sizeBytesMax)
      blocks.#blockKeys *= 2;
    blocks.#set(new KeyBlock(LATEST_ID, LATEST_END_ID, undefined, RevisionSpan.unknown));
    return blocks;
  }

  /** About how many bytes of memory the blocks take. */
  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  /** The number of keys of a new block. */
  get blockKeys(): number {
    return this.#blockKeys;
  }

  /** Returns the blocks that may have keys from `first` up to, but not with, `end`, in key order. */
  within(first: string, end: string): KeyBlock[] {
    const found: KeyBlock[] = [];
    if (first >= end) return found;
    const before = this.#blocks.nextLowerPair(first)?.[1];
    if (before !== undefined && before.end > first) found.push(before);
    for (const [, block] of this.#blocks.entries(first)) {
      if (block.first >= end) break;
      found.push(block);
    }
    return found;
  }

  /** True when the block is too small to be worth dividing. */
  isSmall({ count }: KeyBlock): boolean {
    return count !== undefined && count <= 2 * this.#blockKeys;
  }

  /**
   * Replaces a block by the parts that a reader found in it. Returns false when the block is no longer there, because
   * another reader was faster, or when there is no room; the next flush makes some.
   */
  replace(block: KeyBlock, parts: readonly KeyBlock[]): boolean {
    if (this.#blocks.get(block.first) !== block) return false;
    if (parts.length > 1 && this.#sizeBytes > this.#sizeBytesMax) return false;
    this.#remove(block);
    for (const part of parts) this.#set(part);
    return true;
  }

  /**
   * Returns the blocks as they are after a flush of entries, which come in key order. Facts that readers learn here
   * meanwhile may be missing in the result. `turn` is called now and then to let others go on.
   */
  async after(entries: Iterable<MemtableEntry>, turn: () => Promise<void>): Promise<KeyBlocks> {
    const next = new KeyBlocks(this.#blocks.clone(), this.#blockKeys, this.#sizeBytesMax);
    next.#sizeBytes = this.#sizeBytes;
    const update = new Update(next);
    let left = STEP_ENTRIES;
    for (const entry of entries) {
      update.take(entry);
      if (--left > 0) continue;
      left = STEP_ENTRIES;
      await turn();
    }
    update.end();
    while (next.#sizeBytes > next.#sizeBytesMax && next.#blocks.size > 1) await next.#coarsen(turn);
    return next;
  }

  /** Returns the block that a key lies in, if there is one. */
  at(id: string): KeyBlock | undefined {
    const block = this.#blocks.getPairOrNextLower(id)?.[1];
    return block !== undefined && id < block.end ? block : undefined;
  }

  /** Returns the beginning of the first block after a key that lies in none. */
  firstAfter(id: string): string | undefined {
    return this.#blocks.nextHigherKey(id);
  }

  /**
   * Puts a block in the place of one with the same beginning, if there is one. Joins a small block with the block
   * before it when that has room.
   */
  put(block: KeyBlock): void {
    const old = this.#blocks.get(block.first);
    if (old !== undefined) this.#remove(old);
    if (block.count === 0) return;
    if (block.count !== undefined && block.count < this.#blockKeys / 2) {
      const before = this.#blocks.nextLowerPair(block.first)?.[1];
      if (before !== undefined && this.#haveRoom(before, block)) {
        this.#remove(before);
        this.#set(before.join(block));
        return;
      }
    }
    this.#set(block);
  }

  #haveRoom(block: KeyBlock, next: KeyBlock): boolean {
    return (
      block.count !== undefined && next.count !== undefined && block.count + next.count <= 2 * this.#blockKeys
    );
  }

  /**
   * Doubles the usual number of keys of a block, and joins blocks in pairs when both together have at most twice the
   * new number, or when one is not counted.
   */
  async #coarsen(turn: () => Promise<void>): Promise<void> {
    this.#blockKeys *= 2;
    let left = STEP_ENTRIES;
    let last: KeyBlock | undefined;
    for (let at: string | undefined = ''; at !== undefined; ) {
      const block: KeyBlock | undefined = this.#blocks.nextHigherPair(at)?.[1];
      at = block?.first;
      if (block === undefined || last === undefined) {
        last = block;
      } else if (last.count === undefined || block.count === undefined || this.#haveRoom(last, block)) {
        this.#remove(last);
        this.#remove(block);
        this.#set(last.join(block));
        last = undefined;
      } else {
        last = block;
      }
      if (--left > 0) continue;
      left = STEP_ENTRIES;
      await turn();
    }
  }

  #set(block: KeyBlock): void {
    this.#blocks.set(block.first, block);
    this.#sizeBytes += sizeBytesOf(block);
  }

  #remove(block: KeyBlock): void {
    this.#blocks.delete(block.first);
    this.#sizeBytes -= sizeBytesOf(block);
  }
}

function sizeBytesOf({ first, end }: KeyBlock): number {
  return BLOCK_OVERHEAD_BYTES + first.length + end.length;
}

/** Applies the entries of a flush to blocks, in key order. */
class Update {
  readonly #blocks: KeyBlocks;
  /** The block that the entries lie in, or the block that is being made of entries that lie in none. */
  #first = '';
  #end = '';
  #count: number | undefined = 0;
  #revisions = RevisionSpan.none;
  #isNew = false;
  /**
   * Entries before this key lie in the same block as the one before them, or like it in none; undefined when that holds
   * for all entries that follow.
   */
  #until: string | undefined = '';

  constructor(blocks: KeyBlocks) {
    this.#blocks = blocks;
  }

  take({ id, record, wasStored }: MemtableEntry): void {
    // The key was written and deleted between two flushes.
    if (record === undefined && !wasStored) return;
    if (this.#until !== undefined && id >= this.#until) this.#begin(id);
    assert(!this.#isNew || !wasStored, 'a stored key lies in a block');
    if (this.#count !== undefined) this.#count += (record === undefined ? 0 : 1) - (wasStored ? 1 : 0);
    if (record !== undefined) this.#revisions = this.#revisions.and(record);
    if (!this.#isNew) return;
    if (this.#count === 1) this.#first = id;
    this.#end = `${id}\0`;
    if (this.#count === this.#blocks.blockKeys) this.#endNew();
  }

  end(): void {
    if (this.#isNew) this.#endNew();
    else if (this.#end !== '') this.#put();
  }

  #begin(id: string): void {
    this.end();
    const block = this.#blocks.at(id);
    this.#isNew = block === undefined;
    this.#first = block?.first ?? id;
    this.#end = block?.end ?? id;
    this.#count = block === undefined ? 0 : block.count;
    this.#revisions = block?.revisions ?? RevisionSpan.none;
    this.#until = block === undefined ? this.#blocks.firstAfter(id) : block.end;
  }

  #endNew(): void {
    if (this.#count !== 0) this.#put();
    this.#count = 0;
    this.#revisions = RevisionSpan.none;
  }

  #put(): void {
    this.#blocks.put(new KeyBlock(this.#first, this.#end, this.#count, this.#revisions));
  }
}
