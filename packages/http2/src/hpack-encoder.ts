import { STATIC_TABLE } from './hpack-static-table.js';

/** One field of a header block; names are in lower case. */
export type Field = readonly [name: string, value: string];

/** The size of HPACK's table in bytes until a peer sets another one (RFC 9113, 6.5.2). */
const TABLE_BYTES_MAX = 4096;
/** Bytes that an entry counts beyond its strings (RFC 7541, 4.1). */
const ENTRY_OVERHEAD_BYTES = 32;

/** The first byte of each representation, and the largest number that fits into the rest of it (RFC 7541, 6). */
const INDEXED = [0x80, 0x7f] as const;
const LITERAL_INDEXED = [0x40, 0x3f] as const;
const LITERAL = [0x00, 0x0f] as const;
const RESIZE = [0x20, 0x1f] as const;
const STRING = [0x00, 0x7f] as const;

/** The place of each field in the static table, and of each name whatever its value. */
const staticFields = new Map<string, number>();
const staticNames = new Map<string, number>();
STATIC_TABLE.forEach(([name, value], at) => {
  if (!staticNames.has(name)) staticNames.set(name, at + 1);
  if (value !== '') staticFields.set(key(name, value), at + 1);
});

function key(name: string, value: string): string {
  return `${name}\0${value}`;
}

/**
 * Encodes the header blocks of one direction of one connection (RFC 7541). Fields that come with every call enter the
 * table until it is full, and never leave it: from the second call on such a field is one byte, and a list of them is
 * encoded only once.
 */
export class HpackEncoder {
  /** The number of each field's insertion, counted from 0. */
  readonly #insertions = new Map<string, number>();
  #tableBytes = 0;
  #tableBytesMax = TABLE_BYTES_MAX;
  #mustEmptyTable = false;
  /**
   * The encoded blocks of lists of which every field is in a table. They are valid until the next insertion moves their
   * indices.
   */
  #blocks = new WeakMap<readonly Field[], Buffer>();

  /**
   * Applies the peer's SETTINGS_HEADER_TABLE_SIZE, in bytes. For a size below the default, the table is not used any
   * more.
   */
  limitTable(sizeBytes: number): void {
    if (sizeBytes >= this.#tableBytesMax) return;
    this.#tableBytesMax = 0;
    this.#mustEmptyTable = true;
    this.#insertions.clear();
    this.#blocks = new WeakMap();
  }

  /**
   * Encodes one header block. Pass the same list as `constant` for calls with the same fields, and never change it; the
   * fields of `varying` enter no table.
   */
  encode(constant: readonly Field[], varying: readonly Field[]): Buffer {
    const known = this.#blocks.get(constant);
    if (known !== undefined && varying.length === 0) return known;
    const bytes: number[] = [];
    if (this.#mustEmptyTable) {
      // RFC 9113, 4.3.1: the first block after the acknowledgement must announce the new size.
      this.#mustEmptyTable = false;
      pushInteger(bytes, RESIZE, 0);
    }
    const before = this.#insertions.size;
    if (known === undefined) for (const [name, value] of constant) this.#pushConstant(bytes, name, value);
    const constantBytes = bytes.length;
    for (const [name, value] of varying) pushLiteral(bytes, LITERAL, name, value);
    if (known !== undefined) return Buffer.concat([known, Buffer.from(bytes)]);
    const block = Buffer.from(bytes);
    if (this.#insertions.size > before) this.#blocks = new WeakMap();
    else if (this.#tableBytesMax > 0) this.#blocks.set(constant, block.subarray(0, constantBytes));
    return block;
  }

  #pushConstant(bytes: number[], name: string, value: string): void {
    const field = key(name, value);
    const fixed = staticFields.get(field);
    if (fixed !== undefined) {
      pushInteger(bytes, INDEXED, fixed);
      return;
    }
    const insertion = this.#insertions.get(field);
    if (insertion !== undefined) {
      // The newest entry has the lowest index.
      pushInteger(bytes, INDEXED, STATIC_TABLE.length + this.#insertions.size - insertion);
      return;
    }
    const sizeBytes = name.length + value.length + ENTRY_OVERHEAD_BYTES;
    if (this.#tableBytes + sizeBytes > this.#tableBytesMax) {
      pushLiteral(bytes, LITERAL, name, value);
      return;
    }
    this.#tableBytes += sizeBytes;
    this.#insertions.set(field, this.#insertions.size);
    pushLiteral(bytes, LITERAL_INDEXED, name, value);
  }
}

function pushLiteral(
  bytes: number[],
  representation: readonly [number, number],
  name: string,
  value: string,
): void {
  const index = staticNames.get(name) ?? 0;
  pushInteger(bytes, representation, index);
  if (index === 0) pushString(bytes, name);
  pushString(bytes, value);
}

function pushString(bytes: number[], text: string): void {
  pushInteger(bytes, STRING, text.length);
  for (let at = 0; at < text.length; at++) bytes.push(text.charCodeAt(at) & 0xff);
}

/** Appends an integer with a prefix (RFC 7541, 5.1). */
function pushInteger(bytes: number[], [flags, prefixMax]: readonly [number, number], value: number): void {
  if (value < prefixMax) {
    bytes.push(flags | value);
    return;
  }
  bytes.push(flags | prefixMax);
  let rest = value - prefixMax;
  for (; rest >= 0x80; rest >>>= 7) bytes.push((rest & 0x7f) | 0x80);
  bytes.push(rest);
}
