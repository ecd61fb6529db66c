import { writePair } from './encoded-pair.js';
import { elementSizeBytes, keyValueSizeBytes } from './pair-size.js';
import type { RecordPage } from './record-page.js';

/** Pairs in encoded form, see `encodePair`. Valid until anything is written: to be copied at once. */
export interface EncodedPairs {
  /** Of the table, as they were read. */
  readonly revision: number;
  readonly count: number;
  /** The range has more. */
  readonly more: boolean;
  readonly sizeBytes: number;
  copyTo(target: Buffer, at: number): void;
}

// Classes, and no literals: those of one class have one shape, and every read makes one.

/** One pair; none where the record is undefined. */
export class EncodedPoint implements EncodedPairs {
  readonly count: number;
  readonly more = false;
  readonly sizeBytes: number;
  /** What the pair takes without what stands before it. */
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
