import type { ArchiveOptions } from './options.js';
import type { Replica } from './replica.js';

/** What of a shard's log the archive may still want. */
export interface WantedLog {
  readonly replica: Replica;
  /** Its first entry that is not archived. */
  readonly from: number;
}

/**
 * What waits in the logs of this node's tables to be archived, and how much of it is kept. Every member keeps it, not
 * only the one that archives a table: whoever leads next goes on from there.
 */
export class ArchiveBacklog {
  readonly #options: ArchiveOptions;
  #sizeBytes = 0;
  /** As much of each table's log may wait. */
  #tableBytesMax = Number.POSITIVE_INFINITY;

  constructor(options: ArchiveOptions) {
    this.#options = options;
  }

  /** When it was last looked at. */
  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  get refusesWrites(): boolean {
    const { backlogBytesMax, onLimit } = this.#options;
    return onLimit === 'stop-writes' && this.#sizeBytes >= backlogBytesMax;
  }

  look(logs: Iterable<WantedLog>): void {
    const sizes = [...logs].map(({ replica, from }) => replica.log.sizeBytesFrom(from));
    this.#sizeBytes = sizes.reduce((sum, size) => sum + size, 0);
    const { backlogBytesMax, onLimit } = this.#options;
    const isOver = onLimit === 'gap' && this.#sizeBytes > backlogBytesMax;
    this.#tableBytesMax = isOver ? largestShare(sizes, backlogBytesMax) : Number.POSITIVE_INFINITY;
  }

  /** The first entry of the log that must stay. */
  keptFrom({ replica, from }: WantedLog): number {
    if (this.#tableBytesMax === Number.POSITIVE_INFINITY) return from;
    return Math.max(from, replica.log.firstIndexWithin(this.#tableBytesMax));
  }
}

/** The largest share such that all together have no more than `bytesMax`, when none has more than that. */
function largestShare(sizes: number[], bytesMax: number): number {
  sizes.sort((a, b) => a - b);
  let left = bytesMax;
  for (const [at, size] of sizes.entries()) {
    const share = left / (sizes.length - at);
    if (size > share) return share;
    left -= size;
  }
  return Number.POSITIVE_INFINITY;
}
