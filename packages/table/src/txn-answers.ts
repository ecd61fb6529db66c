import type { mvcc } from '@coxswain/protocol';
import { AnswerAbandonedError } from './errors.js';
import type { FrozenSource } from './frozen-source.js';
import type { KeyBounds } from './key-bounds.js';
import { RangeAnswers } from './range-answers.js';
import type { RecordSource } from './record-source.js';
import type { ResponseBudget } from './response-budget.js';
import { rangeResponse } from './responses.js';

interface PendingRange {
  readonly place: number;
  readonly source: RecordSource;
  readonly range: mvcc.RequestOp_Range;
}

/** A range deletion whose keys are counted from what the table was before it. */
interface PendingCount {
  readonly response: mvcc.ResponseOp_DeleteRange;
  readonly source: RecordSource;
  readonly bounds: KeyBounds;
}

const NOT_READ = rangeResponse({ records: [], count: 0, more: true, nextKey: undefined });

/**
 * What a written Txn answers, in the order of its operations. The pairs that its writes replaced or deleted are
 * taken first, in order, since nobody can read them again; its Ranges share the room that these leave, in order.
 */
export class TxnAnswers {
  readonly responses: mvcc.ResponseOp[] = [];
  readonly budget: ResponseBudget;
  readonly #ranges: PendingRange[] = [];
  readonly #counts: PendingCount[] = [];
  readonly #frozen = new Set<FrozenSource>();

  constructor(budget: ResponseBudget) {
    this.budget = budget;
  }

  /** Something is yet to be read from the store. */
  get scans(): boolean {
    return this.#frozen.size > 0;
  }

  push(response: mvcc.ResponseOp): void {
    this.responses.push(response);
  }

  /** A Range of one key, which the source has. */
  pushPoint(source: RecordSource, range: mvcc.RequestOp_Range): void {
    this.#ranges.push({ place: this.responses.length, source, range });
    this.responses.push(NOT_READ);
  }

  /** A Range that is read from the source when all operations are done. */
  pushScan(source: FrozenSource, range: mvcc.RequestOp_Range): void {
    this.#frozen.add(source);
    this.pushPoint(source, range);
  }

  /** A range deletion that also deleted all that the source has within the bounds: that many are added to its count. */
  pushCount(response: mvcc.ResponseOp_DeleteRange, source: FrozenSource, bounds: KeyBounds): void {
    this.#frozen.add(source);
    this.#counts.push({ response, source, bounds });
  }

  /** Rejects with AnswerAbandonedError when nobody waits for it any more. */
  async readRanges(isAwaited: () => boolean): Promise<void> {
    const answers = new RangeAnswers(this.budget);
    for (const { place, source, range } of this.#ranges) {
      if (!isAwaited()) throw new AnswerAbandonedError();
      this.responses[place] = rangeResponse(await answers.read(source, range, isAwaited));
    }
    for (const { response, source, bounds } of this.#counts) {
      if (!isAwaited()) throw new AnswerAbandonedError();
      response.deleted += BigInt(await source.count(bounds, isAwaited));
    }
  }

  /** Lets go of what the ranges were read from. */
  close(): void {
    for (const source of this.#frozen) source.close();
  }
}
