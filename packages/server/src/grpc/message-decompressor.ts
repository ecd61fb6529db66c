import * as zlib from 'node:zlib';
import { MessageTooLargeError } from '@coxswain/http2';
import { Semaphore } from '@coxswain/runtime';
import { FrameDecompressor, FramesTooLargeError } from '@coxswain/stream';
import { transportErrors } from './errors.js';
import { zstdFrameBytes } from './zstd-frame.js';

/**
 * The number of messages that are decompressed at a time in zlib or zstd; others wait. Each takes memory up to its
 * limit for the result, and 8 MiB for the window of zstd, which are not yet in the node's account of held memory.
 */
const RUNNING_MAX = 4;
/** The largest window of zstd, as a power of two: the 8 MiB that every decoder should take (RFC 8878, 3.1.1.1.2). */
const ZSTD_WINDOW_LOG_MAX = 23;
/** The most zstd frames that a message may consist of; encoders for gRPC make one. */
const ZSTD_FRAMES_MAX = 16;

type Callback<Result> = (error: NodeJS.ErrnoException | null, result: Result) => void;
type Zlib = (bytes: Buffer, options: zlib.ZlibOptions, done: Callback<Buffer>) => void;

/** Node has zstd from 22.15 and 23.8 on. */
const { zstdDecompress } = zlib as {
  readonly zstdDecompress?: (bytes: Buffer, options: object, done: Callback<Buffer>) => void;
};
const { ZSTD_d_windowLogMax: zstdWindowLogMax } = zlib.constants as { readonly ZSTD_d_windowLogMax?: number };

/**
 * Returns the plain message of a compressed one. Throws, or rejects with, MessageTooLargeError above the size limit,
 * and INTERNAL for bytes that are damaged or incomplete.
 */
type Decompress = (bytes: Buffer) => Buffer | Promise<Buffer>;

/** Decompresses messages, within a limit of size. */
export class MessageDecompressor {
  readonly #messageBytesMax: number;
  readonly #byEncoding = new Map<string, Decompress>();
  readonly #turns = new Semaphore(RUNNING_MAX);

  constructor(messageBytesMax: number) {
    this.#messageBytesMax = messageBytesMax;
    this.#byEncoding.set('identity', () => {
      throw transportErrors.compressionNotNamed();
    });
    this.#byEncoding.set('deflate', (bytes) => this.#run(() => this.#inflate(zlib.inflate, bytes)));
    this.#byEncoding.set('gzip', (bytes) => this.#run(() => this.#inflate(zlib.gunzip, bytes)));
    this.#byEncoding.set('snappy', (bytes) => this.#unsnap(bytes));
    if (zstdDecompress === undefined) return;
    this.#byEncoding.set('zstd', (bytes) => this.#run(() => this.#decompressZstd(bytes)));
  }

  /**
   * Returns the function that decompresses an encoding; undefined when there is none. `encoding` is the request's
   * grpc-encoding.
   */
  of(encoding: string): Decompress | undefined {
    return this.#byEncoding.get(encoding);
  }

  /** All encodings for which `of` returns a function, as in grpc-accept-encoding. */
  get acceptedEncodings(): string {
    return [...this.#byEncoding.keys()].join(',');
  }

  async #run(decompress: () => Promise<Buffer>): Promise<Buffer> {
    try {
      return await this.#turns.take(decompress);
    } catch (error) {
      throw this.#toRefusal(error as NodeJS.ErrnoException);
    }
  }

  #inflate(inflate: Zlib, bytes: Buffer): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      inflate(bytes, { maxOutputLength: this.#messageBytesMax }, (error, plain) => {
        if (error === null) resolve(plain);
        else reject(error);
      });
    });
  }

  /** Decompresses frame by frame, since Node ends after the first one, without an error, whatever follows it. */
  async #decompressZstd(bytes: Buffer): Promise<Buffer> {
    const parts: Buffer[] = [];
    let leftBytes = this.#messageBytesMax;
    let rest = bytes;
    do {
      const frameBytes = zstdFrameBytes(rest);
      if (frameBytes === undefined || parts.length === ZSTD_FRAMES_MAX)
        throw transportErrors.decompressionFailed();
      const plain = await decompressFrame(rest.subarray(0, frameBytes), leftBytes);
      parts.push(plain);
      leftBytes -= plain.length;
      rest = rest.subarray(frameBytes);
      if (leftBytes < 0) throw this.#tooLarge();
    } while (rest.length > 0);
    return parts.length === 1 ? parts[0]! : Buffer.concat(parts);
  }

  /** Decompresses snappy's framed format, in which Regatta's own clients send by default. */
  #unsnap(bytes: Buffer): Buffer {
    try {
      const decompressor = new FrameDecompressor(this.#messageBytesMax);
      const plain = decompressor.update(bytes);
      decompressor.end();
      return plain;
    } catch (error) {
      throw error instanceof FramesTooLargeError ? this.#tooLarge() : transportErrors.decompressionFailed();
    }
  }

  #toRefusal(error: NodeJS.ErrnoException): Error {
    if (error instanceof MessageTooLargeError) return error;
    if (error.code === 'ERR_BUFFER_TOO_LARGE') return this.#tooLarge();
    if (error.code === 'ZSTD_error_frameParameter_windowTooLarge') {
      return new MessageTooLargeError(
        `Received message takes a window of more than ${2 ** ZSTD_WINDOW_LOG_MAX} bytes to decompress`,
      );
    }
    return transportErrors.decompressionFailed();
  }

  #tooLarge(): MessageTooLargeError {
    return new MessageTooLargeError(`Received message decompresses to more than ${this.#messageBytesMax}`);
  }
}

function decompressFrame(bytes: Buffer, sizeBytesMax: number): Promise<Buffer> {
  const options = {
    // Node takes no limit of 0. The caller notices the excess byte.
    maxOutputLength: Math.max(sizeBytesMax, 1),
    params: { [zstdWindowLogMax!]: ZSTD_WINDOW_LOG_MAX },
  };
  return new Promise((resolve, reject) => {
    zstdDecompress!(bytes, options, (error, result) => {
      if (error === null) resolve(result);
      else reject(error);
    });
  });
}
