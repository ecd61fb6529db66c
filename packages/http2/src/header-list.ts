import { HeaderKind } from './header-kind.js';
import { HpackDecoder } from './hpack-decoder.js';

/** The most bytes of a request's header fields, counted as for SETTINGS_MAX_HEADER_LIST_SIZE. */
export const HEADER_LIST_BYTES_MAX = 64 * 1024;
const FIELD_OVERHEAD_BYTES = 32;
/** The longest block that is kept, in bytes. A longer one is not worth its memory and is decoded each time. */
const KEPT_BLOCK_BYTES_MAX = 1024;
/** The number of kept blocks: a client calls few methods at the same time, and each has its own block. */
const KEPT_BLOCKS_MAX = 4;

/** The fields of a header block, checked by the rules of HTTP/2 for requests (RFC 9113, 8.2 and 8.3). */
export class HeaderList {
  /**
   * Names and values in turn, as received; names are in lower case. Fields beyond `HEADER_LIST_BYTES_MAX` are dropped.
   */
  readonly headers: string[] = [];
  /** The size of all fields, counted as for SETTINGS_MAX_HEADER_LIST_SIZE. */
  sizeBytes = 0;
  /** The pseudo-header fields that have come, as bits of `HeaderKind`. */
  pseudoFields = 0;
  isMalformed = false;
  /** The value of content-length; -1 without one. */
  contentLengthBytes = -1;
  #hasRegular = false;

  add(name: string, value: string, kind: number): void {
    this.sizeBytes += name.length + value.length + FIELD_OVERHEAD_BYTES;
    if (this.sizeBytes <= HEADER_LIST_BYTES_MAX) this.headers.push(name, value);
    if (kind === HeaderKind.regular) {
      this.#hasRegular = true;
    } else if (kind === HeaderKind.contentLength) {
      this.#hasRegular = true;
      const lengthBytes = /^\d{1,15}$/u.test(value) ? Number(value) : -1;
      if (lengthBytes < 0 || (this.contentLengthBytes >= 0 && lengthBytes !== this.contentLengthBytes)) {
        this.isMalformed = true;
      }
      this.contentLengthBytes = lengthBytes;
    } else {
      // Pseudo-header fields come first, and each only once (RFC 9113, 8.3).
      if (kind === HeaderKind.malformed || this.#hasRegular || (this.pseudoFields & kind) !== 0)
        this.isMalformed = true;
      this.pseudoFields |= kind;
    }
  }
}

/** A block that left the table unchanged, with its decoded fields. */
interface KeptBlock {
  readonly bytes: Buffer;
  readonly tableVersion: number;
  readonly list: HeaderList;
}

/**
 * Reads the header blocks of one direction of one connection, in the order in which they come. Once its fields are in
 * the table, a client sends the same block for each call of a method. Equal bytes mean the same as long as the table is
 * unchanged, so they are decoded only once.
 */
export class HeaderListReader {
  readonly #decoder = new HpackDecoder();
  readonly #kept: KeptBlock[] = [];
  /** The index of the kept block that is replaced next. */
  #next = 0;

  /**
   * Returns the fields of the block `bytes[start, end)`. Lists are shared and must not be changed.
   *
   * @throws Error on anything malformed; the connection is then unusable (RFC 7541, 2.2).
   */
  read(bytes: Buffer, start: number, end: number): HeaderList {
    const decoder = this.#decoder;
    const length = end - start;
    for (const kept of this.#kept) {
      if (kept.bytes.length !== length || kept.tableVersion !== decoder.tableVersion) continue;
      if (kept.bytes.compare(bytes, start, end) === 0) return kept.list;
    }
    const { tableVersion } = decoder;
    const list = new HeaderList();
    decoder.decode(bytes, start, end, (name, value, kind) => list.add(name, value, kind));
    if (decoder.tableVersion === tableVersion && length <= KEPT_BLOCK_BYTES_MAX) {
      this.#kept[this.#next] = { bytes: Buffer.from(bytes.subarray(start, end)), tableVersion, list };
      this.#next = (this.#next + 1) % KEPT_BLOCKS_MAX;
    }
    return list;
  }
}
