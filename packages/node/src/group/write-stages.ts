import { Histogram } from '@coxswain/runtime';

/** Upper bounds in seconds. The stages of a quick write take tens of microseconds, those of a slow one seconds. */
const BOUNDS = [
  0.00005, 0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5,
];

/**
 * Measures, in seconds, where the time of the writes goes that this node proposed. Each stage begins where the one
 * before it ends, so the means of all stages add up to the mean of the write.
 */
export class WriteStages {
  /**
   * The time until the entry is handed to this node's write-ahead log. Where another node leads, it includes the way to
   * the leader and back.
   */
  readonly queue = new Histogram(BOUNDS);
  /**
   * The time until the entry is durable in this node's write-ahead log, including the wait for a sync that is under
   * way.
   */
  readonly wal = new Histogram(BOUNDS);
  /**
   * The further time until this node knows that the entry is committed; next to nothing where its own log was the last
   * of a quorum.
   */
  readonly peers = new Histogram(BOUNDS);
  /** The time until the table holds the effects and reads see them, including the wait for the batch before. */
  readonly apply = new Histogram(BOUNDS);
  /** The time until the answer is handed to the client's connection. A write that no client waits for has no answer. */
  readonly answer = new Histogram(BOUNDS);
}
