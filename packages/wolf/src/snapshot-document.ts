import { membership } from './append-entries.js';
import { JsonError, JsonReader } from './json-reader.js';
import { membershipJson, type WolfMembership } from './membership.js';
import { struct, u64 } from './serde.js';

/**
 * The head of memstore's MemStoreSnapshot, the JSON document that the chunks of InstallSnapshot form. The state itself,
 * its `data`, is never held as a whole.
 */
export interface SnapshotDocument {
  readonly index: number;
  readonly term: number;
  /** The members; unreliable, since memstore names only itself from its second compaction on. */
  readonly membership: WolfMembership;
}

/** A part of the document, as InstallSnapshot sends it. */
export interface SnapshotChunk {
  /** The number of bytes of the document before this chunk. */
  readonly offset: number;
  readonly data: Buffer;
  /** True for the last chunk. */
  readonly done: boolean;
}

/** Bytes of a chunk. Real peers send 3 MiB; writing a third of that takes a few milliseconds of the event loop. */
const CHUNK_BYTES = 1024 * 1024;
/** The most characters that one byte of the state takes: three digits and a comma. */
const BYTE_TEXT_MAX = 4;
/** The most bytes of the document beside its data: the head, and unknown keys. */
const REST_BYTES_MAX = 64 * 1024;

const TEXT_OF_BYTE = Array.from({ length: 256 }, (_, byte) => Buffer.from(String(byte)));

/**
 * Writes the document as serde_json prints it, from a state that comes piece by piece. Each chunk has `chunkBytes`
 * bytes, the last one at most as many. It holds no more than a chunk.
 */
export async function* snapshotChunks(
  { index, term, membership }: SnapshotDocument,
  state: AsyncIterable<Buffer>,
  chunkBytes = CHUNK_BYTES,
): AsyncGenerator<SnapshotChunk, void, undefined> {
  const head = Buffer.from(
    `{"index":${index},"term":${term},"membership":${membershipJson(membership)},"data":[`,
  );
  const roomBytes = Math.max(chunkBytes, head.length) + BYTE_TEXT_MAX;
  let offset = 0;
  let chunk = Buffer.allocUnsafe(roomBytes);
  let length = head.copy(chunk);
  /** Returns a full chunk; the bytes beyond it begin the next one. */
  const take = (): SnapshotChunk => {
    const full = { offset, data: chunk.subarray(0, chunkBytes), done: false };
    const rest = chunk.subarray(chunkBytes, length);
    offset += chunkBytes;
    chunk = Buffer.allocUnsafe(roomBytes);
    length = rest.copy(chunk);
    return full;
  };
  let isFirst = true;
  for await (const piece of state) {
    for (const byte of piece) {
      if (!isFirst) chunk[length++] = COMMA;
      isFirst = false;
      const text = TEXT_OF_BYTE[byte]!;
      for (let at = 0; at < text.length; at++) chunk[length++] = text[at]!;
      while (length >= chunkBytes) yield take();
    }
  }
  length += chunk.write(']}', length, 'latin1');
  while (length > chunkBytes) yield take();
  yield { offset, data: chunk.subarray(0, length), done: true };
}

const COMMA = 0x2c;
const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const OPEN_ARRAY = 0x5b;
const CLOSE_ARRAY = 0x5d;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;
const ZERO = 0x30;
const NINE = 0x39;

const isSpace = (byte: number): boolean => byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09;

/** The place of `data` among the fields, for the array form of the document. */
const DATA_PLACE = 3;
const DATA = 'data';

/** The state of the reader within the array `data`. */
enum Expecting {
  /** A number or the end is expected, since the array has just begun. */
  First,
  Number,
  /** More digits, a comma or the end are expected. */
  Digits,
  /** A comma or the end is expected. */
  Comma,
}

const document = struct<SnapshotDocument & { readonly data: readonly never[] }>('a snapshot', {
  index: u64,
  term: u64,
  membership,
  // The numbers were removed as they came.
  data: (json) => json.array(() => json.fail('data is not where it belongs')),
});

/**
 * Reads the document as its bytes come. It turns the numbers of `data` into the bytes of the state at once, and keeps
 * the rest, which it reads at the end as serde does. It takes memory in proportion to the pushed piece.
 */
export class SnapshotDocumentReader {
  /** The document without the numbers of `data`. */
  readonly #rest: Buffer[] = [];
  #restBytes = 0;
  #readBytes = 0;
  #depth = 0;
  #isInString = false;
  #isEscaped = false;
  /** The latest text at depth 1, within its quotes; before a value of an object it is the key. */
  #text: number[] = [];
  #isArrayForm = false;
  #commas = 0;
  /** The state within `data`; undefined outside. */
  #expecting: Expecting | undefined;
  #number = 0;

