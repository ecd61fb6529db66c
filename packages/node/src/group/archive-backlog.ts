import type { GroupId } from '@coxswain/wal';
import type { ArchiveOptions } from '../api/options.js';
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
  /** The first entries that there is room for, of tables of which too much waits. They go on with the next look alone. */
  #firstWithRoom = new Map<GroupId, number>();

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

  look(logs: readonly WantedLog[]): void {
    const { backlogBytesMax, onLimit } = this.#options;
    const sizes = logs.map(({ replica, from }) => replica.log.sizeBytesFrom(from));
    this.#sizeBytes = sizes.reduce((sum, size) => sum + size, 0);
    this.#firstWithRoom = new Map();
    if (onLimit !== 'gap' || this.#sizeBytes <= backlogBytesMax) return;
    const tableBytesMax = largestShare(sizes, backlogBytesMax);
    for (const { replica } of logs) {
      this.#firstWithRoom.set(replica.group, replica.log.firstIndexWithin(tableBytesMax));
    }
  }

  /** The first entry of the log that must stay. */
  keptFrom({ replica, from }: WantedLog): number {
    return Math.max(from, this.#firstWithRoom.get(replica.group) ?? 0);
  }
}

/** The largest share such that all together have no more than `bytesMax`, when none has more than that. */
function largestShare(sizes: readonly number[], bytesMax: number): number {
  const ascending = sizes.toSorted((a, b) => a - b);
  let left = bytesMax;
  for (const [at, size] of ascending.entries()) {
    const share = left / (ascending.length - at);
    if (size > share) return share;
    left -= size;
  }
  return Number.POSITIVE_INFINITY;
}
