import { membership } from './append-entries.js';
import { JsonError, JsonReader } from './json-reader.js';
import { membershipJson, type WolfMembership } from './membership.js';
import { struct, u64 } from './serde.js';

/**
 * The head of memstore's MemStoreSnapshot, the JSON document that the chunks of InstallSnapshot make up. The state
 * itself, its `data`, is never held in whole.
 */
export interface SnapshotDocument {
  readonly index: number;
  readonly term: number;
  /** Not to be relied on: memstore names only itself from its second compaction on. */
  readonly membership: WolfMembership;
}

/** A part of the document, as InstallSnapshot sends it. */
export interface SnapshotChunk {
  /** Bytes of the document before this chunk. */
  readonly offset: number;
  readonly data: Buffer;
  /** This is the last chunk. */
  readonly done: boolean;
}

/** Real peers send chunks of 3 MiB. A third of that is written in a few milliseconds of the event loop. */
const CHUNK_BYTES = 1024 * 1024;
/** The most that one byte takes: three digits and a comma. */
const BYTE_TEXT_MAX = 4;
/** The document but for its data: the head, and keys that nobody knows. */
const REST_BYTES_MAX = 64 * 1024;

const TEXT_OF_BYTE = Array.from({ length: 256 }, (_, byte) => Buffer.from(String(byte)));

/**
 * Writes the document as serde_json prints it, in chunks of `chunkBytes` and a last one of at most so many, from a state
 * that comes piece by piece. It holds no more than a chunk.
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
  /** Bytes beyond a full chunk begin the next one. */
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

/** Where in the array `data` the reader is. */
enum Expecting {
  /** A number or the end: the array has just begun. */
  First,
  Number,
  /** More digits, a comma or the end. */
  Digits,
  /** A comma or the end. */
  Comma,
}

const document = struct<SnapshotDocument & { readonly data: readonly never[] }>('a snapshot', {
  index: u64,
  term: u64,
  membership,
  // Its numbers were taken out as they came.
  data: (json) => json.array(() => json.fail('data is not where it belongs')),
});

/**
 * Reads the document as its bytes come: the numbers of `data` become the bytes of the state at once, and what is around
 * them is kept, to be read at the end as serde reads it. Memory is bounded by the piece that is pushed.
 */
export class SnapshotDocumentReader {
  /** The document without the numbers of `data`. */
  readonly #rest: Buffer[] = [];
  #restBytes = 0;
  #readBytes = 0;
  #depth = 0;
  #isInString = false;
  #isEscaped = false;
  /** The text that began last at depth 1, within its quotes: before a value of an object it is the key. */
  #text: number[] = [];
  #isArrayForm = false;
  #commas = 0;
  /** Set within `data`. */
  #expecting: Expecting | undefined;
  #number = 0;

  /** The bytes of the state that `piece` completes. Throws JsonError, after which the reader is of no use. */
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

  /** The document is whole. Throws JsonError when it is not, or is no snapshot. */
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

  /** Passes over the text around the numbers of `data`. Gives the place where they begin, or the end of the piece. */
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
    // A copy: the piece belongs to whoever pushed it, and is large.
    this.#rest.push(Buffer.from(piece.subarray(start, end)));
  }

  #fail(reason: string, at: number): never {
    throw new JsonError(reason, this.#readBytes + at);
  }
}

/** `data` with every letter escaped. */
const KEY_BYTES_MAX = 24;
