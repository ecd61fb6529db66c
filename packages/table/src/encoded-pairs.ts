import { writePair } from './encoded-pair.js';
import { elementSizeBytes, keyValueSizeBytes } from './pair-size.js';
import type { RecordPage } from './record-page.js';

/**
 * Pairs in encoded form; see `encodePair`. They must be copied at once, since they are valid only until the table is
 * written to.
 */
export interface EncodedPairs {
  /** The revision of the table as the pairs were read. */
  readonly revision: number;
  readonly count: number;
  /** True when the range has more pairs. */
  readonly more: boolean;
  readonly sizeBytes: number;
  copyTo(target: Buffer, at: number): void;
}

// These are classes and not literals, since objects of one class have one shape, and every read makes one.

/** One pair, or none when the record is undefined. */
export class EncodedPoint implements EncodedPairs {
  readonly count: number;
  readonly more = false;
  readonly sizeBytes: number;
  /** The size of the pair without its tag and length. */
  readonly #pairBytes: number;

  constructor(
    readonly revision: number,
    readonly key: Buffer,
    readonly record: Buffer | undefined,
  ) {
    this.count = record === undefined ? 0 : 1;
    this.#pairBytes = record === undefined ? 0 : keyValueSizeBytes(key.length, record, false);
    this.sizeBytes = record === undefined ? 0 : elementSizeBytes(this.#pairBytes);
  }

  copyTo(target: Buffer, at: number): void {
    if (this.record !== undefined) writePair(target, at, this.key, this.record, this.#pairBytes);
  }
}

/** A part of a page: its pairs from one place up to another. */
export interface PagePart {
  readonly page: RecordPage;
  readonly from: number;
  readonly to: number;
}

/** Pairs that lie in pages. */
export class PagedPairs implements EncodedPairs {
  constructor(
    readonly revision: number,
    readonly count: number,
    readonly more: boolean,
    readonly sizeBytes: number,
    readonly parts: readonly PagePart[],
  ) {}

  copyTo(target: Buffer, at: number): void {
    let offset = at;
    for (const { page, from, to } of this.parts) {
      page.copyTo(target, offset, from, to);
      offset += page.bytesBetween(from, to);
    }
  }
}
