import type { Socket } from 'node:net';
import type { Clock, Timer } from '@coxswain/runtime';
import { AgentRequestError, encodeBlock, type KeyValues, RequestParser } from './key-value-block.js';

/** Milliseconds that a client gets to read its answer after the answer has ended. */
const LINGER_MS = 2_000;

/** The time limits for a client. */
export interface AgentConnectionOptions {
  readonly clock: Clock;
  /** Most milliseconds between two pieces of a request. */
  readonly silenceMs: number;
  /** Most milliseconds for a whole request, however slowly it drips. */
  readonly requestMs: number;
  /** Most milliseconds for which a client may read nothing of its answer. */
  readonly stallMs: number;
}

/** The client has left, or reads nothing. */
export class ConnectionLostError extends Error {
  override readonly name = 'ConnectionLostError';
}

/** One client of the agent: reads its request within the time limits, and writes the answer at the client's pace. */
export class AgentConnection {
  /** The client's address and port, for the log. */
  readonly peer: string;
  /** Aborted with a ConnectionLostError when the socket is closed. */
  readonly lost: AbortSignal;
  /** Resolves when the socket is closed and its request has been dealt with. */
  readonly ended: Promise<void>;
  readonly #socket: Socket;
  readonly #options: AgentConnectionOptions;
  readonly #answer: (request: KeyValues | AgentRequestError) => Promise<void>;
  readonly #parser = new RequestParser();
  #answering: Promise<void> | undefined;
  #hasBegun = false;
  /** The reason for which the socket is closed, or will be. */
  #lostBecause = 'the client has left';
  #silence: Timer;
  readonly #patience: Timer;

  /** `answer` is called once, with the request, or with the error in it. */
  constructor(
    socket: Socket,
    options: AgentConnectionOptions,
    answer: (request: KeyValues | AgentRequestError) => Promise<void>,
  ) {
    this.#socket = socket;
    this.#options = options;
    this.#answer = answer;
    this.peer = `${socket.remoteAddress ?? ''}:${socket.remotePort ?? ''}`;
    socket.setNoDelay(true);
    socket.setKeepAlive(true);
    const { clock, silenceMs, requestMs } = options;
    const tooLate = (): void => this.#take(() => this.#refusal('no more of it came in time'));
    this.#silence = clock.startTimer(silenceMs, tooLate);
    this.#patience = clock.startTimer(requestMs, tooLate);
    const aborter = new AbortController();
    this.lost = aborter.signal;
    const closed = new Promise<void>((resolve) => {
      socket.once('close', () => {
        aborter.abort(this.#lostError());
        resolve();
      });
    });
    this.ended = closed.then(async () => {
      this.#stopTimers();
      await this.#answering;
    });
    // An error of the socket is followed by its close event, which handles it.
    socket.on('error', () => undefined);
    socket.on('data', (bytes: Buffer) => {
      // Reading continues after a request, so that the end of the connection is noticed; the bytes are ignored.
      if (this.#answering !== undefined) return;
      this.#silence.cancel();
      this.#silence = clock.startTimer(silenceMs, tooLate);
      this.#take(() => this.#parser.push(bytes));
    });
    socket.on('end', () => this.#take(() => this.#refusal('it ends')));
  }

  /** Whether a part of an answer was written, so that it is too late for a refusal. */
  get hasBegun(): boolean {
    return this.#hasBegun;
  }

  /** Whether the answer has ended and nothing more can be written. */
  get hasEnded(): boolean {
    return this.#socket.writableEnded;
  }

  /** Hands the request, or the error in it, to `answer`, once. */
  #take(read: () => KeyValues | AgentRequestError | undefined): void {
    if (this.#answering !== undefined) return;
    let request: KeyValues | AgentRequestError | undefined;
    try {
      request = read();
    } catch (error) {
      if (!(error instanceof AgentRequestError)) throw error;
      request = error;
    }
    if (request === undefined) return;
    this.#stopTimers();
    this.#answering = this.#answer(request);
  }

  #refusal(what: string): AgentRequestError {
    return new AgentRequestError(`the request is not whole: ${what} before ${this.#parser.missing}`);
  }

  #stopTimers(): void {
    this.#silence.cancel();
    this.#patience.cancel();
  }

  /** Sends bytes and resolves when the client may be sent more. Rejects with ConnectionLostError. */
  async send(bytes: Buffer | string): Promise<void> {
    const socket = this.#socket;
    if (socket.destroyed) throw this.#lostError();
    this.#hasBegun = true;
    if (socket.write(bytes)) return;
    await this.#until('drain');
  }

  /** Ends the answer and resolves when the client has received it. Rejects with ConnectionLostError. */
  async finish(): Promise<void> {
    if (this.#socket.destroyed) throw this.#lostError();
    this.#socket.end();
    if (!this.#socket.writableFinished) await this.#until('finish');
    this.#lingerThenDestroy();
  }

  /**
   * Writes a block that says why nothing more comes, and closes. The real client fails when it gets this instead of
   * READY.
   */
  refuse(msg: string): void {
    if (this.#socket.destroyed) return;
    // A refusal may come before the request is complete; the rest of the request is ignored.
    this.#stopTimers();
    this.#answering ??= Promise.resolve();
    this.#hasBegun = true;
    this.#socket.end(encodeBlock({ status: 'FAILED', msg }));
    this.#lingerThenDestroy();
  }

  /** Ends the connection in the middle of an answer, once the bytes written so far are sent. */
  cut(): void {
    this.#socket.destroySoon();
    this.#lingerThenDestroy();
  }

  /** Ends the connection at once. The code that is answering it gets `because` as the reason. */
  breakOff(because = this.#lostBecause): void {
    this.#lostBecause = because;
    this.#socket.destroy();
  }

  #lostError(): ConnectionLostError {
    return new ConnectionLostError(this.#lostBecause);
  }

  /** Closes the socket after a while, not at once: a client that is still writing would then lose its answer. */
  #lingerThenDestroy(): void {
    const { clock } = this.#options;
    const timer = clock.startTimer(LINGER_MS, () => this.#socket.destroy());
    this.#socket.once('close', () => timer.cancel());
  }

  /**
   * Waits for an event of the socket. Rejects with ConnectionLostError when the client reads nothing for `stallMs`, or
   * leaves.
   */
  #until(event: 'drain' | 'finish'): Promise<void> {
    const socket = this.#socket;
    const { clock, stallMs } = this.#options;
    return new Promise((resolve, reject) => {
      const before = socket.bytesWritten - socket.writableLength;
      const leave = (): void => {
        timer.cancel();
        socket.off(event, done);
        socket.off('close', lost);
      };
      const done = (): void => {
        leave();
        resolve();
      };
      const lost = (): void => {
        leave();
        reject(this.#lostError());
      };
      const stalled = (): void => {
        const isMoving = socket.bytesWritten - socket.writableLength > before;
        leave();
        if (isMoving) this.#until(event).then(resolve, reject);
        else reject(new ConnectionLostError('the client takes nothing'));
      };
      const timer = clock.startTimer(stallMs, stalled);
      socket.once(event, done);
      socket.once('close', lost);
      if (socket.destroyed) lost();
    });
  }
}
