import type { ClientStream, ReceivedMessage } from '@coxswain/http2';
import { Call, type CallHost, type CallOptions, type Method } from './call.js';
import type { CallError } from './call-error.js';
import { framedMessage } from './framed-message.js';
import { Status } from './status.js';

/** A call with one answer and with one request, or with a stream of requests that are sent at the server's pace. */
export class SingleAnswerCall<Request, Response> extends Call {
  /** The answer. Rejects with a CallError. */
  readonly answer: Promise<Response>;
  readonly #method: Method<Request, Response>;
  /** The part of the request to send when there is a stream. */
  #unsent: Buffer[] = [];
  /** True when `#unsent` holds the whole request and is kept, since it may have to be sent again. */
  readonly #isKept: boolean;
  #isRequestWhole: boolean;
  #message: ReceivedMessage | undefined;
  #resolve!: (response: Response) => void;
  #reject!: (failure: CallError) => void;
  #onDrain: (() => void) | undefined;

  /**
   * `request` is undefined when the caller writes the requests one by one. Throws what the method's serializer throws.
   */
  constructor(
    host: CallHost,
    method: Method<Request, Response>,
    request: Request | undefined,
    options: CallOptions,
  ) {
    super(host, method.path, options, request !== undefined);
    this.#method = method;
    this.#isKept = request !== undefined;
    this.#isRequestWhole = this.#isKept;
    if (request !== undefined) this.#unsent.push(...framedMessage(method.requestSerialize(request)));
    this.answer = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    // A caller that is still writing awaits the answer later.
    if (!this.#isKept) this.answer.catch(() => undefined);
    this.start();
  }

  /** Adds a message to the request. Returns false when the caller should await `drained` before the next one. */
  write(message: Request): boolean {
    if (this.isEnded) return true;
    const pieces = framedMessage(this.#method.requestSerialize(message));
    const { stream } = this;
    if (stream === undefined) {
      this.#unsent.push(...pieces);
      return false;
    }
    for (const piece of pieces) stream.send(piece, false);
    return !stream.isCongested;
  }

  /** Resolves when more of the request is welcome, or the call has ended. */
  drained(): Promise<void> {
    return new Promise((resolve) => {
      if (this.isEnded) resolve();
      else if (this.stream === undefined) this.#onDrain = resolve;
      else this.stream.whenDrained(resolve);
    });
  }

  /** Ends the request. */
  endRequest(): void {
    this.#isRequestWhole = true;
    this.stream?.endRequest();
  }

  protected begun(stream: ClientStream): void {
    const last = this.#unsent.length - 1;
    for (const [at, piece] of this.#unsent.entries()) stream.send(piece, at === last && this.#isRequestWhole);
    if (!this.#isKept) this.#unsent = [];
    if (this.#isRequestWhole && last < 0) stream.endRequest();
    if (this.#onDrain !== undefined) stream.whenDrained(this.#onDrain);
  }

  protected received(): void {
    try {
      for (let message = this.take(); message !== undefined; message = this.take()) {
        if (this.#message !== undefined) throw this.unusable(Status.INTERNAL, 'Too many responses received');
        this.#message = message;
      }
    } catch {
      // `unusable` and `take` have ended the call already.
      return;
    }
    this.stream?.consumeAll();
  }

  protected ended(failure: CallError | undefined): void {
    this.#onDrain?.();
    if (failure !== undefined) {
      this.#reject(failure);
      return;
    }
    const message = this.#message;
    if (message === undefined || !this.reader.isEmpty) {
      const text = message === undefined ? 'Not enough responses received' : 'the answer is cut off';
      this.#reject(this.unusable(Status.INTERNAL, text));
      return;
    }
    if (!message.isCompressed) this.#finish(message.bytes);
    else {
      Promise.resolve(this.open(message)).then(
        (bytes) => this.#finish(bytes),
        (error: CallError) => this.#reject(error),
      );
    }
  }

  #finish(bytes: Buffer): void {
    try {
      const response = this.decode(bytes, this.#method);
      this.reportTrailers();
      this.#resolve(response);
    } catch (failure) {
      this.#reject(failure as CallError);
    }
  }
}
