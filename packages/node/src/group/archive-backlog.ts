import type { GroupId } from '@coxswain/wal';
import type { ArchiveOptions } from '../api/options.js';
import type { Replica } from './replica.js';

/** The part of a shard's log that the archive may still need. */
export interface WantedLog {
  readonly replica: Replica;
  /** The index of the log's first entry that is not archived. */
  readonly from: number;
}

/**
 * Measures what waits in the logs of this node's tables to be archived, and decides how much of it is kept. Every
 * member keeps it, not only the one that archives a table, so that the next leader can go on from there.
 */
export class ArchiveBacklog {
  readonly #options: ArchiveOptions;
  #sizeBytes = 0;
  /**
   * By group, the first entry for which there is room, of tables with too large a backlog. Measured anew at each look.
   */
  #firstWithRoom = new Map<GroupId, number>();

  constructor(options: ArchiveOptions) {
    this.#options = options;
  }

  /** The size of the backlog at the last look, in bytes. */
  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  /** Whether the node must refuse writes until the backlog is smaller (archive.on-limit). */
  get refusesWrites(): boolean {
    const { backlogBytesMax, onLimit } = this.#options;
    return onLimit === 'stop-writes' && this.#sizeBytes >= backlogBytesMax;
  }

  /** Measures the backlog of all logs, and decides with `gap` which entries are given up. */
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

  /** Gives the index of the first entry that the log must keep for the archive. */
  keptFrom({ replica, from }: WantedLog): number {
    return Math.max(from, this.#firstWithRoom.get(replica.group) ?? 0);
  }
}

/** Gives the largest limit per log at which all logs together have no more than `bytesMax`. */
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
