/** Bytes of two keys that are compared one by one; only from there on the call of native code costs less. */
const SHORT_BYTES = 64;

/** A key that is a part of other bytes. */
export interface KeyPlace {
  readonly bytes: Buffer;
  readonly keyStart: number;
  readonly keyEnd: number;
}

/** Compares two keys byte by byte. Returns a negative number, zero or a positive one. */
export function compareKeys(left: KeyPlace, right: KeyPlace): number {
  const leftLength = left.keyEnd - left.keyStart;
  const rightLength = right.keyEnd - right.keyStart;
  const length = Math.min(leftLength, rightLength, SHORT_BYTES);
  for (let at = 0; at < length; at++) {
    const difference = left.bytes[left.keyStart + at]! - right.bytes[right.keyStart + at]!;
    if (difference !== 0) return difference;
  }
  if (length < SHORT_BYTES) return leftLength - rightLength;
  const { bytes, keyStart, keyEnd } = right;
  return left.bytes.compare(bytes, keyStart + length, keyEnd, left.keyStart + length, left.keyEnd);
}
