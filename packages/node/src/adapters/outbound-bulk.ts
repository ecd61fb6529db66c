import type { Socket } from 'node:net';
import type { BulkSink } from '../api/environment.js';
import { BULK_BACKLOG_BYTES_MAX } from './bulk-pieces.js';
import { MessageCutter } from './message-cutter.js';
import { ACCEPTANCE, BulkCode, bulkHead, OpeningReader, PREFACES, SIGN_OF_LIFE } from './peer-protocol.js';
import { LOOKS_UNTIL_GIVEN_UP, LOOKS_UNTIL_OPENED } from './silence.js';

interface Verdict {
  readonly accepted: boolean;
  readonly reason: string;
}

/** A connection that this node dialled for one stream of bulk. */
export class OutboundBulk implements BulkSink {
  readonly #socket: Socket;
  readonly #verdict: Promise<Verdict>;
  /** Rejects with the verdict: the receiver may refuse before it has taken everything, and then going on is useless. */
  readonly #early: Promise<never>;
  #backlogBytes = 0;
  #isOpened = false;
  #missedLooks = 0;

  constructor(socket: Socket, header: Buffer) {
    this.#socket = socket;
    this.#verdict = new Promise((resolve, reject) => {
      let cause: Error | undefined;
      const giveUp = (reason: string): void => {
        cause ??= new Error(reason);
        socket.destroy();
      };
      const opening = new OpeningReader(ACCEPTANCE);
      const cutter = new MessageCutter((message) => {
        const isAccepted = message[0] === BulkCode.Accepted;
        if (!isAccepted && message[0] !== BulkCode.Refused) {
          giveUp('the answer is no verdict');
          return;
        }
        resolve({ accepted: isAccepted, reason: message.toString('utf8', 1) });
        socket.destroy();
      });
      socket.on('data', (chunk: Buffer) => {
        this.#missedLooks = 0;
        let messages = chunk;
        if (!this.#isOpened) {
          const opened = opening.push(chunk);
          if (opened === undefined) return;
          if (opened.kind === undefined) {
            giveUp(opened.reason);
            return;
          }
          this.#isOpened = true;
          messages = opened.rest;
        }
        if (!cutter.push(messages)) giveUp('the answer is too long');
      });
      socket.on('error', (error: Error) => {
        cause ??= error;
      });
      socket.once('end', () => socket.destroy());
      socket.once('close', () => reject(cause ?? new Error('the stream broke off')));
    });
    this.#early = this.#verdict.then(({ reason }) => {
      throw new Error(`the receiver ended the stream: ${reason}`);
    });
    // A caller that writes or finishes hears of a broken stream; a verdict that nobody awaits is no error.
    this.#verdict.catch(() => undefined);
    this.#early.catch(() => undefined);
    socket.write(PREFACES.bulk);
    this.#send(BulkCode.Piece, header).catch(() => undefined);
  }

  /** Sends a chunk, which the caller must not change afterwards. Resolves when there is room for another one. */
  write(chunk: Buffer): Promise<void> {
    // A destroyed socket would always seem to have room.
    if (this.#socket.destroyed) return this.#early;
    return Promise.race([this.#send(BulkCode.Piece, chunk), this.#early]);
  }

  finish(): Promise<Verdict> {
    this.#send(BulkCode.End, Buffer.alloc(0)).catch(() => undefined);
    return this.#verdict;
  }

  abort(): void {
    this.#socket.destroy();
  }

  /** Shows the receiver that this side is there, and gives the receiver up when it has been silent for long. */
  look(): void {
    if (this.#isOpened && this.#backlogBytes === 0) this.#socket.write(SIGN_OF_LIFE);
    if (++this.#missedLooks > (this.#isOpened ? LOOKS_UNTIL_GIVEN_UP : LOOKS_UNTIL_OPENED))
      this.#socket.destroy(new Error('the peer is silent'));
  }

  #send(code: BulkCode, content: Buffer): Promise<void> {
    return new Promise<void>((resolve, reject) => {
      this.#backlogBytes += content.length;
      this.#socket.cork();
      this.#socket.write(bulkHead(code, content.length));
      this.#socket.write(content, (error) => {
        this.#backlogBytes -= content.length;
        if (error) reject(error);
        else resolve();
      });
      this.#socket.uncork();
      if (this.#backlogBytes < BULK_BACKLOG_BYTES_MAX) resolve();
    });
  }
}
