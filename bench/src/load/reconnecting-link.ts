import { type CallListener, GrpcConnection } from '../http2/grpc-connection.js';
import type { GrpcRequest } from '../http2/grpc-request.js';

/** Milliseconds that a lost connection rests before the next attempt, so that a dead server costs no CPU. */
const RECONNECT_DELAY_MS = 100;

/** A connection to one endpoint that comes back when it is lost. */
export class ReconnectingLink {
  readonly #endpoint: string;
  #connection: GrpcConnection | undefined;
  #waiting: (() => void)[] = [];
  #retryTimer: NodeJS.Timeout | undefined;
  #isClosed = false;

  /** `endpoint` is `host:port`. */
  constructor(endpoint: string) {
    this.#endpoint = endpoint;
  }

  /**
   * Connects for the first time.
   *
   * @throws Error when the first attempt fails
   */
  async connect(): Promise<void> {
    const connection = await GrpcConnection.connect(this.#endpoint, () => this.#retryLater());
    if (this.#isClosed) {
      connection.close();
      return;
    }
    this.#connection = connection;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const callback of waiting) callback();
  }

  get isOpen(): boolean {
    return this.#connection?.isOpen ?? false;
  }

  /** Calls back once, when the link is open again; never when it is closed before that. */
  whenOpen(callback: () => void): void {
    this.#waiting.push(callback);
  }

  /** Starts a call on an open link. */
  start(request: GrpcRequest, listener: CallListener): void {
    this.#connection!.start(request, listener);
  }

  /** Ends the connection and all attempts to get it back. */
  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#retryTimer);
    this.#connection?.close();
  }

  #retryLater(): void {
    if (this.#isClosed) return;
    this.#retryTimer = setTimeout(() => {
      this.connect().catch(() => this.#retryLater());
    }, RECONNECT_DELAY_MS);
  }
}
