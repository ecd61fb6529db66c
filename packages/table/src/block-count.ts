import { BlockReading } from './block-reading.js';
import { type BlockRange, BlockScan } from './block-scan.js';
import type { KeyBlock } from './key-block.js';
import { isWithinRevisions, type RevisionBounds } from './revision-bounds.js';
import { compareIds, keyOfId } from './sorted-tree.js';

/**
 * A counted block is divided fully when it has at most this many times the usual number of keys; a larger one is
 * divided only as far as a count needs it.
 */
const WHOLE_BLOCKS_MAX = 16;
/** The number of parts in a row that may come without a last key before the keys are read one by one instead. */
const UNTOLD_PARTS_MAX = 16;
/** The number of keys that are read at once. */
const PAGE_ENTRIES = 1000;
const BYTES_MAX = Number.MAX_SAFE_INTEGER;

/**
 * Counts the keys of a range, in parts: the first part is the sum of the known blocks, the others are keys that were
 * counted in the store. A part may be negative, when it corrects those before it.
 */
export async function* countBlocks(range: BlockRange): AsyncGenerator<number, void, undefined> {
  let known = 0;
  const unknown: KeyBlock[] = [];
  for (const block of range.blocks.within(range.first, range.end)) {
    if (isKnown(block, range)) known += block.count!;
    else unknown.push(block);
  }
  yield known;
  for (const block of unknown) {
    if (range.blocks.isSmall(block)) yield* countPart(block, range);
    else yield* countAndLearn(block, range);
  }
}

/**
 * Counts the keys of a range whose records have some revisions, in parts: the first part is the sum of the known
 * blocks.
 */
export async function* countBlocksWithin(
  range: BlockRange,
  revisions: RevisionBounds,
): AsyncGenerator<number, void, undefined> {
  const isKnownAll = (block: KeyBlock): boolean =>
    isKnown(block, range) && block.revisions.isWithin(revisions);
  let known = 0;
  for (const block of range.blocks.within(range.first, range.end))
    if (isKnownAll(block)) known += block.count!;
  const scan = new BlockScan(range, revisions, isKnownAll);
  yield known;
  try {
    for (;;) {
      const page = await scan.next(PAGE_ENTRIES, BYTES_MAX);
      if (page.length === 0) return;
      let count = 0;
      for (const [, record] of page) if (isWithinRevisions(revisions, record)) count += 1;
      yield count;
    }
  } finally {
    await scan.close();
  }
}

/** True when all keys of the block lie in the range, and they have been counted. */
function isKnown({ first, end, count }: KeyBlock, range: BlockRange): boolean {
  return count !== undefined && first >= range.first && end <= range.end;
}

function countPart(block: KeyBlock, range: BlockRange): AsyncGenerator<number, void, undefined> {
  const { store, snapshot } = range;
  const gte = keyOfId(compareIds(range.first, block.first) < 0 ? block.first : range.first);
  const lt = keyOfId(compareIds(range.end, block.end) < 0 ? range.end : block.end);
  return store.count({ gte, lt, snapshot });
}

/**
 * Counts the keys of the range that lie in a block which has many keys or has not been counted, and divides the block
 * meanwhile.
 */
async function* countAndLearn(block: KeyBlock, range: BlockRange): AsyncGenerator<number, void, undefined> {
  const { count, first, end } = block;
  if (count !== undefined && count <= WHOLE_BLOCKS_MAX * range.blocks.blockKeys) {
    yield* countByKeys(block, range, { from: first, to: end });
    return;
  }
  const { store, snapshot, blocks } = range;
  const from = compareIds(range.first, first) < 0 ? first : range.first;
  const to = compareIds(range.end, end) < 0 ? range.end : end;
  const reading = new BlockReading(blocks, block, from);
  let counted = 0;
  let untold = 0;
  const bounds = { gte: keyOfId(from), lt: keyOfId(to), snapshot };
  for await (const part of store.countParts(bounds, blocks.blockKeys)) {
    untold = part.last === undefined ? untold + 1 : 0;
    if (untold > UNTOLD_PARTS_MAX) {
      yield -counted;
      yield* countByKeys(block, range, { from, to });
      return;
    }
    reading.takePart(part.count, part.last);
    counted += part.count;
    yield part.count;
  }
  if (to === end) reading.end();
}

/** Counts keys by reading each of them from one place to another, which finds for certain where parts end. */
async function* countByKeys(
  block: KeyBlock,
  range: BlockRange,
  { from, to }: { from: string; to: string },
): AsyncGenerator<number, void, undefined> {
  const { store, snapshot, blocks } = range;
  const gte = keyOfId(range.first);
  const lt = keyOfId(range.end);
  const reading = new BlockReading(blocks, block, from);
  const scan = store.scan({ gte: keyOfId(from), lt: keyOfId(to), snapshot, keysOnly: true });
  try {
    for (;;) {
      const page = await scan.next(PAGE_ENTRIES, BYTES_MAX);
      if (page.length === 0) break;
      for (const [storeKey] of page) reading.take(storeKey);
      yield placeOf(lt, page) - placeOf(gte, page);
    }
    if (to === block.end) reading.end();
  } finally {
    await scan.close();
  }
}

/** Returns the number of keys on a page that come before a key. */
function placeOf(key: Buffer, page: readonly (readonly [key: Buffer, value: Buffer])[]): number {
  let low = 0;
  let high = page.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (Buffer.compare(page[middle]![0], key) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}
