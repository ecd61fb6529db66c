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

/** A range deletion whose keys are counted in the table as it was before. */
interface PendingCount {
  readonly response: mvcc.ResponseOp_DeleteRange;
  readonly source: RecordSource;
  readonly bounds: KeyBounds;
}

const NOT_READ = rangeResponse({ records: [], count: 0, more: true, nextKey: undefined });

/**
 * The answers of a written Txn, in the order of its operations. The pairs that its writes replaced or deleted are taken
 * first, in order, since nobody can read them again. Its Ranges share the room that these leave, in order.
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

  /** True when some answer has yet to be read from the store. */
  get scans(): boolean {
    return this.#frozen.size > 0;
  }

  push(response: mvcc.ResponseOp): void {
    this.responses.push(response);
  }

  /** Adds the answer of a Range of one key, whose record the source has. */
  pushPoint(source: RecordSource, range: mvcc.RequestOp_Range): void {
    this.#ranges.push({ place: this.responses.length, source, range });
    this.responses.push(NOT_READ);
  }

  /** Adds the answer of a Range that is read from the source when all operations are done. */
  pushScan(source: FrozenSource, range: mvcc.RequestOp_Range): void {
    this.#frozen.add(source);
    this.pushPoint(source, range);
  }

  /**
   * Notes a range deletion that also deleted everything that the source has within the bounds. The number of those keys
   * is added to its count when the ranges are read.
   */
  pushCount(response: mvcc.ResponseOp_DeleteRange, source: FrozenSource, bounds: KeyBounds): void {
    this.#frozen.add(source);
    this.#counts.push({ response, source, bounds });
  }

  /** Reads the Ranges and counts. Rejects with AnswerAbandonedError when nobody waits for the answer any more. */
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

  /** Releases the sources from which the ranges were read. */
  close(): void {
    for (const source of this.#frozen) source.close();
  }
}
