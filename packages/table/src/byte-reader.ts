import { strict as assert } from 'node:assert/strict';

/** Reads the values that a ByteWriter wrote. */
export class ByteReader {
  readonly #buffer: Buffer;
  #at: number;

  constructor(buffer: Buffer, offset = 0) {
    this.#buffer = buffer;
    this.#at = offset;
  }

  get offset(): number {
    return this.#at;
  }

  get atEnd(): boolean {
    return this.#at >= this.#buffer.length;
  }

  /** Returns the next `length` bytes, which share the buffer's memory. Throws AssertionError when there are fewer. */
  bytes(length: number): Buffer {
    assert(this.#at + length <= this.#buffer.length, 'a stored record is cut short');
    this.#at += length;
    return this.#buffer.subarray(this.#at - length, this.#at);
  }

  varint(): number {
    let value = 0;
    let scale = 1;
    for (;;) {
      const byte = this.#buffer[this.#at++];
      assert(byte !== undefined, 'a stored record is cut short');
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
      scale *= 0x80;
    }
  }
}
