import type { ApplyResult, CommandKind } from '@coxswain/table';
import type { Call } from '../api/call.js';
import { type ApiError, errors } from '../api/errors.js';
import type { Budget } from './budget.js';
import { SequenceWindow } from './sequence-window.js';

export interface Proposal {
  readonly kind: CommandKind;
  readonly command: Buffer;
  /** See `TableEntry.cursor` (R1). */
  readonly cursor: number | undefined;
  readonly call: Call;
  /** When it was made, on the monotonic clock. */
  readonly beganMs: number;
  readonly resolve: (result: ApplyResult) => void;
  readonly reject: (error: ApiError) => void;
}

export interface SentProposal extends Proposal {
  readonly sequence: number;
  /** The term of the leader that it was given to. Only that leader, in that term, may append it. */
  readonly term: number;
  /** How often it was given to that leader, and when last. */
  transmissions: number;
  sentAtMs: number;
}

/**
 * The proposals that this node made in one group and has not answered (P1).
 *
 * A proposal is given to a leader for one term: the leader appends it only while it leads in that term. So
 * once an entry of a later term is applied here, every proposal of an earlier term that was not applied by
 * then never will be: terms never decrease along the log (§5.3). It was provably not appended and is
 * proposed anew, under a new sequence. What cannot be proved ends as *outcome unknown*.
 */
export class Proposals {
  readonly #budget: Budget;
  #unsent: Proposal[] = [];
  /** By sequence, which are given out when a proposal is sent. */
  readonly #sent = new SequenceWindow<SentProposal>();
  /** No proposal expires before this. */
  #nextDeadlineMs = Number.POSITIVE_INFINITY;

  constructor(budget: Budget) {
    this.#budget = budget;
  }

  get hasUnsent(): boolean {
    return this.#unsent.length > 0;
  }

  get isEmpty(): boolean {
    return this.#unsent.length === 0 && this.#sent.size === 0;
  }

  /** Every sequence below this is settled. */
  get settledBelow(): number {
    return this.#sent.first;
  }

  /** Throws `tooBusy` when the node's budget is spent. */
  add(proposal: Proposal): void {
    if (!this.#budget.tryTake(proposal.command.length)) throw errors.tooBusy();
    this.#unsent.push(proposal);
    this.#nextDeadlineMs = Math.min(this.#nextDeadlineMs, proposal.call.deadlineMs);
  }

  /** Hands out the unsent proposals, up to `bytesMax` but at least one, as given to the leader of `term`. */
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
   * What the leader of `term` was given last before `sentBeforeMs` and has not settled, to be given to it again: it
   * drops what it has (P1).
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

  /** The proposal with this sequence, for which somebody waits. */
  awaited(sequence: number): SentProposal | undefined {
    return this.#sent.get(sequence);
  }

  applied(sequence: number, result: ApplyResult): void {
    const proposal = this.#sent.get(sequence);
    if (proposal === undefined) return;
    this.#settle(proposal);
    if (result.reading === undefined) {
      proposal.resolve(result);
      return;
    }
    // It was applied: it must not be proposed again while its answer is being read (P1).
    result.reading.then(
      () => proposal.resolve(result),
      () => proposal.reject(errors.outcomeUnknown()),
    );
  }

  /** An entry of `term` was applied: what was given to leaders of earlier terms is proposed anew. */
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
   * The leader did not append these transmissions. It proves something only for a proposal that was
   * transmitted once: an earlier transmission may have been appended before the leader lost its office.
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

  /** This node led, and the core did not take these: they were not appended. */
  takeBack(proposals: readonly SentProposal[]): void {
    for (const proposal of proposals) this.#sent.delete(proposal.sequence);
    this.#unsent = [...proposals, ...this.#unsent];
  }

  /** A snapshot up to an entry of `term` was installed: it may cover anything that was sent by then. */
  coveredBySnapshot(term: number): void {
    for (const proposal of this.#sent.values()) {
      if (proposal.term > term) continue;
      this.#settle(proposal);
      proposal.reject(errors.outcomeUnknown());
    }
  }

  /** `unsentError` is for what provably was not appended. */
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

  /** Ends everything: the group or the node stops. */
  failAll(unsentError: () => ApiError): void {
    for (const proposal of this.#sent.values()) {
      this.#settle(proposal);
      proposal.reject(errors.outcomeUnknown());
    }
    this.failUnsent(unsentError);
  }

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