  /**
   * Reads a piece and returns the bytes of the state that it completes. Throws JsonError, after which the reader is
   * unusable.
   */
  push(piece: Buffer): Buffer {
    const state = Buffer.allocUnsafe((piece.length >> 1) + 1);
    let stateBytes = 0;
    let at = 0;
    while (at < piece.length) {
      if (this.#expecting === undefined) {
        const end = this.#scan(piece, at);
        this.#keep(piece, at, end);
        at = end;
        continue;
      }
      let expecting: Expecting = this.#expecting;
      let number = this.#number;
      for (; at < piece.length; at++) {
        const byte = piece[at]!;
        if (byte >= ZERO && byte <= NINE) {
          const digit = byte - ZERO;
          if (expecting === Expecting.Comma) this.#fail('expected , or ]', at);
          if (expecting === Expecting.Digits) {
            if (number === 0) this.#fail('a number has a leading zero', at);
            number = number * 10 + digit;
            if (number > 255) this.#fail('data has a number above 255', at);
          } else number = digit;
          expecting = Expecting.Digits;
        } else if (byte === COMMA) {
          if (expecting !== Expecting.Digits && expecting !== Expecting.Comma)
            this.#fail('expected a byte', at);
          state[stateBytes++] = number;
          expecting = Expecting.Number;
        } else if (byte === CLOSE_ARRAY) {
          if (expecting === Expecting.Number) this.#fail('expected a byte', at);
          if (expecting !== Expecting.First) state[stateBytes++] = number;
          // The bracket belongs to the rest.
          this.#expecting = undefined;
          break;
        } else if (isSpace(byte)) {
          if (expecting === Expecting.Digits) expecting = Expecting.Comma;
        } else this.#fail('expected a byte', at);
      }
      if (at < piece.length) {
        this.#keep(piece, at, at + 1);
        at++;
      } else {
        this.#expecting = expecting;
        this.#number = number;
      }
    }
    this.#readBytes += piece.length;
    return state.subarray(0, stateBytes);
  }

  /** Ends the document and returns its head. Throws JsonError when the document is incomplete or not a snapshot. */
  end(): SnapshotDocument {
    if (this.#expecting !== undefined) this.#fail('data does not end', 0);
    let text: string;
    try {
      text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(Buffer.concat(this.#rest));
    } catch {
      return this.#fail('a text is not UTF-8', 0);
    }
    const { index, term, membership } = new JsonReader(text).whole(document);
    return { index, term, membership };
  }

  /** Scans the part around the numbers of `data`. Returns the position at which they begin, or the end of the piece. */
  #scan(piece: Buffer, from: number): number {
    for (let at = from; at < piece.length; at++) {
      const byte = piece[at]!;
      if (this.#isInString) {
        if (this.#isEscaped) this.#isEscaped = false;
        else if (byte === BACKSLASH) this.#isEscaped = true;
        else if (byte === QUOTE) this.#isInString = false;
        if (this.#isInString && this.#depth === 1 && this.#text.length <= KEY_BYTES_MAX)
          this.#text.push(byte);
        continue;
      }
      switch (byte) {
        case QUOTE:
          this.#isInString = true;
          if (this.#depth === 1) this.#text = [];
          break;
        case OPEN_ARRAY:
        case OPEN_OBJECT:
          if (this.#depth === 0) this.#isArrayForm = byte === OPEN_ARRAY;
          else if (byte === OPEN_ARRAY && this.#depth === 1 && this.#isAtData()) {
            this.#expecting = Expecting.First;
            return at + 1;
          }
          this.#depth++;
          break;
        case CLOSE_ARRAY:
        case CLOSE_OBJECT:
          this.#depth--;
          break;
        case COMMA:
          if (this.#depth === 1) this.#commas++;
          break;
      }
    }
    return piece.length;
  }

  #isAtData(): boolean {
    if (this.#isArrayForm) return this.#commas === DATA_PLACE;
    const raw = Buffer.from(this.#text).toString();
    if (raw === DATA) return true;
    try {
      return JSON.parse(`"${raw}"`) === DATA;
    } catch {
      return false;
    }
  }

  #keep(piece: Buffer, start: number, end: number): void {
    this.#restBytes += end - start;
    if (this.#restBytes > REST_BYTES_MAX) this.#fail('it has more than 64 KiB beside its data', start);
    // Copied, since the piece is large and belongs to the caller.
    this.#rest.push(Buffer.from(piece.subarray(start, end)));
  }

  #fail(reason: string, at: number): never {
    throw new JsonError(reason, this.#readBytes + at);
  }
}

/** The length of the key `data` with every letter escaped, in bytes. */
const KEY_BYTES_MAX = 24;
