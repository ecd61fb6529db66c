import { NESTING_DEPTH_MAX } from './wire-reader.js';
import { highWord, lowWord, signed, unsigned, words } from './words.js';

/** Messages are written one after the other into slabs of this size, so that most need no allocation. */
const SLAB_SIZE_BYTES = 64 * 1024;

/**
 * Writes the protobuf encoding. The generated encoders drive it: `Type.encode(message).finish()`.
 *
 * A message is written once and never copied: it goes to the free part of a slab, and finish() returns
 * that part. Slabs are shared by messages that were encoded close together, so a message that is kept for
 * long keeps its slab alive.
 *
 * One writer encodes one message at a time. A message that was begun and not finished (its encoder
 * threw) is forgotten when the next one begins.
 */
export class WireWriter {
  #buffer = Buffer.allocUnsafeSlow(SLAB_SIZE_BYTES);
  /** The slab to go back to when #buffer was made for one message that fits no slab. */
  #slab = this.#buffer;
  /** Where in the slab the next message begins. */
  #slabPos = 0;
  /** Where in #buffer this message begins. */
  #start = 0;
  #pos = 0;
  #isOpen = false;
  #depth = 0;
  /** Where the length of each open nested message goes, relative to #start. */
  readonly #lengthOffsets = new Uint32Array(NESTING_DEPTH_MAX);
  /**
   * How many bytes the length of the last message at each depth took. Siblings are mostly alike, so
   * reserving as many avoids moving each one once its length is known.
   */
  readonly #lengthSizes = new Uint8Array(NESTING_DEPTH_MAX).fill(1);

  /** Begins a message. */
  begin(): this {
    this.#buffer = this.#slab;
    this.#start = this.#slabPos;
    this.#pos = this.#slabPos;
    this.#depth = 0;
    this.#isOpen = true;
    return this;
  }

  /**
   * Ends the message and returns its bytes, which nothing writes to again.
   * @throws Error when the message was already finished, or another began on this writer meanwhile.
   */
  finish(): Buffer {
    if (!this.#isOpen || this.#depth !== 0) {
      throw new Error('encoders must not overlap: finish one message before the next begins');
    }
    this.#isOpen = false;
    const message = this.#buffer.subarray(this.#start, this.#pos);
    if (this.#buffer === this.#slab) {
      this.#slabPos = this.#pos;
    }
    return message;
  }

  /** Begins a nested message, whose length join() fills in. */
  fork(): this {
    const depth = this.#depth;
    if (depth === NESTING_DEPTH_MAX) {
      throw new RangeError(`nested deeper than ${NESTING_DEPTH_MAX} levels`);
    }
    const lengthSize = this.#lengthSizes[depth]!;
    this.#reserve(lengthSize);
    this.#lengthOffsets[depth] = this.#pos - this.#start;
    this.#pos += lengthSize;
    this.#depth = depth + 1;
    return this;
  }

  /** Ends the nested message that fork() began. */
  join(): this {
    const depth = --this.#depth;
    const reserved = this.#lengthSizes[depth]!;
    const bodyStart = this.#start + this.#lengthOffsets[depth]! + reserved;
    const lengthBytes = this.#pos - bodyStart;
    const needed = varintSize(lengthBytes);
    if (needed !== reserved) {
      this.#lengthSizes[depth] = needed;
      this.#moveBody(bodyStart, needed - reserved);
    }
    const end = this.#pos;
    this.#pos = this.#start + this.#lengthOffsets[depth]!;
    this.#varint32(lengthBytes);
    this.#pos = end;
    return this;
  }

  /** Writes a field's number and wire type. */
  tag(tag: number): this {
    this.#reserve(5);
    this.#varint32(tag);
    return this;
  }

  /** @throws RangeError when the value is not an unsigned integer of 32 bits. */
  uint32(value: number): this {
    if (value >>> 0 !== value) {
      throw new RangeError('value does not fit into a uint32 field');
    }
    this.#reserve(5);
    this.#varint32(value);
    return this;
  }

  /**
   * Writes an int32 or an enum. A negative one takes ten bytes, as if it were an int64.
   * @throws RangeError when the value is not a signed integer of 32 bits.
   */
  int32(value: number): this {
    if ((value | 0) !== value) {
      throw new RangeError('value does not fit into an int32 field');
    }
    this.#reserve(10);
    if (value >= 0) {
      this.#varint32(value);
    } else {
      this.#varint64(value >>> 0, 0xffffffff);
    }
    return this;
  }

