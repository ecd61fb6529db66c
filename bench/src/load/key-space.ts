const PREFIX = 'key-';
const DIGIT_COUNT = 10;

/** The length of every key. */
export const KEY_SIZE_BYTES = PREFIX.length + DIGIT_COUNT;

/** Returns the key with this index; keys are in the order of their indices. */
export function encodeKey(index: number): Buffer {
  const key = Buffer.alloc(KEY_SIZE_BYTES, PREFIX, 'latin1');
  writeKeyIndex(key, 0, index);
  return key;
}

/** Changes the key at `target[offset…]` to the one with this index. */
export function writeKeyIndex(target: Buffer, offset: number, index: number): void {
  let rest = index;
  for (let position = offset + KEY_SIZE_BYTES - 1; position >= offset + PREFIX.length; position--) {
    target[position] = 0x30 + (rest % 10);
    rest = Math.floor(rest / 10);
  }
}
