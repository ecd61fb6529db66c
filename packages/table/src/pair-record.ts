import { mvcc } from '@coxswain/protocol';

/** The pair of a record of a snapshot stream. Its buffers share the record's memory. */
export interface PairRecord {
  readonly key: Buffer;
  readonly value: Buffer;
  readonly createRevision: number;
  readonly modRevision: number;
  readonly version: number;
}

/** Tags of mvcc.v1.Command and of KeyValue in it: field number and wire type. */
const TABLE = (1 << 3) | 2;
const TYPE = 2 << 3;
const KV = (3 << 3) | 2;
const KEY = (1 << 3) | 2;
const CREATE_REVISION = 2 << 3;
const MOD_REVISION = 3 << 3;
const VALUE = (4 << 3) | 2;
const VERSION = 100 << 3;
const EMPTY = Buffer.alloc(0);

/**
 * Reads a marshalled mvcc.v1.Command at `bytes[start…end)` that is a PUT of one pair, as snapshot streams hold them by
 * the million: without objects for what nobody looks at. Undefined for any other command, and for one that is written
 * in a way that is not usual: then the generated code must have a look.
 */
export function readPairRecord(bytes: Buffer, start: number, end: number): PairRecord | undefined {
  const reader = new FieldReader(bytes, start, end);
  let pair: PairRecord | undefined;
  while (reader.at < reader.end) {
    switch (reader.varint()) {
      case TABLE:
        reader.bytes();
        break;
      case TYPE:
        if (reader.varint() !== mvcc.Command_CommandType.PUT) return undefined;
        break;
      case KV: {
        if (pair !== undefined) return undefined;
        const pairEnd = reader.varint() + reader.at;
        if (pairEnd > end) return undefined;
        pair = readPair(bytes, reader.at, pairEnd);
        if (pair === undefined) return undefined;
        reader.at = pairEnd;
        break;
      }
      default:
        return undefined;
    }
  }
  return reader.at === end ? pair : undefined;
}

function readPair(bytes: Buffer, start: number, end: number): PairRecord | undefined {
  const reader = new FieldReader(bytes, start, end);
  let key: Buffer = EMPTY;
  let value: Buffer = EMPTY;
  let createRevision = 0;
  let modRevision = 0;
  let version = 0;
  while (reader.at < reader.end) {
    switch (reader.varint()) {
      case KEY:
        key = reader.bytes();
        break;
      case VALUE:
        value = reader.bytes();
        break;
      case CREATE_REVISION:
        createRevision = reader.varint();
        break;
      case MOD_REVISION:
        modRevision = reader.varint();
        break;
      case VERSION:
        version = reader.varint();
        break;
      default:
        return undefined;
    }
  }
  return reader.at === end ? { key, value, createRevision, modRevision, version } : undefined;
}

/** Reads forward, and ends beyond the end when something does not fit in front of it. */
class FieldReader {
  constructor(
    readonly buffer: Buffer,
    public at: number,
    readonly end: number,
  ) {}

  /** Up to 2^53-1. For more, and for one that is cut, the reader ends beyond its end. */
  varint(): number {
    const { buffer, end } = this;
    let value = 0;
    let weight = 1;
    while (this.at < end) {
      const byte = buffer[this.at++]!;
      value += (byte & 0x7f) * weight;
      if (byte < 0x80) {
        if (value > Number.MAX_SAFE_INTEGER) break;
        return value;
      }
      weight *= 0x80;
    }
    this.at = Number.POSITIVE_INFINITY;
    return 0;
  }

  bytes(): Buffer {
    const length = this.varint();
    const start = this.at;
    this.at += length;
    return this.at <= this.end ? this.buffer.subarray(start, this.at) : EMPTY;
  }
}
