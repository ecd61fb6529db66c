import { endianness } from 'node:os';

/*
 * One 64-bit scratch value seen in three ways. Going through typed arrays turns a bigint into two words,
 * and back, without a call into the runtime's big-integer arithmetic. Codecs are synchronous, so all of
 * them share it.
 */

/** The scratch value as an unsigned integer. */
export const unsigned = new BigUint64Array(1);
/** The scratch value as a signed integer. */
export const signed = new BigInt64Array(unsigned.buffer);
/** The scratch value as two unsigned words of 32 bits, at lowWord and highWord. */
export const words = new Uint32Array(unsigned.buffer);
/** Index of the low word. */
export const lowWord = endianness() === 'LE' ? 0 : 1;
/** Index of the high word. */
export const highWord = 1 - lowWord;
