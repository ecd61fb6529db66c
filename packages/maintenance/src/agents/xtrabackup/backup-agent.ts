import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { ApiError, type Clock, type Log, type Timer } from '@coxswain/node';
import type { RateLimit } from '@coxswain/replication';
import { AgentBackup, type AgentNode } from './agent-backup.js';
import { type AgentRequest, type AgentRequestOptions, readAgentRequest } from './agent-request.js';
import { AgentRequestError, encodeBlock, type KeyValues, RequestParser } from './key-value-block.js';
import { LogGoneError } from './log-records.js';

const READY = 'READY\n';
/** How long a refused client may take to read why. */
const LINGER_MS = 2_000;
/** How long finding out how far the tables are may take, in all. */
const OPEN_MS = 60_000;

export interface BackupAgentOptions extends AgentRequestOptions {
  readonly host: string;
  readonly port: number;
  readonly clock: Clock;
  readonly log: Log;
  /** Between two pieces of a request. */
  readonly silenceMs: number;
  /** For a whole request, however it drips. */
  readonly requestMs: number;
  /** How long a client may take nothing of what is sent. */
  readonly stallMs: number;
  readonly connectionsMax: number;
  /** Each reads all tables. */
  readonly backupsMax: number;
  /** What all backups of this node share. */
  readonly rate: RateLimit;
}

export const defaultBackupAgentLimits = {
  silenceMs: 30_000,
  requestMs: 120_000,
  stallMs: 120_000,
  connectionsMax: 64,
  backupsMax: 2,
} as const;

/** What the agent has done. Bytes are those of tars. */
export interface BackupAgentStatus {
  readonly connections: number;
  readonly running: number;
  readonly done: number;
  readonly refused: number;
  readonly failed: number;
  readonly bytesSent: number;
}

/**
 * Speaks the Xtrabackup agent protocol (operations-protocols.md §4): one request per connection, answered by `READY`,
 * one block, and for a request that is served the tar of a backup directory. The protocol has no encryption, so that it
 * belongs on a loopback address or a network of one's own.
 */
export class BackupAgent {
  readonly #node: AgentNode;
  readonly #options: BackupAgentOptions;
  readonly #server: Server;
  readonly #connections = new Set<Connection>();
  readonly #counters = { running: 0, done: 0, refused: 0, failed: 0, bytesSent: 0 };

  constructor(node: AgentNode, options: BackupAgentOptions) {
    this.#node = node;
    this.#options = options;
    // A client may have said all it has to say and still want the answer.
    this.#server = createServer({ allowHalfOpen: true }, (socket) => this.#accept(socket));
    this.#server.maxConnections = options.connectionsMax;
  }

