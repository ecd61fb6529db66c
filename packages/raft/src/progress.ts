import { assert } from './assert.js';
import { Inflights } from './inflights.js';

/**
 * The way in which a leader sends to one follower.
 *
 * - probe: the match point is unknown. The leader sends one append at a time; its answer moves `next`.
 * - replicate: the match point is known. Appends are pipelined: `next` moves when they are sent.
 * - snapshot: the follower needs entries that the log no longer has. The leader sends nothing until the snapshot's fate
 *   is known.
 */
export type ProgressState = 'probe' | 'replicate' | 'snapshot';

/** A leader's knowledge of one follower or learner. */
export class Progress {
  state: ProgressState = 'probe';
  /** The index up to which the follower's log is durable and equal to the leader's. */
  match = 0;
  /** The index of the next entry to send; always above `match`. */
  next: number;
  /** The index of the snapshot on its way, in the snapshot state. */
  pendingSnapshot = 0;
  /** True when the follower was heard from since the last quorum check (CheckQuorum). */
  isRecentlyActive = false;
  /** In the probe state, true while an append is out: the next one waits for its answer or for a heartbeat's. */
  isProbeSent = false;
  /** True while a heartbeat of the clock is unanswered; its answer is the moment to look for lost appends. */
  awaitsHeartbeatResponse = false;
  /** True when an append must leave even if it carries nothing: its rejection shows which ones were lost on the way. */
  isEmptyAppendDue = false;
  /** The highest commit index that the follower can have learnt from the appends sent to it. */
  sentCommit = 0;
  /** The commit index that the follower reported. */
  knownCommit = 0;
  readonly inflights: Inflights;

  constructor(next: number, maxInflightMessages: number, maxInflightBytes: number) {
    this.next = next;
    this.inflights = new Inflights(maxInflightMessages, maxInflightBytes);
  }

  becomeProbe(): void {
    // After a snapshot the follower needs the entries that follow it, even before it has said so.
    this.next = Math.max(this.match, this.state === 'snapshot' ? this.pendingSnapshot : 0) + 1;
    this.#enter('probe');
    // Entries that were sent beyond `next` may be lost, and the commit index with them.
    this.sentCommit = Math.min(this.sentCommit, this.next - 1);
  }

  becomeReplicate(): void {
    this.#enter('replicate');
    this.next = this.match + 1;
  }

  becomeSnapshot(index: number): void {
    this.#enter('snapshot');
    this.pendingSnapshot = index;
    this.next = index + 1;
    this.sentCommit = index;
  }

  /** Records that the follower has everything up to `index`. Returns false when that was known already. */
  acknowledge(index: number): boolean {
    if (index <= this.match) return false;
    this.match = index;
    this.next = Math.max(this.next, index + 1);
    this.isProbeSent = false;
    return true;
  }

  /**
   * Records that the follower refused an append whose `prevIndex` was `rejected`, and may match at `hint`. Returns
   * false for a stale answer: messages are reordered and repeated.
   */
  reject(rejected: number, hint: number): boolean {
    switch (this.state) {
      case 'replicate':
        if (rejected <= this.match) return false;
        this.becomeProbe();
        return true;
      case 'probe':
        // Only one probe is on its way, so its answer names the entry before `next`.
        if (rejected !== this.next - 1) return false;
        this.next = Math.max(Math.min(rejected, hint + 1), this.match + 1);
        this.sentCommit = Math.min(this.sentCommit, this.next - 1);
        this.isProbeSent = false;
        return true;
      case 'snapshot':
        return false;
    }
  }

  /**
   * Records that an append with `entryCount` entries after `prevIndex` = `next - 1` leaves, with the leader's commit
   * index.
   */
  sent(entryCount: number, bytes: number, commit: number): void {
    const last = this.next + entryCount - 1;
    switch (this.state) {
      case 'replicate':
        if (entryCount > 0) {
          this.next += entryCount;
          this.inflights.add(last, bytes);
        }
        break;
      case 'probe':
        this.isProbeSent = true;
        break;
      case 'snapshot':
        assert(false, 'an append was sent to a follower that waits for a snapshot');
    }
    this.isEmptyAppendDue = false;
    this.sentCommit = Math.max(this.sentCommit, Math.min(commit, last));
  }

  /** Whether an append without entries would bring the follower a higher commit index. */
  hasNewsOfCommit(commit: number): boolean {
    return Math.min(commit, this.next - 1) > this.sentCommit;
  }

  #enter(state: ProgressState): void {
    this.state = state;
    this.isProbeSent = false;
    this.isEmptyAppendDue = false;
    this.pendingSnapshot = 0;
    this.inflights.clear();
  }
}
