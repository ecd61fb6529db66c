import type { ClientStream, ReceivedMessage } from '@coxswain/http2';
import { Call, type CallHost, type CallOptions, type Method } from './call.js';
import type { CallError } from './call-error.js';
import { framedMessage } from './framed-message.js';
import { Status } from './status.js';

/**
 * A call with one request and a stream of answers, which the caller takes one by one. The server may be ahead of the
 * reader by one window, and then has to wait. Leaving a loop over the call cancels it. After the answers that had come,
 * it ends or throws a CallError.
 */
export class ServerStreamCall<Request, Response>
  extends Call
  implements AsyncIterableIterator<Response, undefined, undefined>
{
  readonly #method: Method<Request, Response>;
  readonly #request: readonly Buffer[];
  #failure: CallError | undefined;
  /** The reader has left, or has seen the end. */
  #isOver = false;
  #wake: (() => void) | undefined;
  /** Bytes of an incomplete message that were already given back to the server's window. */
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

  /** Returns the next answer; the caller awaits one at a time. Rejects once, with a CallError, when the call fails. */
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
    // Bytes after the last complete message mean that the stream was cut off.
    this.#failure =
      failure ??
      (this.reader.isEmpty || this.reader.hasNext
        ? undefined
        : this.unusable(Status.INTERNAL, 'the answer is cut off'));
    if (failure === undefined) this.reportTrailers();
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

  /**
   * Gives the window back for an incomplete message while the reader waits for it, since the message may be longer than
   * the window.
   */
  #prepayAll(): void {
    this.#prepaidBytes += this.stream?.consumeAll() ?? 0;
  }

  #awaken(): void {
    const wake = this.#wake;
    this.#wake = undefined;
    wake?.();
  }
}
