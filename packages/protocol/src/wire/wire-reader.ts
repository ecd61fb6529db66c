import { isUtf8 } from 'node:buffer';
import { WireError } from './wire-error.js';
import { highWord, lowWord, signed, unsigned, words } from './words.js';

/**
 * How deep messages and groups may nest; protobuf's C++ and Java runtimes have the same limit. Without
 * one, a small message of nested Commands or Structs would exhaust the stack.
 */
export const NESTING_DEPTH_MAX = 100;

/** What every empty bytes field decodes to, so that it does not keep the message's buffer alive. */
export const emptyBytes: Buffer = Buffer.alloc(0);

/**
 * Reads the protobuf encoding from one buffer. The generated decoders drive it.
 *
 * Bytes fields are views of the input, not copies: they keep the whole input alive and change with it, so
 * copy what outlives the request. No read passes the end of the message that is being decoded, and
 * malformed input always throws WireError; after that the reader must not be used.
 */
export class WireReader {
  /** Offset of the next byte to read. */
  pos = 0;
  /** Offset just after the message that is being decoded. */
  end: number;

  readonly #buffer: Buffer;
  #depth = 0;
  /** The varint that was read last, as two unsigned words of 32 bits. */
  #low = 0;
  #high = 0;

  constructor(input: Uint8Array) {
    this.#buffer = Buffer.isBuffer(input)
      ? input
      : Buffer.from(input.buffer, input.byteOffset, input.byteLength);
    this.end = input.length;
  }

  /**
   * Narrows the reader to a message of so many bytes, or to all that is left.
   * @returns what leave() takes to restore the message around it.
   */
  enter(lengthBytes?: number): number {
    if (++this.#depth > NESTING_DEPTH_MAX) {
      throw new WireError(`nested deeper than ${NESTING_DEPTH_MAX} levels`);
    }
    const outerEnd = this.end;
    if (lengthBytes !== undefined) {
      this.end = this.#offsetAfter(lengthBytes);
    }
    return outerEnd;
  }

  /** Ends the message that enter() began. Every read was bounded, so it ends exactly at its end. */
  leave(outerEnd: number): void {
    this.#depth--;
    this.end = outerEnd;
  }

  /** Reads a field's number and wire type. */
  tag(): number {
    const { pos } = this;
    if (pos < this.end) {
      const first = this.#buffer[pos]!;
      if (first < 0x80) {
        this.pos = pos + 1;
        return first;
      }
    }
    return this.#varint32('tag');
  }

  /** Reads the length of a message, string or bytes field. */
  length(): number {
    const { pos } = this;
    if (pos < this.end) {
      const first = this.#buffer[pos]!;
      if (first < 0x80) {
        this.pos = pos + 1;
        return first;
      }
    }
    return this.#varint32('length');
  }

  /** Reads a uint32; of a wider varint the low 32 bits count, as protobuf prescribes. */
  uint32(): number {
    this.#varint();
    return this.#low;
  }

  /** Reads an int32 or an enum; of a wider varint the low 32 bits count. */
  int32(): number {
    this.#varint();
    return this.#low | 0;
  }

  bool(): boolean {
    this.#varint();
    return (this.#low | this.#high) !== 0;
  }

  uint64(): bigint {
    this.#varint();
    words[lowWord] = this.#low;
    words[highWord] = this.#high;
    return unsigned[0]!;
  }

  int64(): bigint {
    this.#varint();
    words[lowWord] = this.#low;
    words[highWord] = this.#high;
    return signed[0]!;
  }

  double(): number {
    const start = this.pos;
    this.pos = this.#offsetAfter(8);
    return this.#buffer.readDoubleLE(start);
  }

  /** Reads bytes as a view of the input. */
  bytes(): Buffer {
    const lengthBytes = this.length();
    if (lengthBytes === 0) {
      return emptyBytes;
    }
    const start = this.pos;
    this.pos = this.#offsetAfter(lengthBytes);
    return this.#buffer.subarray(start, this.pos);
  }

  string(): string {
    const lengthBytes = this.length();
    const start = this.pos;
    this.pos = this.#offsetAfter(lengthBytes);
    const text = this.#buffer.toString('utf8', start, this.pos);
    // The replacement character is rare, and shows up wherever the bytes were not valid.
    if (text.includes('\ufffd') && !isUtf8(this.#buffer.subarray(start, this.pos))) {
      throw new WireError('string is not valid UTF-8');
    }
    return text;
  }

  /** Passes over a field that the message does not know. */
  skip(tag: number): void {
    if (tag >>> 3 === 0) {
      throw new WireError('field number 0');
    }
    switch (tag & 7) {
      case 0:
        this.#varint();
        return;
      case 1:
        this.pos = this.#offsetAfter(8);
        return;
      case 2:
        this.pos = this.#offsetAfter(this.length());
        return;
      case 3:
        this.#skipGroup(tag >>> 3);
        return;
      case 5:
        this.pos = this.#offsetAfter(4);
        return;
      case 4:
        throw new WireError('end of a group that did not begin');
      default:
        throw new WireError(`unknown wire type ${tag & 7}`);
    }
  }

  #skipGroup(fieldNumber: number): void {
    const outerEnd = this.enter();
    let tag = this.tag();
    while ((tag & 7) !== 4) {
      this.skip(tag);
      tag = this.tag();
    }
    if (tag >>> 3 !== fieldNumber) {
      throw new WireError('group ends with the tag of another');
    }
    this.leave(outerEnd);
  }

  /** The offset so many bytes on, which must lie within the message. */
  #offsetAfter(lengthBytes: number): number {
    const offset = this.pos + lengthBytes;
    if (offset > this.end) {
      throw new WireError('field ends beyond its message');
    }
    return offset;
  }

  /** Reads a varint that cannot exceed 32 bits. */
  #varint32(what: string): number {
    this.#varint();
    if (this.#high !== 0) {
      throw new WireError(`${what} does not fit into 32 bits`);
    }
    return this.#low;
  }

  /** Reads a varint of up to ten bytes into #low and #high. */
  #varint(): void {
    const buffer = this.#buffer;
    const { end } = this;
    let { pos } = this;
    let low = 0;
    let byte = 0x80;
    for (let shift = 0; shift < 28 && byte >= 0x80; shift += 7) {
      if (pos >= end) {
        throw new WireError('varint is truncated');
      }
      byte = buffer[pos++]!;
      low |= (byte & 0x7f) << shift;
    }
    let high = 0;
    if (byte >= 0x80) {
      if (pos >= end) {
        throw new WireError('varint is truncated');
      }
      byte = buffer[pos++]!;
      low |= byte << 28;
      high = (byte & 0x7f) >> 4;
      for (let shift = 3; byte >= 0x80; shift += 7) {
        if (pos >= end) {
          throw new WireError('varint is truncated');
        }
        byte = buffer[pos++]!;
        // The tenth byte holds the last of 64 bits.
        if (shift === 31 && byte > 1) {
          throw new WireError('varint is longer than 64 bits');
        }
        high |= (byte & 0x7f) << shift;
      }
    }
    this.pos = pos;
    this.#low = low >>> 0;
    this.#high = high >>> 0;
  }
}
