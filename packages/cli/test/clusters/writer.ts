import { type Coxswain, CoxswainError, compare, operation } from '@coxswain/client';

/**
 * The number of keys, which are written over and over, so that an entry that is applied twice shows in their versions.
 */
const KEY_COUNT = 40;
/** Milliseconds between two writes: more writes would only heat the machine while its nodes start. */
const PAUSE_MS = 50;

/** Writes to a table until it is stopped: puts, deletions and transactions, one after the other. */
export class Writer {
  /** The number of writes that were answered. */
  written = 0;
  #isStopped = false;
  readonly #ended: Promise<void>;

  constructor(
    readonly client: Coxswain,
    readonly table: string,
  ) {
    this.#ended = this.#run();
  }

  /** Stops writing, and resolves when nothing is under way. Rejects with an error that no fault explains. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    await this.#ended;
  }

  async #run(): Promise<void> {
    for (let turn = 0; !this.#isStopped; turn++) {
      try {
        await this.#write(turn);
        this.written++;
        await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
      } catch (error) {
        // A node was killed under it: whether the write has happened is for both clusters to agree on.
        if (!(error instanceof CoxswainError)) throw error;
      }
    }
  }

  async #write(turn: number): Promise<unknown> {
    const { client, table } = this;
    const key = `writer/${turn % KEY_COUNT}`;
    switch (turn % 5) {
      case 0:
        return client.deleteRange(table, key);
      case 1:
        return client
          .txn(table)
          .when(compare.version(key, '>', 1))
          .do(operation.put(key, `often ${turn}`))
          .otherwise(operation.put(key, `seldom ${turn}`))
          .commit();
      case 2:
        return client
          .txn(table)
          .when(compare.exists(key))
          .do(operation.deleteRange(key), operation.put(`${key}/again`, String(turn)))
          .otherwise(operation.put(key, String(turn)))
          .commit();
      default:
        return client.put(table, key, String(turn));
    }
  }
}
