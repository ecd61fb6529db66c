import { type TableLog, tableApiError } from '@coxswain/node';
import { type TableView, writeSnapshot } from '@coxswain/table';

/** A number that must change whenever the same records give other bytes in `TableSnapshot.stream`. */
const STREAM_FORMAT = 2;

/**
 * A table as of one applied index, for other clusters. Every stream of it has the same bytes. The owner must close it:
 * it keeps the store from dropping the data that it shows.
 */
export class TableSnapshot {
  /** The applied index of the snapshot, after which the log continues. */
  readonly leaderIndex: number;
  /**
   * Identifies the bytes: the same on every node that has the same ones, since replicas of a shard are equal at an
   * index (A1), and a shard id is never used again.
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
   * Streams the table as framed snappy that ends with a DUMMY of `leaderIndex` (docs/protocol.md §3). Throws
   * UNAVAILABLE when the table closes.
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
