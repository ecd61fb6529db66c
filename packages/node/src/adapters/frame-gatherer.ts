import type { Socket } from 'node:net';
import { LENGTH_BYTES } from './peer-protocol.js';

/** The size from which on a frame is not copied: copying less is cheaper than one more buffer for the system. */
const UNCOPIED_BYTES_MIN = 4096;

/** Gathers the frames for a socket, so that those of one turn of the event loop leave in one system call. */
export class FrameGatherer {
  readonly #socket: Socket;
  #frames: Buffer[] = [];
  #gatheredBytes = 0;
  /** The bytes of the frames that the system has not taken yet. */
  backlogBytes = 0;

  constructor(socket: Socket) {
    this.#socket = socket;
  }

  /** Adds a frame, which the caller must not change afterwards. */
  add(frame: Buffer): void {
    if (this.#frames.length === 0) process.nextTick(this.#flush);
    this.#frames.push(frame);
    this.#gatheredBytes += frame.length;
    this.backlogBytes += frame.length;
  }

  readonly #flush = (): void => {
    const frames = this.#frames;
    const frameBytes = this.#gatheredBytes;
    this.#frames = [];
    this.#gatheredBytes = 0;
    const onTaken = (): void => {
      this.backlogBytes -= frameBytes;
    };
    const pieces = piecesOf(frames);
    if (pieces.length === 1) {
      this.#socket.write(pieces[0]!, onTaken);
      return;
    }
    this.#socket.cork();
    for (const [index, piece] of pieces.entries()) {
      if (index < pieces.length - 1) this.#socket.write(piece);
      else this.#socket.write(piece, onTaken);
    }
    this.#socket.uncork();
  };
}

/**
 * Gives the bytes to write: lengths and small frames in copies that lie together, and the large frames between them.
 */
function piecesOf(frames: readonly Buffer[]): Buffer[] {
  const isSmall = (frame: Buffer): boolean => frame.length < UNCOPIED_BYTES_MIN;
  let copiedBytes = 0;
  for (const frame of frames) copiedBytes += LENGTH_BYTES + (isSmall(frame) ? frame.length : 0);
  const copies = Buffer.allocUnsafe(copiedBytes);
  const pieces: Buffer[] = [];
  let start = 0;
  let at = 0;
  for (const frame of frames) {
    at = copies.writeUInt32BE(frame.length, at);
    if (isSmall(frame)) at += frame.copy(copies, at);
    else {
      pieces.push(copies.subarray(start, at), frame);
      start = at;
    }
  }
  if (at > start) pieces.push(copies.subarray(start, at));
  return pieces;
}
