import { Histogram } from '@coxswain/runtime';

/** Upper bounds in seconds. Stages of a quick write take tens of microseconds, those of a slow one seconds. */
const BOUNDS = [
  0.00005, 0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5,
];

/**
 * Where the time of the writes goes that this node proposed, in seconds. A stage begins where the one before it ends,
 * so the means of all stages add up to that of the write.
 */
export class WriteStages {
  /**
   * Until the entry is handed to this node's write-ahead log. Where another node leads that takes the way to the leader
   * and back.
   */
  readonly queue = new Histogram(BOUNDS);
  /** Until the entry is durable in this node's write-ahead log, with the wait for a sync that is under way. */
  readonly wal = new Histogram(BOUNDS);
  /** Until this node knows besides that the entry is committed; next to nothing where its own log was the last of a quorum. */
  readonly peers = new Histogram(BOUNDS);
  /** Until the table holds the effects and reads see them, with the wait for the batch before. */
  readonly apply = new Histogram(BOUNDS);
  /** Until the answer is handed to the client's connection. What no client waits for has no answer. */
  readonly answer = new Histogram(BOUNDS);
}
