import { HeaderKind } from './header-kind.js';
import { HpackDecoder } from './hpack-decoder.js';

/** What the fields of a request's headers may take, as SETTINGS_MAX_HEADER_LIST_SIZE counts them. */
export const HEADER_LIST_BYTES_MAX = 64 * 1024;
const FIELD_OVERHEAD_BYTES = 32;
/** A block that is longer is decoded each time: it is no small request's, and is not worth its memory. */
const KEPT_BLOCK_BYTES_MAX = 1024;
/** A client calls few methods at a time; each has a block of its own. */
const KEPT_BLOCKS_MAX = 4;

/** The fields of a header block, and what they mean to a server of HTTP/2 (RFC 9113, 8.2 and 8.3). */
export class HeaderList {
  /** Names and values in turn, as received; names are in lower case. Nothing beyond `HEADER_LIST_BYTES_MAX`. */
  readonly headers: string[] = [];
  /** Of all fields, as SETTINGS_MAX_HEADER_LIST_SIZE counts them. */
  sizeBytes = 0;
  /** The pseudo-header fields that it has, as bits of `HeaderKind`. */
  pseudoFields = 0;
  isMalformed = false;
  /** -1 where nothing is said of it. */
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
      // Pseudo-header fields come first, and each once (RFC 9113, 8.3).
      if (kind === HeaderKind.malformed || this.#hasRegular || (this.pseudoFields & kind) !== 0)
        this.isMalformed = true;
      this.pseudoFields |= kind;
    }
  }
}

/** A block that left the table as it was, and what it said. */
interface KeptBlock {
  readonly bytes: Buffer;
  readonly tableVersion: number;
  readonly list: HeaderList;
}

/**
 * Reads the header blocks of one direction of one connection, in the order in which they come. A client's calls of one
 * method have the same block again and again, once its fields are in the table: bytes that are equal, and mean the same
 * as long as the table is the same, are decoded once.
 */
export class HeaderListReader {
  readonly #decoder = new HpackDecoder();
  readonly #kept: KeptBlock[] = [];
  /** Which of them makes room next. */
  #next = 0;

  /**
   * The fields of the block `bytes[start, end)`. Lists are shared, and must stay as they are.
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
