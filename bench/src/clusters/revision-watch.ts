import type { Violations } from './violations.js';

/** One node's answer about one table at one moment. */
export interface RevisionSample {
  /** The process that answered: a restarted one may begin at an earlier state than the killed one. */
  readonly processId: number;
  readonly table: string;
  readonly shardId: number;
  readonly revision: number;
  readonly contentHash: string;
}

/**
 * Checks samples from all nodes of both clusters: on a running node the revision of a shard never goes back, and
 * wherever a table is at the same revision its content hash is the same (A6).
 */
export class RevisionWatch {
  readonly #violations: Violations;
  readonly #latest = new Map<string, number>();
  readonly #hashes = new Map<string, string>();
  /** By cluster and table, the revision of the last answer to a linearizable read. */
  readonly #floors = new Map<string, number>();
  #sampleCount = 0;
  #sharedCount = 0;
  #readCount = 0;

  constructor(violations: Violations) {
    this.#violations = violations;
  }

  get sampleCount(): number {
    return this.#sampleCount;
  }

  /** The number of samples whose revision another sample had before, so that hashes could be compared. */
  get sharedCount(): number {
    return this.#sharedCount;
  }

  get readCount(): number {
    return this.#readCount;
  }

  sample({ processId, table, shardId, revision, contentHash }: RevisionSample): void {
    this.#sampleCount++;
    const replica = `${processId} ${table} ${shardId}`;
    const before = this.#latest.get(replica) ?? 0;
    if (revision < before) {
      this.#violations.add(
        `table ${table}, shard ${shardId}: revision ${revision} after ${before} on one node`,
      );
    }
    this.#latest.set(replica, revision);
    const state = `${table} ${revision}`;
    const hash = this.#hashes.get(state);
    if (hash === undefined) this.#hashes.set(state, contentHash);
    else this.#sharedCount++;
    if (hash !== undefined && hash !== contentHash) {
      this.#violations.add(`table ${table} has two contents at revision ${revision}`);
    }
  }

  /** Returns the revision that a linearizable read must reach which begins now. */
  startRead(cluster: string, table: string): number {
    return this.#floors.get(`${cluster} ${table}`) ?? 0;
  }

  /**
   * Checks that a linearizable read within a cluster sees at least the state of every one that had ended before it
   * began.
   */
  readAnswered(cluster: string, table: string, floor: number, revision: number): void {
    this.#readCount++;
    if (revision < floor) {
      this.#violations.add(
        `table ${table}: a linearizable read on the ${cluster} cluster saw ${revision} after ${floor}`,
      );
    }
    const key = `${cluster} ${table}`;
    this.#floors.set(key, Math.max(this.#floors.get(key) ?? 0, revision));
  }
}
