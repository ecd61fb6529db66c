import { BlockReading } from './block-reading.js';
import type { KeyBlock } from './key-block.js';
import type { KeyBlocks } from './key-blocks.js';
import type { RevisionBounds } from './revision-bounds.js';
import { compareIds, keyOfId } from './sorted-tree.js';
import type { OrderedStore, StoreScan, StoreSnapshot } from './store.js';

/** The most neighbouring blocks that one scan of the store reads; each scan costs a trip to the store. */
const RUN_BLOCKS_MAX = 64;

/** A range of latest keys in a snapshot of the store, and the blocks that are known of them. */
export interface BlockRange {
  readonly store: OrderedStore;
  readonly snapshot: StoreSnapshot;
  readonly blocks: KeyBlocks;
  /** The bounds of the range: store keys as Latin-1 strings; see `keyId`. */
  readonly first: string;
  readonly end: string;
}

/**
 * Neighbouring blocks in key order, and the range of them that one scan reads. All blocks are whole and counted, unless
 * the run has only one.
 */
interface Run {
  readonly blocks: KeyBlock[];
  readonly first: string;
  readonly end: string;
}

/**
 * Scans a range, but skips the blocks that can have no record of some revisions. It learns the content of the blocks
 * that it reads.
 */
export class BlockScan implements StoreScan {
  readonly #range: BlockRange;
  readonly #runs: Run[];
  #scan: StoreScan | undefined;
  #run: Run | undefined;
  /** The number of blocks of the run that have been begun. */
  #begun = 0;
  /** The number of keys that the present block has yet to give; infinite for a block that was not counted. */
  #left = 0;
  #reading: BlockReading | undefined;

  /** The scan gives all records that `revisions` ask for, except those of blocks for which `isKnown` returns true. */
  constructor(
    range: BlockRange,
    revisions: RevisionBounds,
    isKnown: (block: KeyBlock) => boolean = () => false,
  ) {
    this.#range = range;
    this.#runs = runsOf(range, (block) => block.revisions.mayMeet(revisions) && !isKnown(block));
  }

  async next(maxEntries: number, maxBytes: number): Promise<[key: Buffer, value: Buffer][]> {
    for (;;) {
      if (this.#scan === undefined && !this.#beginRun()) return [];
      const page = await this.#scan!.next(maxEntries, maxBytes);
      for (const [storeKey, record] of page) this.#take(storeKey, record);
      if (page.length > 0) return page;
      await this.#endRun();
    }
  }

  async close(): Promise<void> {
    this.#runs.length = 0;
    await this.#scan?.close();
  }

  #beginRun(): boolean {
    const run = this.#runs.shift();
    if (run === undefined) return false;
    const { store, snapshot } = this.#range;
    this.#run = run;
    this.#begun = 0;
    this.#scan = store.scan({ gte: keyOfId(run.first), lt: keyOfId(run.end), snapshot });
    this.#beginBlock();
    return true;
  }

  #beginBlock(): void {
    const { blocks, first } = this.#run!;
    const block = blocks[this.#begun];
    if (block === undefined) return;
    const isPart = first > block.first && this.#begun === 0;
    this.#left = isPart ? Number.POSITIVE_INFINITY : (block.count ?? Number.POSITIVE_INFINITY);
    // There is nothing to learn from a part of a block that is small enough.
    this.#reading =
      isPart && this.#range.blocks.isSmall(block)
        ? undefined
        : new BlockReading(this.#range.blocks, block, isPart ? first : block.first);
    this.#begun += 1;
  }

  #take(storeKey: Buffer, record: Buffer): void {
    if (this.#left === 0) this.#beginBlock();
    this.#left -= 1;
    this.#reading?.take(storeKey, record);
  }

  async #endRun(): Promise<void> {
    const { blocks, end } = this.#run!;
    if (this.#begun === blocks.length && blocks.at(-1)!.end <= end) this.#reading?.end();
    await this.#scan!.close();
    this.#scan = undefined;
  }
}

function runsOf({ blocks, first, end }: BlockRange, isRead: (block: KeyBlock) => boolean): Run[] {
  const runs: Run[] = [];
  let isOpen = false;
  for (const block of blocks.within(first, end)) {
    if (!isRead(block)) {
      isOpen = false;
      continue;
    }
    const isWhole = block.count !== undefined && block.first >= first && block.end <= end;
    const last = runs.at(-1);
    if (isWhole && isOpen && last !== undefined && last.blocks.length < RUN_BLOCKS_MAX) {
      last.blocks.push(block);
      runs[runs.length - 1] = { ...last, end: block.end };
    } else {
      runs.push({
        blocks: [block],
        first: compareIds(block.first, first) > 0 ? block.first : first,
        end: compareIds(block.end, end) < 0 ? block.end : end,
      });
    }
    isOpen = isWhole;
  }
  return runs;
}
