import { BlockReading } from './block-reading.js';
import { type BlockRange, BlockScan } from './block-scan.js';
import type { KeyBlock } from './key-block.js';
import { isWithinRevisions, type RevisionBounds } from './revision-bounds.js';
import { compareIds, keyOfId } from './sorted-tree.js';

/** A counted block of more times as many keys as are usual is divided no further than a count needs it. */
const WHOLE_BLOCKS_MAX = 16;
/** So many parts may come without a last key before another way is taken. */
const UNTOLD_PARTS_MAX = 16;
/** Keys that are read at once. */
const PAGE_ENTRIES = 1000;
const BYTES_MAX = Number.MAX_SAFE_INTEGER;

/** How many keys a range has, in parts: the first counts the known blocks, the others the keys that were read from the store. */
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

/** The same of the keys whose records have some revisions. */
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

/** All of the block's keys lie in the range, and they are counted. */
function isKnown({ first, end, count }: KeyBlock, range: BlockRange): boolean {
  return count !== undefined && first >= range.first && end <= range.end;
}

function countPart(block: KeyBlock, range: BlockRange): AsyncGenerator<number, void, undefined> {
  const { store, snapshot } = range;
  const gte = keyOfId(compareIds(range.first, block.first) < 0 ? block.first : range.first);
  const lt = keyOfId(compareIds(range.end, block.end) < 0 ? range.end : block.end);
  return store.count({ gte, lt, snapshot });
}

/** Counts what of the range lies in a block of many keys, or of a number that nobody knows, and divides that on the way. */
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

/** Counts keys by a look at each from one place to another, which shows for certain where parts end. */
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

/** How many keys of a page lie before a key. */
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
