/** The encoding in which a client of the agent wants the bytes of a stream (docs/operations-protocols.md §4). */
export type StreamEncodingName = 'uuencode' | 'base64' | 'octets';

/** An encoding with the client's block size, in bytes. */
export interface StreamEncoding {
  readonly name: StreamEncodingName;
  /** Bytes of the stream that the client reads at a time: at least `blockBytesMin[name]`. */
  readonly blockBytes: number;
}

/** Encodes a stream piece by piece. Its output does not depend on how the stream was cut into pieces. */
export interface StreamEncoder {
  /** Takes the next bytes and returns the encoded bytes that are ready, perhaps none. */
  push(bytes: Buffer): Buffer;
  /** Returns the encoded rest, as a shorter block or line. Nothing may be pushed afterwards. */
  end(): Buffer;
}

/** The block size in bytes for a client that names none. */
export const BLOCK_BYTES_DEFAULT = 10_240;
/**
 * The least block size by encoding, in bytes. With a smaller one the real client rejects every block, reads nothing, or
 * ends at a block that consists of a 0.
 */
export const blockBytesMin: Readonly<Record<StreamEncodingName, number>> = {
  uuencode: 5,
  base64: 57,
  octets: 2,
};

/** The largest block of uuencode that is made, in bytes: a block is held until its length is known. */
const UU_BLOCK_BYTES_MAX = 256 * 1024;
/** The real client accepts blocks of up to this many times its block size. */
const UU_GROWTH_MAX = 1.38;
const UU_LINE_BYTES = 45;
const UU_LENGTH_BYTES = 4;
const BASE64_LINE_BYTES = 57;
const LINEFEED = 0x0a;
const NOTHING = Buffer.alloc(0);
/**
 * The character for each value of six bits: the value added to the code of the space, and a grave accent for 0, as in
 * Perl's pack.
 */
const UU_CHARACTERS = Uint8Array.from({ length: 64 }, (_, bits) => (bits === 0 ? 0x60 : bits + 0x20));

/** Makes an encoder for one stream. */
export function makeEncoder({ name, blockBytes }: StreamEncoding): StreamEncoder {
  if (name === 'uuencode') return new BlockEncoder(new UuencodeBlocks(blockBytes));
  if (name === 'base64') return new BlockEncoder(new Base64Lines());
  return { push: (bytes) => bytes, end: () => NOTHING };
}

/** An encoding that encodes each block of a stream by itself. */
interface BlockFormat {
  /** Bytes of every block but the last, before encoding. */
  readonly blockBytes: number;
  encodedLength(blockBytes: number): number;
  /** Encodes `source` from `start` to `end` into `target` at `at`. Returns the place after it. */
  write(source: Buffer, start: number, end: number, target: Buffer, at: number): number;
}

/** Gathers a stream into blocks and encodes them. It holds less than one block. */
class BlockEncoder implements StreamEncoder {
  readonly #format: BlockFormat;
  #held: Buffer[] = [];
  #heldBytes = 0;

  constructor(format: BlockFormat) {
    this.#format = format;
  }

  push(bytes: Buffer): Buffer {
    const { blockBytes } = this.#format;
    this.#held.push(bytes);
    this.#heldBytes += bytes.length;
    const blocks = Math.floor(this.#heldBytes / blockBytes);
    if (blocks === 0) return NOTHING;
    const source = this.#take();
    const target = Buffer.allocUnsafe(blocks * this.#format.encodedLength(blockBytes));
    let at = 0;
    let start = 0;
    for (; start + blockBytes <= source.length; start += blockBytes) {
      at = this.#format.write(source, start, start + blockBytes, target, at);
    }
    if (start < source.length) {
      // Copied, so that the buffer that it came in can be freed.
      this.#held = [Buffer.from(source.subarray(start))];
      this.#heldBytes = source.length - start;
    }
    return target;
  }

  end(): Buffer {
    if (this.#heldBytes === 0) return NOTHING;
    const source = this.#take();
    const target = Buffer.allocUnsafe(this.#format.encodedLength(source.length));
    this.#format.write(source, 0, source.length, target, 0);
    return target;
  }

  #take(): Buffer {
    const source = this.#held.length === 1 ? this.#held[0]! : Buffer.concat(this.#held);
    this.#held = [];
    this.#heldBytes = 0;
    return source;
  }
}

/** Writes blocks of uuencode without a header, each after its length in four bytes, big-endian. */
class UuencodeBlocks implements BlockFormat {
  readonly blockBytes: number;

  constructor(clientBlockBytes: number) {
    let bytes = Math.min(clientBlockBytes, UU_BLOCK_BYTES_MAX);
    while (uuencodedLength(bytes) > UU_GROWTH_MAX * clientBlockBytes) bytes--;
    this.blockBytes = bytes;
  }

  encodedLength(blockBytes: number): number {
    return UU_LENGTH_BYTES + uuencodedLength(blockBytes);
  }

  write(source: Buffer, start: number, end: number, target: Buffer, at: number): number {
    let place = target.writeUInt32BE(uuencodedLength(end - start), at);
    for (let from = start; from < end; from += UU_LINE_BYTES) {
      place = writeUuLine(source, from, Math.min(from + UU_LINE_BYTES, end), target, place);
    }
    return place;
  }
}

function uuencodedLength(bytes: number): number {
  const rest = bytes % UU_LINE_BYTES;
  const lineLength = (lineBytes: number): number => 2 + 4 * Math.ceil(lineBytes / 3);
  const whole = ((bytes - rest) / UU_LINE_BYTES) * lineLength(UU_LINE_BYTES);
  return whole + (rest > 0 ? lineLength(rest) : 0);
}

/**
 * Writes one line: its first character says how many bytes it holds, then each group of three bytes becomes four
 * characters. The last group is filled up with zeros.
 */
function writeUuLine(source: Buffer, start: number, end: number, target: Buffer, at: number): number {
  let place = at;
  target[place++] = UU_CHARACTERS[end - start]!;
  for (let from = start; from < end; from += 3) {
    const second = from + 1 < end ? source[from + 1]! : 0;
    const third = from + 2 < end ? source[from + 2]! : 0;
    const bits = (source[from]! << 16) | (second << 8) | third;
    target[place++] = UU_CHARACTERS[bits >> 18]!;
    target[place++] = UU_CHARACTERS[(bits >> 12) & 0x3f]!;
    target[place++] = UU_CHARACTERS[(bits >> 6) & 0x3f]!;
    target[place++] = UU_CHARACTERS[bits & 0x3f]!;
  }
  target[place++] = LINEFEED;
  return place;
}

/**
 * Writes lines of 76 characters. Each line is a block, so the client's block size shows nowhere: the client reads a
 * number of lines at a time.
 */
class Base64Lines implements BlockFormat {
  readonly blockBytes = BASE64_LINE_BYTES;

  encodedLength(blockBytes: number): number {
    return 4 * Math.ceil(blockBytes / 3) + 1;
  }

  write(source: Buffer, start: number, end: number, target: Buffer, at: number): number {
    const place = at + target.write(source.toString('base64', start, end), at, 'latin1');
    target[place] = LINEFEED;
    return place + 1;
  }
}
