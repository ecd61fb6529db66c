import { strict as assert } from 'node:assert/strict';
import { KeyBlock } from './key-block.js';
import type { KeyBlocks } from './key-blocks.js';
import { RevisionSpan } from './revision-bounds.js';
import { keyId } from './sorted-tree.js';

/**
 * Learns the content of a block from a reader that passes its keys, or those from some place on: divides a large block
 * into parts, and notes between which revisions the records are.
 */
export class BlockReading {
  readonly #blocks: KeyBlocks;
  /** The rest of the block after all parts that are known by now; undefined when nothing more is to be learned. */
  #rest: KeyBlock | undefined;
  /** The part of the block before the place where reading begins. */
  #before: KeyBlock | undefined;
  /** The first key of the present part. */
  #first: string | undefined;
  #last: Buffer | undefined;
  #count = 0;
  #revisions = RevisionSpan.none;

  /** Reading begins at `from`, when that is within the block, else at the block's beginning. */
  constructor(blocks: KeyBlocks, block: KeyBlock, from = block.first) {
    this.#blocks = blocks;
    this.#rest = block;
    if (from > block.first) this.#before = new KeyBlock(block.first, from, undefined, block.revisions);
  }

  /** Takes the next key. Without its record nothing is learned of revisions. */
  take(storeKey: Buffer, record?: Buffer): void {
    const rest = this.#rest;
    if (rest === undefined) return;
    this.#first ??= keyId(storeKey);
    this.#last = storeKey;
    this.#count += 1;
    this.#revisions = record === undefined ? rest.revisions : this.#revisions.and(record);
    if (this.#count === this.#keysOfPart(rest)) this.#endPart(rest, false);
  }

  /** Takes the next `count` keys. `last` is the last of them, or undefined when it is not known. */
  takePart(count: number, last: Buffer | undefined): void {
    const rest = this.#rest;
    if (rest === undefined) return;
    this.#first ??= this.#before?.end ?? rest.first;
    this.#last = last;
    this.#count += count;
    this.#revisions = rest.revisions;
    if (last !== undefined && this.#count >= this.#blocks.blockKeys) this.#endPart(rest, false);
  }

  /** Ends the reading, when the block has been read to its end. */
  end(): void {
    const rest = this.#rest;
    if (rest === undefined) return;
    const isAll = this.#before === undefined;
    assert(
      !isAll || rest.count === undefined || rest.count === this.#count,
      'a block has as many keys as the store',
    );
    // Without this limit, many short ranges would cut the block into many pieces.
    if (isAll || this.#count >= this.#blocks.blockKeys / 2) this.#endPart(rest, true);
    this.#rest = undefined;
  }

  #keysOfPart(rest: KeyBlock): number {
    const isWhole = this.#before === undefined && this.#blocks.isSmall(rest);
    return isWhole ? rest.count! : this.#blocks.blockKeys;
  }

  #endPart(rest: KeyBlock, isLast: boolean): void {
    const parts = this.#before === undefined ? [] : [this.#before];
    let after: KeyBlock | undefined;
    if (this.#first !== undefined) {
      const end = this.#last === undefined ? rest.end : `${keyId(this.#last)}\0`;
      parts.push(new KeyBlock(this.#first, end, this.#count, this.#revisions));
      const isCounted = rest.count !== undefined && this.#before === undefined;
      const left = isCounted ? rest.count! - this.#count : undefined;
      if (!isLast && left !== 0 && end < rest.end) after = new KeyBlock(end, rest.end, left, rest.revisions);
      if (after !== undefined) parts.push(after);
    }
    const isKept = this.#blocks.replace(rest, parts);
    this.#rest = isKept ? after : undefined;
    this.#before = undefined;
    this.#first = undefined;
    this.#count = 0;
    this.#revisions = RevisionSpan.none;
  }
}
