import { Deadline } from '../deadline.js';
import { PIECE_SIZE_BYTES_MAX, type StoreCall } from '../store.js';
import { S3AnswerError } from './s3-errors.js';
import type { S3Requests, S3Task } from './s3-requests.js';

/** The object to read, and the place to read it from. */
interface S3DownloadOptions {
  /** The URL of the store. */
  readonly url: string;
  readonly name: string;
  /** The object's name within the bucket. */
  readonly key: string;
  /** The call, whose time limit applies to each piece. */
  readonly call: StoreCall;
}

/** Reads one object from its beginning to its end. When a connection breaks off, another one asks for the rest. */
export class S3Download {
  readonly #requests: S3Requests;
  readonly #options: S3DownloadOptions;
  #at = 0;
  #sizeBytes = 0;
  #etag: string | undefined;

  constructor(requests: S3Requests, options: S3DownloadOptions) {
    this.#requests = requests;
    this.#options = options;
  }

  /** Yields the content of the object in pieces of at most 1 MiB. Throws ArchiveErrors only. */
  async *pieces(): AsyncGenerator<Buffer, void, undefined> {
    for (let failures = 1; ; failures++) {
      const aborter = new AbortController();
      try {
        const reader = await this.#open(aborter);
        for (;;) {
          const { deadline } = this.#task();
          const { done, value } = await this.#requests.patiently(deadline, aborter, () => reader.read());
          if (done) break;
          failures = 0;
          this.#at += value.length;
          yield* inPieces(value);
        }
        if (this.#at === this.#sizeBytes) return;
        throw new S3AnswerError(`${this.#at} of ${this.#sizeBytes} bytes came`);
      } catch (error) {
        await this.#requests.failed(this.#task(), error, failures);
      } finally {
        aborter.abort();
      }
    }
  }

  /** Makes the task for one piece, which has a deadline of its own. */
  #task(): S3Task {
    const { url, name, key, call } = this.#options;
    const doing = `reading ${name}`;
    return { deadline: new Deadline(url, doing, call), doing, name, key };
  }

  async #open(aborter: AbortController): Promise<ReadableStreamDefaultReader<Uint8Array>> {
    const task = this.#task();
    task.deadline.check();
    const client = this.#requests.client(task, aborter.signal);
    const at = this.#at;
    // The rest must be that of the same content.
    const condition = this.#etag === undefined ? {} : { 'if-match': this.#etag };
    const { headers, status, body } = await this.#requests.patiently(task.deadline, aborter, () =>
      client.getObjectRaw(this.#options.key, at === 0, at, undefined, condition),
    );
    if (at === 0) {
      this.#sizeBytes = Number(headers.get('content-length') ?? Number.NaN);
      this.#etag = headers.get('etag') ?? undefined;
    } else if (status !== 206 || !headers.get('content-range')?.startsWith(`bytes ${at}-`)) {
      throw new S3AnswerError('the server does not give the rest of an object whose beginning was read');
    }
    if (!Number.isSafeInteger(this.#sizeBytes) || !body) {
      throw new S3AnswerError('the server does not tell how long an object is');
    }
    return body.getReader() as ReadableStreamDefaultReader<Uint8Array>;
  }
}

function* inPieces(bytes: Uint8Array): Generator<Buffer, void, undefined> {
  for (let at = 0; at < bytes.length; at += PIECE_SIZE_BYTES_MAX) {
    const piece = bytes.subarray(at, at + PIECE_SIZE_BYTES_MAX);
    yield Buffer.from(piece.buffer, piece.byteOffset, piece.byteLength);
  }
}
