import { mvcc } from '@coxswain/protocol';
import { type Bytes, type Integer, toBuffer } from './bytes.js';

/** How a key's property (left) is compared with the given value (right). */
export type Operator = '=' | '!=' | '>' | '<';

const operators: Readonly<Record<Operator, mvcc.Compare_CompareResult>> = {
  '=': mvcc.Compare_CompareResult.EQUAL,
  '!=': mvcc.Compare_CompareResult.NOT_EQUAL,
  '>': mvcc.Compare_CompareResult.GREATER,
  '<': mvcc.Compare_CompareResult.LESS,
};

/** With `rangeEnd` a comparison must hold for every key of [key, rangeEnd), and for at least one. */
export interface CompareOptions {
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

/** The conditions of a transaction. A missing key has no value, and 0 as version and revisions. */
export const compare = {
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
  /** `compare.version(key, '=', 0)` holds when the key does not exist. */
  version: (key: Bytes, operator: Operator, version: Integer, options?: CompareOptions): mvcc.Compare =>
    compareWith(
      key,
      operator,
      mvcc.Compare_CompareTarget.VERSION,
      { $case: 'version', value: BigInt(version) },
      options,
    ),
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
  modRevision: (key: Bytes, operator: Operator, revision: Integer, options?: CompareOptions): mvcc.Compare =>
    compareWith(
      key,
      operator,
      mvcc.Compare_CompareTarget.MOD,
      { $case: 'modRevision', value: BigInt(revision) },
      options,
    ),
} as const;

/** The operations of a transaction. They run in order, and later ones see what earlier ones did. */
export const operation = {
  put: (key: Bytes, value: Bytes, options?: { readonly prevKv?: boolean }): mvcc.RequestOp => ({
    request: {
      $case: 'requestPut',
      value: { key: toBuffer(key), value: toBuffer(value), prevKv: options?.prevKv ?? false },
    },
  }),
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

/** What a transaction is made of. */
export interface TxnParts {
  readonly compare: mvcc.Compare[];
  readonly success: mvcc.RequestOp[];
  readonly failure: mvcc.RequestOp[];
}

/**
 * Builds a transaction: `db.txn('t').when(…).do(…).otherwise(…).commit()`. All of `when` must hold for `do` to
 * run; else `otherwise` runs. The whole is atomic.
 */
export class TxnBuilder<Result> {
  readonly #parts: TxnParts = { compare: [], success: [], failure: [] };
  readonly #commit: (parts: TxnParts) => Promise<Result>;

  constructor(commit: (parts: TxnParts) => Promise<Result>) {
    this.#commit = commit;
  }

  when(...compares: readonly mvcc.Compare[]): this {
    this.#parts.compare.push(...compares);
    return this;
  }

  do(...operations: readonly mvcc.RequestOp[]): this {
    this.#parts.success.push(...operations);
    return this;
  }

  otherwise(...operations: readonly mvcc.RequestOp[]): this {
    this.#parts.failure.push(...operations);
    return this;
  }

  /** Sends the transaction. It is repeated only where that is safe. */
  commit(): Promise<Result> {
    return this.#commit(this.#parts);
  }
}