  /** With the port that the system chose where 0 was asked for. */
  get address(): { readonly host: string; readonly port: number } {
    const bound = this.#server.address() as AddressInfo | null;
    return { host: this.#options.host, port: bound?.port ?? this.#options.port };
  }

  get status(): BackupAgentStatus {
    return { connections: this.#connections.size, ...this.#counters };
  }

  /** Rejects with the system's error when the address cannot be bound. */
  async listen(): Promise<void> {
    const { host, port, log } = this.#options;
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen(port, host, () => {
        this.#server.off('error', reject);
        resolve();
      });
    });
    this.#server.on('error', ({ message }) => {
      log('error', 'the backup agent could not accept a connection', { error: message });
    });
    log('info', 'the backup agent listens', this.address);
  }

  /** Takes nothing more and breaks off what is under way: a tar without a manifest is no backup. */
  async close(): Promise<void> {
    const closed = this.#server.listening
      ? new Promise<void>((resolve) => this.#server.close(() => resolve()))
      : Promise.resolve();
    for (const connection of this.#connections) connection.breakOff();
    await closed;
    await Promise.all(Array.from(this.#connections, ({ ended }) => ended));
  }

  #accept(socket: Socket): void {
    const connection = new Connection(socket, this.#options, (pairs) => this.#answer(connection, pairs));
    this.#connections.add(connection);
    void connection.ended.then(() => this.#connections.delete(connection));
  }

  async #answer(connection: Connection, pairs: KeyValues | AgentRequestError): Promise<void> {
    const { log, backupsMax } = this.#options;
    const counters = this.#counters;
    let backup: AgentBackup | undefined;
    try {
      if (pairs instanceof AgentRequestError) throw pairs;
      const request = readAgentRequest(pairs, this.#options);
      if (counters.running >= backupsMax) {
        throw new AgentRequestError(`${backupsMax} backups are under way: try again when one is done`);
      }
      counters.running++;
      try {
        backup = await this.#open(request);
        await this.#send(connection, backup);
      } finally {
        counters.running--;
        backup?.close();
      }
      counters.done++;
      log('info', 'the backup agent has sent a backup', { peer: connection.peer, ...backup.tableCounts });
    } catch (error) {
      if (backup === undefined && (error instanceof AgentRequestError || error instanceof ApiError)) {
        counters.refused++;
        log('warn', 'the backup agent has refused a request', {
          peer: connection.peer,
          reason: error.message,
        });
        connection.refuse(error.message);
        return;
      }
      counters.failed++;
      log('error', 'the backup agent could not send a backup', {
        peer: connection.peer,
        reason:
          error instanceof LogGoneError || error instanceof ConnectionLostError
            ? error.message
            : String(error),
      });
      // Nothing can be said within a tar: one that breaks off without its manifest says it.
      if (backup === undefined) connection.refuse('the backup could not be made: see the log of the node');
      else connection.breakOff();
    }
  }

  #open(request: AgentRequest): Promise<AgentBackup> {
    const { clock } = this.#options;
    return AgentBackup.open(this.#node, request, clock, { deadlineMs: clock.monotonicMs() + OPEN_MS });
  }

  async #send(connection: Connection, backup: AgentBackup): Promise<void> {
    const { full, incremental } = backup.tableCounts;
    const { sid } = backup;
    const what = `sending ${full} tables in full and the changes of ${incremental}`;
    const msg = sid === undefined ? `${what}; they are too many for a sid` : what;
    await connection.send(READY + encodeBlock({ status: 'ok', msg, ...(sid !== undefined && { sid }) }));
    for await (const chunk of backup.tar(connection.lost)) {
      await this.#options.rate.pay(chunk.length, connection.lost);
      await connection.send(chunk);
      this.#counters.bytesSent += chunk.length;
    }
    await connection.finish();
  }
}

/** The client went away, or takes nothing. */
class ConnectionLostError extends Error {
  override readonly name = 'ConnectionLostError';
}

/** One client: its request, with the limits of time, and the way for its answer, at its pace. */
class Connection {
  readonly peer: string;
  /** Aborted with a ConnectionLostError when the socket is closed. */
  readonly lost: AbortSignal;
  /** Resolves when the socket is closed and its request is done with. */
  readonly ended: Promise<void>;
  readonly #socket: Socket;
  readonly #options: BackupAgentOptions;
  readonly #answer: (request: KeyValues | AgentRequestError) => Promise<void>;
  readonly #parser = new RequestParser();
  #answering: Promise<void> | undefined;
  #silence: Timer;
  readonly #patience: Timer;

  constructor(
    socket: Socket,
    options: BackupAgentOptions,
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
        aborter.abort(new ConnectionLostError('the client has left'));
        resolve();
      });
    });
    this.ended = closed.then(async () => {
      this.#stopTimers();
      await this.#answering;
    });
    // What was wrong with a socket is told by its being closed.
    socket.on('error', () => undefined);
    socket.on('data', (bytes: Buffer) => {
      // What follows a request is read, so that the end of the connection is seen, and means nothing.
      if (this.#answering !== undefined) return;
      this.#silence.cancel();
      this.#silence = clock.startTimer(silenceMs, tooLate);
      this.#take(() => this.#parser.push(bytes));
    });
    socket.on('end', () => this.#take(() => this.#refusal('it ends')));
  }

  /** Hands the request over, or what is wrong with it, once. */
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

  /** Resolves when the client may be sent more. Rejects with ConnectionLostError. */
  async send(bytes: Buffer | string): Promise<void> {
    const socket = this.#socket;
    if (socket.destroyed) throw new ConnectionLostError('the client has left');
    if (socket.write(bytes)) return;
    await this.#until('drain');
  }

  /** Ends the answer. Resolves when the client has it. */
  async finish(): Promise<void> {
    if (this.#socket.destroyed) throw new ConnectionLostError('the client has left');
    this.#socket.end();
    if (!this.#socket.writableFinished) await this.#until('finish');
    this.#lingerThenDestroy();
  }

  /** Says why the request is refused, and closes. */
  refuse(msg: string): void {
    if (this.#socket.destroyed) return;
    this.#socket.end(READY + encodeBlock({ status: 'error', msg }));
    this.#lingerThenDestroy();
  }

  /** Ends the connection within an answer. */
  breakOff(): void {
    this.#socket.destroy();
  }

  /** A client that goes on writing would have its answer thrown away by a socket that is closed at once. */
  #lingerThenDestroy(): void {
    const { clock } = this.#options;
    const timer = clock.startTimer(LINGER_MS, () => this.#socket.destroy());
    this.#socket.once('close', () => timer.cancel());
  }

  /** Waits for an event of the socket, as long as the client takes something. */
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
        reject(new ConnectionLostError('the client has left'));
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
