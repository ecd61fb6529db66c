import type { mvcc } from '@coxswain/protocol';
import type { RecordSource } from './record-source.js';
import type { ResponseBudget } from './response-budget.js';
import type { RangePage } from './types.js';

interface KnownPage {
  readonly page: RangePage;
  readonly sizeBytes: number;
}

/** Answers the Ranges of one Txn. A Range that equals an earlier one from the same source is not read again. */
export class RangeAnswers {
  readonly #budget: ResponseBudget;
  #source: RecordSource | undefined;
  readonly #known = new Map<string, KnownPage>();

  constructor(budget: ResponseBudget) {
    this.#budget = budget;
  }

  /** Reads the first page of a Range, as much of it as the budget allows. `isAwaited` is as in `RangeReader.open`. */
  async read(
    source: RecordSource,
    range: mvcc.RequestOp_Range,
    isAwaited?: () => boolean | Promise<boolean>,
  ): Promise<RangePage> {
    if (source !== this.#source) this.#known.clear();
    this.#source = source;
    const id = rangeId(range);
    const known = this.#known.get(id);
    // A page that was cut for lack of room would be cut earlier now; a page without pairs stays the same.
    if (known !== undefined && (known.sizeBytes === 0 || known.page.nextKey === undefined)) {
      if (this.#budget.takes(known.sizeBytes)) return known.page;
    }
    const before = this.#budget.leftBytes;
    const page = await this.#budget.range(source, range, isAwaited);
    this.#known.set(id, { page, sizeBytes: before - this.#budget.leftBytes });
    return page;
  }
}

/** Returns an id that is equal for Ranges of a Txn with the same request. */
export function rangeId({ key, rangeEnd, limit, keysOnly, countOnly }: mvcc.RequestOp_Range): string {
  return `${key.toString('latin1')}/${key.length}/${rangeEnd.toString('latin1')}/${limit}/${keysOnly}/${countOnly}`;
}
