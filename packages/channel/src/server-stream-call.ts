import type { ClientStream, ReceivedMessage } from '@coxswain/http2';
import { Call, type CallHost, type CallOptions, type Method } from './call.js';
import type { CallError } from './call-error.js';
import { framedMessage } from './framed-message.js';
import { Status } from './status.js';

/**
 * A call with one request and many answers, each taken when it is asked for: a server that is ahead of the reader by a
 * window is held up. Leaving a loop over it gives the call up. It ends with a CallError after what had come before.
 */
export class ServerStreamCall<Request, Response>
  extends Call
  implements AsyncIterableIterator<Response, undefined, undefined>
{
  readonly #method: Method<Request, Response>;
  readonly #request: readonly Buffer[];
  #failure: CallError | undefined;
  /** The reader wants no more, or knows of the end. */
  #isOver = false;
  #wake: (() => void) | undefined;
  /** Bytes of a message that is not whole which were given back to the server's window. */
  #prepaidBytes = 0;

  constructor(host: CallHost, method: Method<Request, Response>, request: Request, options: CallOptions) {
    super(host, method.path, options, true);
    this.#method = method;
    this.#request = framedMessage(method.requestSerialize(request));
    this.start();
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  /** One at a time. Rejects with a CallError, once. */
  async next(): Promise<IteratorResult<Response, undefined>> {
    try {
      while (!this.#isOver) {
        const message = this.#takeNext();
        if (message !== undefined) {
          return { done: false, value: this.decode(await this.open(message), this.#method) };
        }
        if (this.isEnded) break;
        this.#prepayAll();
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      }
      if (this.#failure !== undefined && !this.#isOver) throw this.#failure;
    } catch (error) {
      this.#isOver = true;
      throw error;
    }
    this.#isOver = true;
    return { done: true, value: undefined };
  }

  return(): Promise<IteratorResult<Response, undefined>> {
    this.#isOver = true;
    this.cancel();
    return Promise.resolve({ done: true, value: undefined });
  }

  protected begun(stream: ClientStream): void {
    const last = this.#request.length - 1;
    for (const [at, piece] of this.#request.entries()) stream.send(piece, at === last);
  }

  protected received(): void {
    if (this.#wake === undefined) return;
    if (this.reader.hasNext) this.#awaken();
    else this.#prepayAll();
  }

  protected ended(failure: CallError | undefined): void {
    // A message that was cut off is no message, and what came of the stream is not all of it.
    this.#failure =
      failure ??
      (this.reader.isEmpty || this.reader.hasNext
        ? undefined
        : this.unusable(Status.INTERNAL, 'the answer is cut off'));
    if (failure === undefined) this.tellTrailers();
    this.#awaken();
  }

  #takeNext(): ReceivedMessage | undefined {
    const message = this.take();
    if (message === undefined) return undefined;
    const dueBytes = this.reader.takenBytes - this.#prepaidBytes;
    this.#prepaidBytes = Math.max(-dueBytes, 0);
    if (dueBytes > 0) this.stream?.consume(dueBytes);
    return message;
  }

  /** The reader waits for a message, which may be longer than a window: what has come of it is given back in advance. */
  #prepayAll(): void {
    this.#prepaidBytes += this.stream?.consumeAll() ?? 0;
  }

  #awaken(): void {
    const wake = this.#wake;
    this.#wake = undefined;
    wake?.();
  }
}
