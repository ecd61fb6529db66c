import { type TableLog, tableApiError } from '@coxswain/node';
import { type TableView, writeSnapshot } from '@coxswain/table';

/** This number changes when the same records become other bytes in `TableSnapshot.stream`. */
const STREAM_FORMAT = 2;

/**
 * A table as it was at one applied index, for other clusters. Every stream of it has the same bytes. Must be closed: it
 * keeps the store from dropping records that it can see.
 */
export class TableSnapshot {
  /** The applied index that it stands for: the log goes on after it. */
  readonly leaderIndex: number;
  /**
   * The tag is the same on every node that holds the same bytes: replicas of a shard are equal at an index (A1), and a
   * shard id is never used again.
   */
  readonly tag: string;
  readonly #table: Buffer;
  readonly #view: TableView;

  constructor(name: string, log: TableLog) {
    this.#table = Buffer.from(name);
    try {
      this.#view = log.table.view();
    } catch (error) {
      throw tableApiError(error);
    }
    this.leaderIndex = this.#view.state.appliedIndex;
    this.tag = `${STREAM_FORMAT}-${log.shardId}-${this.leaderIndex}`;
  }

  /**
   * Yields one framed-snappy stream that ends with a DUMMY of `leaderIndex` (docs/protocol.md §3). Throws UNAVAILABLE
   * when the table closes.
   */
  async *stream(): AsyncGenerator<Buffer> {
    try {
      yield* writeSnapshot(this.#view, {
        table: this.#table,
        leaderIndex: this.leaderIndex,
        repeatsForStockLoader: true,
      });
    } catch (error) {
      throw tableApiError(error);
    }
  }

  close(): void {
    this.#view.close();
  }
}
