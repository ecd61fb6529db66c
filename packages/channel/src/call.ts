import {
  type ClientConnection,
  type ClientStream,
  type ClientStreamListener,
  ErrorCode,
  type Field,
  MessageReader,
  MessageTooLargeError,
  type ReceivedMessage,
} from '@coxswain/http2';
import { failureOfFields, failureOfReset, fieldOf, metadataOfFields } from './answer-status.js';
import { CallError } from './call-error.js';
import { decompress } from './decompress.js';
import type { Metadata } from './metadata.js';
import { Status } from './status.js';
import { whenAborted } from './when-aborted.js';

/** A method of a generated service definition. */
export interface Method<Request, Response> {
  readonly path: string;
  readonly requestSerialize: (value: Request) => Buffer;
  readonly responseDeserialize: (bytes: Buffer) => Response;
}

/** Options for one call. */
export interface CallOptions {
  /** Metadata to send with the call. Give the same object again for the same content: then it is encoded only once. */
  readonly metadata?: Metadata | undefined;
  /** Header fields to send that differ from call to call. */
  readonly varying?: readonly Field[];
  /**
   * The time at which the call is given up, in milliseconds on the clock of `Date.now()`; undefined means never. The
   * server gets it as grpc-timeout.
   */
  readonly deadline?: number | undefined;
  /** Cancels the call when it is aborted. */
  readonly signal?: AbortSignal | undefined;
  /** Called with the trailers of an answer with status OK. */
  readonly onTrailers?: (trailers: Metadata) => void;
}

/** The parts of its channel that a call uses. */
export interface CallHost {
  readonly messageBytesMax: number;
  /** Returns the header fields that all calls of a method with the same metadata share. */
  fieldsOf(path: string, metadata: Metadata | undefined): readonly Field[];
  /** Begins the call as soon as there is a connection for it, or fails it. */
  submit(call: Call): void;
  /** Forgets a call that has ended while it waited for a connection. */
  withdraw(call: Call): void;
}

/** The longest timeout of Node's timers. */
const TIMER_MS_MAX = 2 ** 31 - 1;
/** The greatest number in grpc-timeout, which has eight digits. */
const TIMEOUT_MAX = 99_999_999;
const NO_FIELDS: readonly Field[] = [];

/**
 * One call of any kind, from the moment at which it waits for a connection until its status has come. It handles
 * headers, deadline and status; its subclasses send the request and take the messages.
 */
export abstract class Call implements ClientStreamListener {
  protected readonly reader: MessageReader;
  readonly #host: CallHost;
  readonly #path: string;
  readonly #options: CallOptions;
  /**
   * True while the whole request is kept, so that it can be sent a second time when the server refuses to begin with
   * it.
   */
  #mayBeSentAgain: boolean;
  #stream: ClientStream | undefined;
  #timer: NodeJS.Timeout | undefined;
  #ignoreSignal: (() => void) | undefined;
  #encoding: string | undefined;
  /** The last header block that came, which carries the status in the end. */
  #fields: readonly string[] = [];
  #isEnded = false;

  constructor(host: CallHost, path: string, options: CallOptions, mayBeSentAgain: boolean) {
    this.#host = host;
    this.#path = path;
    this.#options = options;
    this.#mayBeSentAgain = mayBeSentAgain;
    this.reader = new MessageReader(host.messageBytesMax);
  }

  /** The stream is open: the subclass sends the request, or as much of it as there is. */
  protected abstract begun(stream: ClientStream): void;

  /** Bytes of the answer's body have come and are in the reader. */
  protected abstract received(): void;

  /** The call has ended, which happens once; undefined means with status OK. */
  protected abstract ended(failure: CallError | undefined): void;

  protected get stream(): ClientStream | undefined {
    return this.#stream;
  }

  get isEnded(): boolean {
    return this.#isEnded;
  }

  /** Starts the call. Subclasses call it at the end of their constructors. */
  protected start(): void {
    const { deadline, signal } = this.#options;
    if (signal?.aborted) {
      this.#giveUp(Status.CANCELLED, 'Cancelled on client');
      return;
    }
    if (deadline !== undefined) {
      const remainingMs = deadline - Date.now();
      if (remainingMs <= 0) {
        this.#onDeadline();
        return;
      }
      this.#timer = setTimeout(this.#onDeadline, Math.min(remainingMs, TIMER_MS_MAX));
    }
    if (signal !== undefined) this.#ignoreSignal = whenAborted(signal, this.cancel);
    this.#host.submit(this);
  }

  /** Sends the call on a connection that has room for it. */
  begin(connection: ClientConnection): void {
    this.#stream = connection.open(
      this.#host.fieldsOf(this.#path, this.#options.metadata),
      this.#varyingFields(),
      this,
    );
    this.begun(this.#stream);
  }

  /** Cancels the call. Unless it still waited for a connection, the server may or may not have carried it out. */
  readonly cancel = (): void => {
    this.#giveUp(Status.CANCELLED, 'Cancelled on client');
  };

  /** Ends a call for which no connection could be made. */
  fail(failure: CallError): void {
    this.#end(failure);
  }

