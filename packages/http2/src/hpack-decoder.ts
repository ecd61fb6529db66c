import { headerKind } from './header-kind.js';
import { STATIC_TABLE } from './hpack-static-table.js';
import { decodeHuffman } from './huffman.js';

interface Field {
  readonly name: string;
  readonly value: string;
  /** One of `HeaderKind`, found once for each entry of a table. */
  readonly kind: number;
}

/** Receives a field of a header block. `kind` is one of `HeaderKind`. */
export type FieldVisitor = (name: string, value: string, kind: number) => void;

const STATIC_FIELDS: readonly Field[] = STATIC_TABLE.map(([name, value]) => ({
  name,
  value,
  kind: headerKind(name, value),
}));

/** Bytes that an entry counts beyond its strings (RFC 7541, 4.1). */
const ENTRY_OVERHEAD_BYTES = 32;

/**
 * Decodes header blocks of one direction of one connection (RFC 7541). Blocks must be given in the order they
 * arrived, since each may change the dynamic table.
 */
export class HpackDecoder {
  readonly #tableSizeBytesLimit: number;
  /** The dynamic table, oldest first: index 62 is the last element. */
  readonly #dynamic: Field[] = [];
  #tableSizeBytes = 0;
  #tableSizeBytesMax: number;
  #tableVersion = 0;
  #bytes: Buffer = Buffer.alloc(0);
  #position = 0;
  #end = 0;

  /** `tableSizeBytesLimit` is the SETTINGS_HEADER_TABLE_SIZE that we sent; 4096 when we sent none. */
  constructor(tableSizeBytesLimit = 4096) {
    this.#tableSizeBytesLimit = tableSizeBytesLimit;
    this.#tableSizeBytesMax = tableSizeBytesLimit;
  }

  /** Changes whenever the table does, since the meaning of later blocks depends on it. */
  get tableVersion(): number {
    return this.#tableVersion;
  }

  /**
   * Calls `visit` for each field of the block `bytes[start, end)`.
   *
   * @throws Error on anything malformed; the connection is then unusable (RFC 7541, 2.2).
   */
  decode(bytes: Buffer, start: number, end: number, visit: FieldVisitor): void {
    this.#bytes = bytes;
    this.#position = start;
    this.#end = end;
    let hasFields = false;
    while (this.#position < this.#end) {
      const first = bytes[this.#position]!;
      if (first >= 0x20 && first < 0x40) {
        if (hasFields) throw new Error('HPACK: the table is resized inside a header block');
        this.#resize(this.#integer(5));
        continue;
      }
      hasFields = true;
      if (first >= 0x80) {
        const field = this.#field(this.#integer(7));
        visit(field.name, field.value, field.kind);
      } else if (first >= 0x40) {
        const field = this.#literal(6);
        this.#insert(field);
        visit(field.name, field.value, field.kind);
      } else {
        const field = this.#literal(4);
        visit(field.name, field.value, field.kind);
      }
    }
  }

  #byte(): number {
    if (this.#position >= this.#end) throw new Error('HPACK: truncated header block');
    return this.#bytes[this.#position++]!;
  }

  /** Reads an integer whose first byte has `prefixBits` bits left for it (RFC 7541, 5.1). */
  #integer(prefixBits: number): number {
    const prefixMax = (1 << prefixBits) - 1;
    let value = this.#byte() & prefixMax;
    if (value < prefixMax) return value;
    for (let shift = 0; shift <= 21; shift += 7) {
      const byte = this.#byte();
      value += (byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    throw new Error('HPACK: integer too large');
  }

  #string(): string {
    if (this.#position >= this.#end) throw new Error('HPACK: truncated header block');
    const isHuffman = this.#bytes[this.#position]! >= 0x80;
    const length = this.#integer(7);
    const start = this.#position;
    if (start + length > this.#end) throw new Error('HPACK: truncated string');
    this.#position = start + length;
    return isHuffman
      ? decodeHuffman(this.#bytes, start, start + length)
      : this.#bytes.toString('latin1', start, start + length);
  }

  #literal(prefixBits: number): Field {
    const nameIndex = this.#integer(prefixBits);
    const name = nameIndex === 0 ? this.#string() : this.#field(nameIndex).name;
    const value = this.#string();
    return { name, value, kind: headerKind(name, value) };
  }

  #field(index: number): Field {
    const field =
      index <= STATIC_FIELDS.length
        ? STATIC_FIELDS[index - 1]
        : this.#dynamic[this.#dynamic.length - (index - STATIC_FIELDS.length)];
    if (field === undefined) throw new Error(`HPACK: no table entry ${index}`);
    return field;
  }

  #insert(field: Field): void {
    this.#tableVersion += 1;
    this.#dynamic.push(field);
    this.#tableSizeBytes += sizeBytes(field);
    this.#evict();
  }

  #resize(sizeBytesMax: number): void {
    if (sizeBytesMax > this.#tableSizeBytesLimit) throw new Error('HPACK: table size above the limit');
    this.#tableVersion += 1;
    this.#tableSizeBytesMax = sizeBytesMax;
    this.#evict();
  }

  #evict(): void {
    while (this.#tableSizeBytes > this.#tableSizeBytesMax) {
      this.#tableSizeBytes -= sizeBytes(this.#dynamic.shift()!);
    }
  }
}

function sizeBytes(field: Field): number {
  return field.name.length + field.value.length + ENTRY_OVERHEAD_BYTES;
}
