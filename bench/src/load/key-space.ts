const PREFIX = 'key-';
const DIGIT_COUNT = 10;

/** The length of every key. */
export const KEY_SIZE_BYTES = PREFIX.length + DIGIT_COUNT;

/** The key of that index; keys are in the order of their indices. */
export function encodeKey(index: number): Buffer {
  const key = Buffer.alloc(KEY_SIZE_BYTES, PREFIX, 'latin1');
  writeKeyIndex(key, 0, index);
  return key;
}

/** Makes the key that stands at `target[offset…]` that of the index. */
export function writeKeyIndex(target: Buffer, offset: number, index: number): void {
  let rest = index;
  for (let position = offset + KEY_SIZE_BYTES - 1; position >= offset + PREFIX.length; position--) {
    target[position] = 0x30 + (rest % 10);
    rest = Math.floor(rest / 10);
  }
}