  // ---- ClientStreamListener

  onHeaders(fields: readonly string[], isLast: boolean): void {
    const isFirst = this.#fields.length === 0;
    this.#fields = fields;
    if (isLast || !isFirst) return;
    // The body of an HTTP error is a text for people.
    if (fieldOf(fields, ':status') !== '200') {
      this.#breakOff(failureOfFields(fields)!);
      return;
    }
    const contentType = fieldOf(fields, 'content-type') ?? 'application/grpc';
    if (!contentType.startsWith('application/grpc')) {
      const text = `the answer is not of gRPC, but ${contentType}`;
      this.#breakOff(new CallError(Status.UNKNOWN, text, 'unusable', metadataOfFields(fields)));
      return;
    }
    this.#encoding = fieldOf(fields, 'grpc-encoding');
  }

  onData(bytes: Buffer, start: number, end: number): void {
    this.reader.push(bytes, start, end);
    this.received();
  }

  onEnd(): void {
    this.#end(failureOfFields(this.#fields));
  }

  onReset(errorCode: number, isUnprocessed: boolean): void {
    if (isUnprocessed && this.#mayBeSentAgain) {
      // Only once, so that a server which refuses everything is not asked forever (gRPC: "transparent retries").
      this.#mayBeSentAgain = false;
      this.#stream = undefined;
      this.#host.submit(this);
    } else this.#end(failureOfReset(errorCode, isUnprocessed));
  }

  onLost(cause: Error | undefined): void {
    this.#end(new CallError(Status.UNAVAILABLE, 'Connection dropped', 'lost', undefined, { cause }));
  }

  // ---- for subclasses

  /**
   * Returns the next message that has come, or undefined. When the bytes form no message, it ends the call and throws
   * the CallError.
   */
  protected take(): ReceivedMessage | undefined {
    try {
      return this.reader.next();
    } catch (cause) {
      const code = cause instanceof MessageTooLargeError ? Status.RESOURCE_EXHAUSTED : Status.INTERNAL;
      throw this.unusable(code, (cause as Error).message, cause);
    }
  }

  /**
   * Returns the content of a message, as a promise when it is compressed. When it cannot be decompressed, it ends the
   * call and rejects with the CallError.
   */
  protected open(message: ReceivedMessage): Buffer | Promise<Buffer> {
    if (!message.isCompressed) return message.bytes;
    return decompress(this.#encoding, message.bytes, this.#host.messageBytesMax).catch((error: CallError) => {
      this.#breakOff(error);
      throw error;
    });
  }

  /** Ends the call for an answer that cannot be used, and returns the failure. */
  protected unusable(code: Status, text: string, cause?: unknown): CallError {
    const failure = new CallError(code, text, 'unusable', undefined, { cause });
    this.#breakOff(failure);
    return failure;
  }

  /** Decodes a response from a message. When that fails, it ends the call and throws the CallError. */
  protected decode<Response>(bytes: Buffer, { responseDeserialize }: Method<never, Response>): Response {
    try {
      return responseDeserialize(bytes);
    } catch (cause) {
      throw this.unusable(
        Status.INTERNAL,
        `Response message parsing error: ${(cause as Error).message}`,
        cause,
      );
    }
  }

  /** Passes the trailers of an answer with status OK to the caller. */
  protected reportTrailers(): void {
    this.#options.onTrailers?.(metadataOfFields(this.#fields));
  }

  readonly #onDeadline = (): void => {
    const remainingMs = this.#options.deadline! - Date.now();
    if (remainingMs > 0) {
      this.#timer = setTimeout(this.#onDeadline, Math.min(remainingMs, TIMER_MS_MAX));
      return;
    }
    this.#giveUp(Status.DEADLINE_EXCEEDED, 'Deadline exceeded');
  };

  #giveUp(code: Status, text: string): void {
    const wasSent = this.#stream !== undefined;
    const details = wasSent ? text : `${text}, before there was a connection`;
    this.#breakOff(new CallError(code, details, wasSent ? 'lost' : 'neverSent'));
  }

  #breakOff(failure: CallError): void {
    this.#stream?.cancel(ErrorCode.cancel);
    this.#end(failure);
  }

  #end(failure: CallError | undefined): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    clearTimeout(this.#timer);
    this.#ignoreSignal?.();
    if (this.#stream === undefined) this.#host.withdraw(this);
    this.ended(failure);
  }

  #varyingFields(): readonly Field[] {
    const { deadline, varying = NO_FIELDS } = this.#options;
    return deadline === undefined
      ? varying
      : [...varying, ['grpc-timeout', timeoutText(deadline - Date.now())]];
  }
}

/**
 * Formats grpc-timeout: whole milliseconds, or seconds when those have too many digits. It rounds up, since this side
 * ends the call at the exact time itself.
 */
function timeoutText(remainingMs: number): string {
  const wholeMs = Math.max(Math.ceil(remainingMs), 1);
  return wholeMs <= TIMEOUT_MAX ? `${wholeMs}m` : `${Math.min(Math.ceil(wholeMs / 1000), TIMEOUT_MAX)}S`;
}
