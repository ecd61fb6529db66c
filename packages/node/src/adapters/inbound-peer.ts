import type { Socket } from 'node:net';
import type { PeerHandler } from '../api/environment.js';
import { BulkPieces } from './bulk-pieces.js';
import { MessageCutter } from './message-cutter.js';
import { ACCEPTANCE, BulkCode, bulkHead, OpeningReader, PREFACES, SIGN_OF_LIFE } from './peer-protocol.js';
import { LOOKS_UNTIL_GIVEN_UP, LOOKS_UNTIL_OPENED } from './silence.js';

/** The settings of an InboundPeer, and the events that it reports. */
export interface InboundPeerOptions {
  readonly handler: PeerHandler;
  /** The pause between two looks, in milliseconds. */
  readonly lookMs: number;
  /** Called when the connection was hung up for what the peer has sent, or has failed to send. */
  readonly onRefused: (reason: string) => void;
}

/** A connection that somebody dialled; it is a peer's if it begins as one. */
export class InboundPeer {
  readonly #socket: Socket;
  readonly #options: InboundPeerOptions;
  /** Takes the bytes that arrive: first the preface, then the kind of messages that it announced. */
  #receive: (chunk: Buffer) => void;
  /** The pieces of the stream, on a connection of bulk. */
  #pieces: BulkPieces | undefined;
  #isOpened = false;
  #isAnswered = false;
  #answeredMs = Number.NEGATIVE_INFINITY;
  /** The looks since bytes arrived; until the preface is complete, the looks since the connection was made. */
  #missedLooks = 0;

  constructor(socket: Socket, options: InboundPeerOptions) {
    this.#socket = socket;
    this.#options = options;
    const opening = new OpeningReader(PREFACES);
    this.#receive = (chunk) => {
      const opened = opening.push(chunk);
      if (opened === undefined) return;
      if (opened.kind === undefined) {
        this.#refuse(opened.reason);
        return;
      }
      this.#isOpened = true;
      this.#missedLooks = 0;
      // Lets the dialler know that the connection is up, before its first frame.
      socket.write(ACCEPTANCE.taken);
      this.#receive = opened.kind === 'frames' ? this.#takeFrames() : this.#takeBulk();
      if (opened.rest.length > 0) this.#receive(opened.rest);
    };
    // The dialler makes a broken connection again.
    socket.on('error', () => undefined);
    socket.on('data', (chunk: Buffer) => this.#receive(chunk));
    socket.once('end', () => socket.destroy());
    socket.once('close', () => this.#pieces?.break());
  }

  /** Gives the connection up when nothing arrived for long, so that nothing is kept for a peer that is gone. */
  look(): void {
    const socket = this.#socket;
    if (this.#pieces !== undefined && socket.writableLength === 0) socket.write(SIGN_OF_LIFE);
    // While this node does not read, it cannot know whether the peer is silent.
    if (socket.isPaused()) return;
    const looksMax = this.#isOpened ? LOOKS_UNTIL_GIVEN_UP : LOOKS_UNTIL_OPENED;
    if (++this.#missedLooks <= looksMax) return;
    if (this.#isOpened) socket.destroy();
    else this.#refuse('it has not said what it is');
  }

  #takeFrames(): (chunk: Buffer) => void {
    const { handler, lookMs } = this.#options;
    const cutter = new MessageCutter((frame) => handler.onFrame(frame));
    return (chunk) => {
      this.#missedLooks = 0;
      // Also in the middle of a large frame: bytes that arrive show that the connection works. One sign per look is
      // enough, since the dialler waits for eight looks.
      const nowMs = performance.now();
      if (nowMs - this.#answeredMs >= lookMs && this.#socket.writableLength === 0) {
        this.#answeredMs = nowMs;
        this.#socket.write(SIGN_OF_LIFE);
      }
      if (!cutter.push(chunk)) this.#refuse('its message is too long');
    };
  }

  #takeBulk(): (chunk: Buffer) => void {
    const socket = this.#socket;
    const pieces = new BulkPieces(() => socket.resume());
    this.#pieces = pieces;
    const cutter = new MessageCutter((message) => {
      // A sender that has its verdict may still send chunks: they are dropped.
      if (this.#isAnswered || socket.destroyed) return;
      if (pieces.isWhole) this.#refuse('it goes on after the end');
      else if (message[0] === BulkCode.Piece) pieces.add(message.subarray(1));
      else if (message[0] === BulkCode.End) pieces.end();
      else this.#refuse('its message is of no kind');
    });
    void this.#serveBulk(pieces);
    return (chunk) => {
      // A sender that has its verdict hangs up; one that does not is not listened to for ever.
      if (!this.#isAnswered) this.#missedLooks = 0;
      if (!cutter.push(chunk)) this.#refuse('its message is too long');
      if (!this.#isAnswered && !pieces.isWhole && pieces.isFull) socket.pause();
    };
  }

  async #serveBulk(pieces: BulkPieces): Promise<void> {
    const socket = this.#socket;
    let reason = '';
    try {
      const header = await pieces.next();
      if (header.done) reason = 'the stream has no header';
      else {
        const source = { header: header.value, [Symbol.asyncIterator]: () => pieces };
        const verdict = await this.#options.handler.onBulk(source);
        reason = verdict.accepted ? '' : verdict.reason || 'refused';
      }
    } catch {
      socket.destroy();
    }
    if (socket.destroyed) return;
    this.#isAnswered = true;
    this.#missedLooks = 0;
    const text = Buffer.from(reason);
    const code = reason === '' ? BulkCode.Accepted : BulkCode.Refused;
    socket.write(Buffer.concat([bulkHead(code, text.length), text]));
    pieces.discard();
    socket.resume();
  }

  #refuse(reason: string): void {
    if (this.#socket.destroyed) return;
    this.#socket.destroy();
    this.#options.onRefused(reason);
  }
}
