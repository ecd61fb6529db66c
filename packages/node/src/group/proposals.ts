import type { ApplyResult, CommandKind } from '@coxswain/table';
import type { Call } from '../api/call.js';
import { type ApiError, errors } from '../api/errors.js';
import type { Budget } from './budget.js';
import { SequenceWindow } from './sequence-window.js';

/** A command that this node proposes, and the caller that waits for its result. */
export interface Proposal {
  readonly kind: CommandKind;
  readonly command: Buffer;
  /** The leader cluster's index that the command was built on; it has an effect only if the table is at it (R1). */
  readonly cursor: number | undefined;
  readonly call: Call;
  /** The time at which the proposal was made, on the monotonic clock. */
  readonly beganMs: number;
  readonly resolve: (result: ApplyResult) => void;
  readonly reject: (error: ApiError) => void;
}

/** A proposal that was given to a leader. */
export interface SentProposal extends Proposal {
  /**
   * The number by which the leader recognizes a repeat, and by which this node finds the proposal when its entry is
   * applied (P1).
   */
  readonly sequence: number;
  /** The term of the leader that the proposal was given to. Only that leader, in that term, may append it. */
  readonly term: number;
  /** How often the proposal was given to that leader. */
  transmissions: number;
  /** When the proposal was last given to that leader, on the monotonic clock. */
  sentAtMs: number;
}

/**
 * Keeps the proposals that this node made in one group and has not answered (P1).
 *
 * A proposal is given to a leader for one term: the leader appends it only while it leads in that term. Terms never
 * decrease along the log (§5.3). So once this node applies an entry of a later term, a proposal of an earlier term that
 * it has not applied by then never will be: it was provably not appended, and is proposed anew under a new sequence. A
 * proposal for which that cannot be proved ends as *outcome unknown*.
 */
export class Proposals {
  readonly #budget: Budget;
  #unsent: Proposal[] = [];
  /** The sent proposals by sequence. A sequence is given out when a proposal is sent. */
  readonly #sent = new SequenceWindow<SentProposal>();
  /** The time, on the monotonic clock, before which no proposal expires. */
  #nextDeadlineMs = Number.POSITIVE_INFINITY;

  constructor(budget: Budget) {
    this.#budget = budget;
  }

  /** Whether proposals wait to be given to a leader. */
  get hasUnsent(): boolean {
    return this.#unsent.length > 0;
  }

  /** Whether every proposal is answered. */
  get isEmpty(): boolean {
    return this.#unsent.length === 0 && this.#sent.size === 0;
  }

  /** The lowest sequence that is not settled; every one below it is. */
  get settledBelow(): number {
    return this.#sent.first;
  }