  bool(value: boolean): this {
    this.#reserve(1);
    this.#buffer[this.#pos++] = value ? 1 : 0;
    return this;
  }

  /** @throws RangeError when the value is not an unsigned integer of 64 bits. */
  uint64(value: bigint): this {
    unsigned[0] = value;
    if (unsigned[0] !== value) {
      throw new RangeError('value does not fit into a uint64 field');
    }
    this.#reserve(10);
    this.#varint64(words[lowWord]!, words[highWord]!);
    return this;
  }

  /** @throws RangeError when the value is not a signed integer of 64 bits. */
  int64(value: bigint): this {
    signed[0] = value;
    if (signed[0] !== value) {
      throw new RangeError('value does not fit into an int64 field');
    }
    this.#reserve(10);
    this.#varint64(words[lowWord]!, words[highWord]!);
    return this;
  }

  double(value: number): this {
    this.#reserve(8);
    this.#pos = this.#buffer.writeDoubleLE(value, this.#pos);
    return this;
  }

  /** @throws TypeError when the value is no Uint8Array: a string would silently become zeros. */
  bytes(value: Uint8Array): this {
    if (!(value instanceof Uint8Array)) {
      throw new TypeError('a bytes field takes a Uint8Array');
    }
    const lengthBytes = value.length;
    this.#reserve(5 + lengthBytes);
    this.#varint32(lengthBytes);
    this.#buffer.set(value, this.#pos);
    this.#pos += lengthBytes;
    return this;
  }

  string(value: string): this {
    const lengthBytes = Buffer.byteLength(value);
    this.#reserve(5 + lengthBytes);
    this.#varint32(lengthBytes);
    this.#buffer.write(value, this.#pos);
    this.#pos += lengthBytes;
    return this;
  }

  #moveBody(bodyStart: number, shift: number): void {
    const startOffset = bodyStart - this.#start;
    // May move the whole message to a new buffer, so positions are taken again.
    this.#reserve(Math.max(shift, 0));
    const from = this.#start + startOffset;
    this.#buffer.copyWithin(from + shift, from, this.#pos);
    this.#pos += shift;
  }

  #reserve(sizeBytes: number): void {
    if (this.#pos + sizeBytes > this.#buffer.length) {
      this.#grow(sizeBytes);
    }
  }

  /** Moves the message to a new slab, or to a buffer of its own when it fits none. */
  #grow(sizeBytes: number): void {
    const usedBytes = this.#pos - this.#start;
    const neededBytes = usedBytes + sizeBytes;
    const old = this.#buffer;
    if (neededBytes <= SLAB_SIZE_BYTES) {
      this.#slab = Buffer.allocUnsafeSlow(SLAB_SIZE_BYTES);
      this.#slabPos = 0;
      this.#buffer = this.#slab;
    } else {
      // One large value is mostly the last of its message; many small ones mostly go on.
      const spareBytes = sizeBytes > usedBytes ? 1024 : neededBytes;
      this.#buffer = Buffer.allocUnsafeSlow(neededBytes + spareBytes);
    }
    old.copy(this.#buffer, 0, this.#start, this.#pos);
    this.#start = 0;
    this.#pos = usedBytes;
  }

  #varint32(value: number): void {
    const buffer = this.#buffer;
    let pos = this.#pos;
    let rest = value;
    while (rest > 0x7f) {
      buffer[pos++] = (rest & 0x7f) | 0x80;
      rest >>>= 7;
    }
    buffer[pos++] = rest;
    this.#pos = pos;
  }

  #varint64(lowBits: number, highBits: number): void {
    const buffer = this.#buffer;
    let pos = this.#pos;
    let low = lowBits;
    let high = highBits;
    while (high !== 0) {
      buffer[pos++] = (low & 0x7f) | 0x80;
      low = ((low >>> 7) | (high << 25)) >>> 0;
      high >>>= 7;
    }
    this.#pos = pos;
    this.#varint32(low);
  }
}

const shared = new WireWriter();

/** Begins a message on the writer that all encoders share. */
export function beginMessage(): WireWriter {
  return shared.begin();
}

function varintSize(value: number): number {
  if (value < 0x80) return 1;
  if (value < 0x4000) return 2;
  if (value < 0x200000) return 3;
  return value < 0x10000000 ? 4 : 5;
}
