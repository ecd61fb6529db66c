import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import { FrameGatherer } from './frame-gatherer.js';
import { ACCEPTANCE, MESSAGE_BYTES_MAX, OpeningReader, PREFACES } from './peer-protocol.js';
import { LOOKS_UNTIL_SILENT } from './silence.js';

/**
 * The limit of the bytes that wait for a peer; beyond it frames are dropped: the peer is slow or gone, and Raft repeats
 * what matters.
 */
const BACKLOG_BYTES_MAX = 64 * 1024 * 1024;
/**
 * The time after which a connection that is not up is given up: the system alone would try its first packet for
 * minutes.
 */
const DIAL_MS_MAX = 2000;

const REFUSED = 'the other side hung up: it may not take the certificate that is shown to it';
const NOTHING = Buffer.alloc(0);

/** A connection that this node dialled for its frames. The bytes that come back only show that the frames arrive. */
export class OutboundFrames {
  readonly #socket: Socket;
  readonly #gatherer: FrameGatherer;
  #cause: NodeJS.ErrnoException | undefined;
  /** The looks since bytes came back. */
  missedLooks = 0;
  /** Whether a frame left since the last look. */
  #hasSpoken = false;

  /**
   * Opens the connection on a socket. Calls `onUp` when the peer has accepted it, and `onLost` when it is over, also if
   * it was never up.
   */
  constructor(socket: Socket, onUp: () => void, onLost: (reason: string) => void) {
    this.#socket = socket;
    this.#gatherer = new FrameGatherer(socket);
    const timer = setTimeout(() => this.#giveUp(`no answer in ${DIAL_MS_MAX / 1000} s`), DIAL_MS_MAX);
    let opening: OpeningReader<'taken'> | undefined = new OpeningReader(ACCEPTANCE);
    socket.on('data', (chunk: Buffer) => {
      this.missedLooks = 0;
      const opened = opening?.push(chunk);
      if (opened === undefined) return;
      opening = undefined;
      clearTimeout(timer);
      if (opened.kind === undefined) this.#giveUp(opened.reason);
      else onUp();
    });
    socket.on('error', (error: Error) => {
      this.#cause ??= error;
    });
    // Nobody reads the bytes that would still have to be written.
    socket.once('end', () => socket.destroy());
    socket.once('close', () => {
      clearTimeout(timer);
      // In TLS 1.3 a peer that refuses the certificate of this node does so after the handshake, and only hangs up.
      const isRefusal = opening !== undefined && socket instanceof TLSSocket;
      const closed = isRefusal ? REFUSED : 'the connection was closed';
      // Where a name has several addresses, and none of them answers, the error has no text.
      onLost(this.#cause?.message || this.#cause?.code || closed);
    });
    socket.write(PREFACES.frames);
  }

  /** Whether the peer has been silent for so long that it should be dialled again. */
  get isSilent(): boolean {
    return this.missedLooks >= LOOKS_UNTIL_SILENT;
  }

  /**
   * Sends a frame, which the caller must not change afterwards. Returns false when too much waits already, or the
   * connection has just broken.
   */
  send(frame: Buffer): boolean {
    const { backlogBytes } = this.#gatherer;
    if (this.#socket.destroyed || frame.length > MESSAGE_BYTES_MAX) return false;
    if (backlogBytes > 0 && backlogBytes + frame.length > BACKLOG_BYTES_MAX) return false;
    this.#gatherer.add(frame);
    this.#hasSpoken = true;
    return true;
  }

  /** Makes the peer answer, as frames would, and counts the looks until it does. */
  look(): void {
    if (!this.#hasSpoken && this.#gatherer.backlogBytes === 0) this.#gatherer.add(NOTHING);
    this.#hasSpoken = false;
    this.missedLooks++;
  }

  /** Closes the connection at once: an orderly end would wait for packets that do not come. */
  hangUp(): void {
    this.#socket.destroy();
  }

  #giveUp(reason: string): void {
    this.#cause ??= new Error(reason);
    this.#socket.destroy();
  }
}
