import {
  createRevisionOf,
  modRevisionOf,
  RECORD_HEADER_SIZE_BYTES,
  versionOf,
  writeRecordHeader,
} from './layout.js';
import { elementSizeBytes, integerFieldSizeBytes, keyValueSizeBytes } from './pair-size.js';
import { copyBytes } from './record-block.js';

/**
 * The tags (field number and wire type) of regatta.v1.RangeResponse.kvs, which mvcc.v1.Command.kv shares, and of the
 * fields of mvcc.v1.KeyValue in it.
 */
const KVS = (3 << 3) | 2;
const KEY = (1 << 3) | 2;
const CREATE_REVISION = 2 << 3;
const MOD_REVISION = 3 << 3;
const VALUE = (4 << 3) | 2;
/** The tag of field 100, which takes two bytes: 0xa0 0x06. */
const VERSION_LOW = 0xa0;
const VERSION_HIGH = 0x06;

/** Writes a varint at a place, and returns where it ends. */
function putVarint(target: Buffer, start: number, value: number): number {
  let at = start;
  let rest = value;
  // A number of more than 31 bits is not an integer to the processor, and takes longer.
  for (; rest > 0x7fff_ffff; rest = Math.floor(rest / 0x80)) target[at++] = (rest % 0x80) | 0x80;
  for (; rest >= 0x80; rest >>>= 7) target[at++] = (rest & 0x7f) | 0x80;
  target[at++] = rest;
  return at;
}

/** Encodes the pair as an element of a RangeResponse, in the same bytes as the generated code. */
export function encodePair(key: Buffer, record: Buffer): Buffer {
  const sizeBytes = keyValueSizeBytes(key.length, record, false);
  const encoded = Buffer.allocUnsafe(elementSizeBytes(sizeBytes));
  writePair(encoded, 0, key, record, sizeBytes);
  return encoded;
}

/**
 * Writes the pair, as `encodePair` encodes it, at a place of `target`, and returns where it ends. `sizeBytes` is the
 * result of `keyValueSizeBytes` for the pair.
 */
export function writePair(
  target: Buffer,
  start: number,
  key: Buffer,
  record: Buffer,
  sizeBytes: number,
  /** Where the key begins in its bytes. */
  keyStart = 0,
): number {
  const keyLength = key.length - keyStart;
  const valueLength = record.length - RECORD_HEADER_SIZE_BYTES;
  const createRevision = createRevisionOf(record);
  const modRevision = modRevisionOf(record);
  const version = versionOf(record);
  const valueEnd = start + elementSizeBytes(sizeBytes) - integerFieldSizeBytes(version, 2);
  // To copy a part of a Buffer, Node makes an object for it. So the whole record is copied, and its header is
  // overwritten afterwards, if it falls within this pair's own bytes.
  const recordAt = valueEnd - record.length;
  if (recordAt >= start) target.set(record, recordAt);
  else record.copy(target, valueEnd - valueLength, RECORD_HEADER_SIZE_BYTES);
  let at = start;
  target[at++] = KVS;
  at = putVarint(target, at, sizeBytes);
  // No client of ours can put an empty key, but a Txn of a stock leader cluster can (A3).
  if (keyLength > 0) {
    target[at++] = KEY;
    at = putVarint(target, at, keyLength);
    copyBytes(key, keyStart, key.length, target, at);
    at += keyLength;
  }
  if (createRevision !== 0) {
    target[at++] = CREATE_REVISION;
    at = putVarint(target, at, createRevision);
  }
  if (modRevision !== 0) {
    target[at++] = MOD_REVISION;
    at = putVarint(target, at, modRevision);
  }
  if (valueLength > 0) {
    target[at++] = VALUE;
    at = putVarint(target, at, valueLength) + valueLength;
  }
  if (version !== 0) {
    target[at++] = VERSION_LOW;
    target[at++] = VERSION_HIGH;
    at = putVarint(target, at, version);
  }
  return at;
}

/** The position of the present read in an encoded pair. */
let at = 0;

function takeVarint(source: Buffer): number {
  let value = 0;
  let factor = 1;
  for (;;) {
    const byte = source[at++]!;
    value += (byte & 0x7f) * factor;
    if (byte < 0x80) return value;
    factor *= 0x80;
  }
}

/** Returns the record that `encodePair` encoded. */
export function recordOfPair(encoded: Buffer): Buffer {
  let create = 0;
  let mod = 0;
  let version = 0;
  let valueStart = 0;
  let valueEnd = 0;
  at = 1;
  takeVarint(encoded);
  while (at < encoded.length) {
    switch (encoded[at++]) {
      case KEY:
        // The length is read first, since reading it moves the position.
        skip(takeVarint(encoded));
        break;
      case CREATE_REVISION:
        create = takeVarint(encoded);
        break;
      case MOD_REVISION:
        mod = takeVarint(encoded);
        break;
      case VALUE: {
        const length = takeVarint(encoded);
        valueStart = at;
        valueEnd = at + length;
        skip(length);
        break;
      }
      default:
        skip(1);
        version = takeVarint(encoded);
    }
  }
  const record = Buffer.allocUnsafe(RECORD_HEADER_SIZE_BYTES + valueEnd - valueStart);
  writeRecordHeader(record, create, mod, version);
  encoded.copy(record, RECORD_HEADER_SIZE_BYTES, valueStart, valueEnd);
  return record;
}

function skip(length: number): void {
  at += length;
}