  /** Takes a proposal, to be given to the leader. Throws `tooBusy` when the node's budget is spent. */
  add(proposal: Proposal): void {
    if (!this.#budget.tryTake(proposal.command.length)) throw errors.tooBusy();
    this.#unsent.push(proposal);
    this.#nextDeadlineMs = Math.min(this.#nextDeadlineMs, proposal.call.deadlineMs);
  }

  /**
   * Gives the unsent proposals, up to `bytesMax` bytes but at least one, and marks them as given to the leader of
   * `term`.
   */
  send(term: number, bytesMax: number, nowMs: number): SentProposal[] {
    const sent: SentProposal[] = [];
    let bytes = 0;
    for (const proposal of this.#unsent) {
      bytes += proposal.command.length;
      if (sent.length > 0 && bytes > bytesMax) break;
      const next: SentProposal = {
        kind: proposal.kind,
        command: proposal.command,
        cursor: proposal.cursor,
        call: proposal.call,
        beganMs: proposal.beganMs,
        resolve: proposal.resolve,
        reject: proposal.reject,
        sequence: this.#sent.next,
        term,
        transmissions: 1,
        sentAtMs: nowMs,
      };
      this.#sent.add(next);
      sent.push(next);
    }
    this.#unsent = sent.length === this.#unsent.length ? [] : this.#unsent.slice(sent.length);
    return sent;
  }

  /**
   * Gives the proposals that the leader of `term` was last given before `sentBeforeMs` and has not settled. The caller
   * gives them to it again; the leader drops those that it has (P1).
   */
  resend(term: number, sentBeforeMs: number, nowMs: number): SentProposal[] {
    const again: SentProposal[] = [];
    for (const proposal of this.#sent.values()) {
      if (proposal.term !== term || proposal.sentAtMs >= sentBeforeMs) continue;
      proposal.transmissions++;
      proposal.sentAtMs = nowMs;
      again.push(proposal);
    }
    return again;
  }

  /** Gives the sent proposal with this sequence; undefined when nobody waits for it any more. */
  awaited(sequence: number): SentProposal | undefined {
    return this.#sent.get(sequence);
  }

  /** Answers a proposal with the result of its entry. */
  applied(sequence: number, result: ApplyResult): void {
    const proposal = this.#sent.get(sequence);
    if (proposal === undefined) return;
    this.#settle(proposal);
    if (result.reading === undefined) {
      proposal.resolve(result);
      return;
    }
    // The proposal was applied, so it must not be proposed again while its answer is read (P1).
    result.reading.then(
      () => proposal.resolve(result),
      () => proposal.reject(errors.outcomeUnknown()),
    );
  }

  /**
   * Called when an entry of `term` was applied: proposals that were given to leaders of earlier terms are proposed
   * anew.
   */
  termApplied(term: number): void {
    const again: Proposal[] = [];
    for (const proposal of this.#sent.values()) {
      if (proposal.term >= term) continue;
      this.#sent.delete(proposal.sequence);
      again.push(proposal);
    }
    if (again.length > 0) this.#unsent = [...again, ...this.#unsent];
  }

  /**
   * Called when the leader of `term` did not append these transmissions. That proves something only for a proposal that
   * was transmitted once: an earlier transmission may have been appended before the leader was deposed. With `isBusy`
   * such a proposal ends with `tooBusy`; otherwise it is proposed anew.
   */
  refused(term: number, sequences: readonly number[], isBusy: boolean): void {
    const again: Proposal[] = [];
    for (const sequence of sequences) {
      const proposal = this.#sent.get(sequence);
      if (proposal === undefined || proposal.term !== term || proposal.transmissions > 1) continue;
      if (isBusy) {
        this.#settle(proposal);
        proposal.reject(errors.tooBusy());
      } else {
        this.#sent.delete(sequence);
        again.push(proposal);
      }
    }
    if (again.length > 0) this.#unsent = [...again, ...this.#unsent];
  }

  /** Makes proposals unsent again that this node's own core did not append. */
  takeBack(proposals: readonly SentProposal[]): void {
    for (const proposal of proposals) this.#sent.delete(proposal.sequence);
    this.#unsent = [...proposals, ...this.#unsent];
  }

  /**
   * Called when a snapshot up to an entry of `term` was installed. It may cover every proposal that was sent by then,
   * so those end as `outcomeUnknown`.
   */
  coveredBySnapshot(term: number): void {
    for (const proposal of this.#sent.values()) {
      if (proposal.term > term) continue;
      this.#settle(proposal);
      proposal.reject(errors.outcomeUnknown());
    }
  }

  /**
   * Ends the proposals whose deadline has passed: with `unsentError` when they provably were not appended, with
   * `outcomeUnknown` otherwise.
   */
  expire(nowMs: number, unsentError: () => ApiError): void {
    if (nowMs < this.#nextDeadlineMs) return;
    let next = Number.POSITIVE_INFINITY;
    for (const proposal of this.#sent.values()) {
      const { deadlineMs } = proposal.call;
      if (deadlineMs > nowMs) {
        if (deadlineMs < next) next = deadlineMs;
        continue;
      }
      this.#settle(proposal);
      proposal.reject(errors.outcomeUnknown());
    }
    const kept: Proposal[] = [];
    for (const proposal of this.#unsent) {
      const { deadlineMs } = proposal.call;
      if (deadlineMs > nowMs) {
        if (deadlineMs < next) next = deadlineMs;
        kept.push(proposal);
      } else {
        this.#budget.release(proposal.command.length);
        proposal.reject(unsentError());
      }
    }
    this.#unsent = kept;
    this.#nextDeadlineMs = next;
  }

  /**
   * Ends all proposals, because the group or the node stops: with `unsentError` when they provably were not appended,
   * with `outcomeUnknown` otherwise.
   */
  failAll(unsentError: () => ApiError): void {
    for (const proposal of this.#sent.values()) {
      this.#settle(proposal);
      proposal.reject(errors.outcomeUnknown());
    }
    this.failUnsent(unsentError);
  }

  /** Ends the unsent proposals with `error`. */
  failUnsent(error: () => ApiError): void {
    for (const proposal of this.#unsent) {
      this.#budget.release(proposal.command.length);
      proposal.reject(error());
    }
    this.#unsent = [];
  }

  #settle(proposal: SentProposal): void {
    this.#sent.delete(proposal.sequence);
    this.#budget.release(proposal.command.length);
  }
}
