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

/** A method of a generated service definition. */
export interface Method<Request, Response> {
  readonly path: string;
  readonly requestSerialize: (value: Request) => Buffer;
  readonly responseDeserialize: (bytes: Buffer) => Response;
}

/** What holds for one call. */
export interface CallOptions {
  /** Sent with the call. Give the same object again where it holds the same: then it is encoded once. */
  readonly metadata?: Metadata | undefined;
  /** Sent likewise, of what differs from call to call. */
  readonly varying?: readonly Field[];
  /** When the call is given up, on the clock of `Date.now()`. Undefined: never. The server learns it. */
  readonly deadline?: number | undefined;
  /** Gives the call up. */
  readonly signal?: AbortSignal | undefined;
  /** What the server sends after an answer with status OK. */
  readonly onTrailers?: (trailers: Metadata) => void;
}

/** What a call needs of its channel. */
export interface CallHost {
  readonly messageBytesMax: number;
  /** The header fields of each call of a method with the same metadata. */
  fieldsOf(path: string, metadata: Metadata | undefined): readonly Field[];
  /** Begins the call as soon as there is a connection for it, or fails it. */
  submit(call: Call): void;
  /** The call has ended while it waited for a connection. */
  withdraw(call: Call): void;
}

/** Node's timers take no more. */
const TIMER_MS_MAX = 2 ** 31 - 1;
/** grpc-timeout has eight digits. */
const TIMEOUT_MAX = 99_999_999;
const NO_FIELDS: readonly Field[] = [];

/**
 * One call of any kind, from when it waits for a connection on until its status has come: headers, deadline, Status. How
 * a request is sent and what is done with messages is its subclass's.
 */
export abstract class Call implements ClientStreamListener {
  protected readonly reader: MessageReader;
  readonly #host: CallHost;
  readonly #path: string;
  readonly #options: CallOptions;
  /** The whole request is kept, and can be sent a second time where the server refused to begin with it. */
  #mayBeSentAgain: boolean;
  #stream: ClientStream | undefined;
  #timer: NodeJS.Timeout | undefined;
  #encoding: string | undefined;
  /** The header block with the status: the last one. */
  #fields: readonly string[] = [];
  #isEnded = false;

  constructor(host: CallHost, path: string, options: CallOptions, mayBeSentAgain: boolean) {
    this.#host = host;
    this.#path = path;
    this.#options = options;
    this.#mayBeSentAgain = mayBeSentAgain;
    this.reader = new MessageReader(host.messageBytesMax);
  }

  /** The stream is open: sends the request, or what there is of it. */
  protected abstract begun(stream: ClientStream): void;

  /** Something of the answer's body has come; the reader has it. */
  protected abstract received(): void;

  /** The call has ended, for the only time. Undefined: with status OK. */
  protected abstract ended(failure: CallError | undefined): void;

  protected get stream(): ClientStream | undefined {
    return this.#stream;
  }

  get isEnded(): boolean {
    return this.#isEnded;
  }

  /** For subclasses, once they are made. */
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
    signal?.addEventListener('abort', this.cancel);
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

  /** Gives the call up. What became of it nobody knows, unless it still waited for a connection. */
  readonly cancel = (): void => {
    this.#giveUp(Status.CANCELLED, 'Cancelled on client');
  };

  /** Ends a call that found no connection. */
  fail(failure: CallError): void {
    this.#end(failure);
  }

  // ---- ClientStreamListener

  onHeaders(fields: readonly string[], isLast: boolean): void {
    const isFirst = this.#fields.length === 0;
    this.#fields = fields;
    if (isLast || !isFirst) return;
    // What follows of it is for people.
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
      // Once, so that a server which refuses everything is not asked without end (gRPC: "transparent retries").
      this.#mayBeSentAgain = false;
      this.#stream = undefined;
      this.#host.submit(this);
    } else this.#end(failureOfReset(errorCode, isUnprocessed));
  }

  onLost(cause: Error | undefined): void {
    this.#end(new CallError(Status.UNAVAILABLE, 'Connection dropped', 'lost', undefined, { cause }));
  }

  // ---- for subclasses

  /** The next message that has come, or undefined. Throws a CallError where what came is none, and has then ended the call. */
  protected take(): ReceivedMessage | undefined {
    try {
      return this.reader.next();
    } catch (cause) {
      const code = cause instanceof MessageTooLargeError ? Status.RESOURCE_EXHAUSTED : Status.INTERNAL;
      throw this.unusable(code, (cause as Error).message, cause);
    }
  }

  /** What a message holds; a promise where it is compressed. Throws and rejects as `take`. */
  protected open(message: ReceivedMessage): Buffer | Promise<Buffer> {
    if (!message.isCompressed) return message.bytes;
    return decompress(this.#encoding, message.bytes, this.#host.messageBytesMax).catch((error: CallError) => {
      this.#breakOff(error);
      throw error;
    });
  }

  /** Ends the call for an answer that cannot be used. Gives the failure. */
  protected unusable(code: Status, text: string, cause?: unknown): CallError {
    const failure = new CallError(code, text, 'unusable', undefined, { cause });
    this.#breakOff(failure);
    return failure;
  }

  /** Makes a response of a message. Throws as `take`. */
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

  /** Gives the caller the answer that came with status OK. */
  protected tellTrailers(): void {
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
    this.#options.signal?.removeEventListener('abort', this.cancel);
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

/** Whole milliseconds, or seconds where there are too many: rounded up, since this side ends the call in time. */
function timeoutText(remainingMs: number): string {
  const wholeMs = Math.max(Math.ceil(remainingMs), 1);
  return wholeMs <= TIMEOUT_MAX ? `${wholeMs}m` : `${Math.min(Math.ceil(wholeMs / 1000), TIMEOUT_MAX)}S`;
}
