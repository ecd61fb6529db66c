/** A key or a value. Text is encoded in UTF-8. */
export type Bytes = string | Uint8Array;

/** A 64-bit integer of the protocol as an argument. Results are always bigints, which are exact. */
export type Integer = number | bigint;

const empty = Buffer.alloc(0);
const noUpperBound = Buffer.from([0]);

/** Returns the bytes of a key or a value, in the same memory where they are bytes already; none for undefined. */
export function toBuffer(bytes: Bytes | undefined): Buffer {
  if (bytes === undefined) return empty;
  if (typeof bytes === 'string') return Buffer.from(bytes);
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** Returns the `rangeEnd` that, with `prefix` as the key, selects all keys that begin with `prefix`. */
export function prefixEnd(prefix: Bytes): Buffer {
  const end = Buffer.from(toBuffer(prefix));
  for (let i = end.length - 1; i >= 0; i--) {
    if (end[i]! < 0xff) {
      end[i]!++;
      return end.subarray(0, i + 1);
    }
  }
  // The prefix consists of 0xff only, so no key lies above all those that begin with it.
  return noUpperBound;
}

/** The `rangeEnd` of a range without an upper bound. */
export const toEnd: Buffer = noUpperBound;
