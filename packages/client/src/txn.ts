import { mvcc } from '@coxswain/protocol';
import { type Bytes, type Integer, toBuffer } from './bytes.js';

/** The operator between a key's property, on the left, and the given operand, on the right. */
export type Operator = '=' | '!=' | '>' | '<';

const operators: Readonly<Record<Operator, mvcc.Compare_CompareResult>> = {
  '=': mvcc.Compare_CompareResult.EQUAL,
  '!=': mvcc.Compare_CompareResult.NOT_EQUAL,
  '>': mvcc.Compare_CompareResult.GREATER,
  '<': mvcc.Compare_CompareResult.LESS,
};

/** The options of a comparison. */
export interface CompareOptions {
  /** The end of the range [key, rangeEnd) whose keys are all compared; by default only the key itself is. */
  readonly rangeEnd?: Bytes;
}

function compareWith(
  key: Bytes,
  operator: Operator,
  target: mvcc.Compare_CompareTarget,
  targetUnion: mvcc.Compare['targetUnion'],
  options: CompareOptions | undefined,
): mvcc.Compare {
  return {
    key: toBuffer(key),
    rangeEnd: toBuffer(options?.rangeEnd),
    result: operators[operator],
    target,
    targetUnion,
  };
}

/** Conditions of a transaction. A missing key has no value, and its version and revisions are 0. */
export const compare = {
  /** Compares the value of a key with `value`, byte by byte. */
  value: (key: Bytes, operator: Operator, value: Bytes, options?: CompareOptions): mvcc.Compare =>
    compareWith(
      key,
      operator,
      mvcc.Compare_CompareTarget.VALUE,
      { $case: 'value', value: toBuffer(value) },
      options,
    ),
  /** Holds when the key exists. */
  exists: (key: Bytes, options?: CompareOptions): mvcc.Compare =>
    compareWith(key, '=', mvcc.Compare_CompareTarget.VALUE, undefined, options),
  /** Compares a key's version. `compare.version(key, '=', 0)` holds when the key does not exist. */
  version: (key: Bytes, operator: Operator, version: Integer, options?: CompareOptions): mvcc.Compare =>
    compareWith(
      key,
      operator,
      mvcc.Compare_CompareTarget.VERSION,
      { $case: 'version', value: BigInt(version) },
      options,
    ),
  /** Compares the revision that made the key. */
  createRevision: (
    key: Bytes,
    operator: Operator,
    revision: Integer,
    options?: CompareOptions,
  ): mvcc.Compare =>
    compareWith(
      key,
      operator,
      mvcc.Compare_CompareTarget.CREATE,
      { $case: 'createRevision', value: BigInt(revision) },
      options,
    ),
  /** Compares the revision that last changed the key. */
  modRevision: (key: Bytes, operator: Operator, revision: Integer, options?: CompareOptions): mvcc.Compare =>
    compareWith(
      key,
      operator,
      mvcc.Compare_CompareTarget.MOD,
      { $case: 'modRevision', value: BigInt(revision) },
      options,
    ),
} as const;

/** Operations of a transaction. They run in order, and later ones see the effects of earlier ones. */
export const operation = {
  /** Stores a pair. */
  put: (key: Bytes, value: Bytes, options?: { readonly prevKv?: boolean }): mvcc.RequestOp => ({
    request: {
      $case: 'requestPut',
      value: { key: toBuffer(key), value: toBuffer(value), prevKv: options?.prevKv ?? false },
    },
  }),
  /** Reads a key, or the keys from it up to `rangeEnd`. */
  range: (
    key: Bytes,
    options?: {
      readonly rangeEnd?: Bytes;
      readonly limit?: Integer;
      readonly keysOnly?: boolean;
      readonly countOnly?: boolean;
    },
  ): mvcc.RequestOp => ({
    request: {
      $case: 'requestRange',
      value: {
        key: toBuffer(key),
        rangeEnd: toBuffer(options?.rangeEnd),
        limit: BigInt(options?.limit ?? 0),
        keysOnly: options?.keysOnly ?? false,
        countOnly: options?.countOnly ?? false,
      },
    },
  }),
  /** Removes a key, or the keys from it up to `rangeEnd`. */
  deleteRange: (
    key: Bytes,
    options?: { readonly rangeEnd?: Bytes; readonly prevKv?: boolean },
  ): mvcc.RequestOp => ({
    request: {
      $case: 'requestDeleteRange',
      value: {
        key: toBuffer(key),
        rangeEnd: toBuffer(options?.rangeEnd),
        prevKv: options?.prevKv ?? false,
        count: true,
      },
    },
  }),
} as const;

/** The conditions and operations of a transaction. */
export interface TxnParts {
  readonly compare: mvcc.Compare[];
  readonly success: mvcc.RequestOp[];
  readonly failure: mvcc.RequestOp[];
}

/**
 * Builds a transaction: `db.txn('t').when(…).do(…).otherwise(…).commit()`. When all conditions of `when` hold, the
 * operations of `do` run, else those of `otherwise`. The whole is atomic.
 */
export class TxnBuilder<Result> {
  readonly #parts: TxnParts = { compare: [], success: [], failure: [] };
  readonly #commit: (parts: TxnParts) => Promise<Result>;

  constructor(commit: (parts: TxnParts) => Promise<Result>) {
    this.#commit = commit;
  }

  /** Adds conditions. */
  when(...compares: readonly mvcc.Compare[]): this {
    this.#parts.compare.push(...compares);
    return this;
  }

  /** Adds operations that run when all conditions hold. */
  do(...operations: readonly mvcc.RequestOp[]): this {
    this.#parts.success.push(...operations);
    return this;
  }

  /** Adds operations that run when some condition does not hold. */
  otherwise(...operations: readonly mvcc.RequestOp[]): this {
    this.#parts.failure.push(...operations);
    return this;
  }

  /**
   * Sends the transaction. It is repeated only when that is safe. Rejects with a CoxswainError, for a write of unknown
   * outcome with an OutcomeUnknownError.
   */
  commit(): Promise<Result> {
    return this.#commit(this.#parts);
  }
}
