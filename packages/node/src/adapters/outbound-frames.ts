import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import { FrameGatherer } from './frame-gatherer.js';
import { ACCEPTANCE, MESSAGE_BYTES_MAX, OpeningReader, PREFACES } from './peer-protocol.js';
import { LOOKS_UNTIL_SILENT } from './silence.js';

/** More than this waiting for a peer is dropped: it is slow or gone, and Raft repeats what matters. */
const BACKLOG_BYTES_MAX = 64 * 1024 * 1024;
/** A connection that is not up by then is given up: the system alone would try its first packet for minutes. */
const DIAL_MS_MAX = 2000;

const REFUSED = 'the other side hung up: it may not take the certificate that is shown to it';
const NOTHING = Buffer.alloc(0);

/** A connection that this node dialled for its frames. What comes back only shows that they arrive. */
export class OutboundFrames {
  readonly #socket: Socket;
  readonly #gatherer: FrameGatherer;
  #cause: NodeJS.ErrnoException | undefined;
  /** Looks since something came back. */
  missedLooks = 0;
  /** A frame left since the last look. */
  #hasSpoken = false;

  /** `onUp`: the peer has accepted the connection. `onLost`: it is over, also one that was never up. */
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
    // Nobody reads any more what would still have to be written.
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

  get isSilent(): boolean {
    return this.missedLooks >= LOOKS_UNTIL_SILENT;
  }

  /** False when too much waits already, or the connection has just broken. The frame is this object's from then on. */
  send(frame: Buffer): boolean {
    const { backlogBytes } = this.#gatherer;
    if (this.#socket.destroyed || frame.length > MESSAGE_BYTES_MAX) return false;
    if (backlogBytes > 0 && backlogBytes + frame.length > BACKLOG_BYTES_MAX) return false;
    this.#gatherer.add(frame);
    this.#hasSpoken = true;
    return true;
  }

  /** Makes the peer answer, as frames do where there are any, and counts until it does. */
  look(): void {
    if (!this.#hasSpoken && this.#gatherer.backlogBytes === 0) this.#gatherer.add(NOTHING);
    this.#hasSpoken = false;
    this.missedLooks++;
  }

  /** At once: an orderly end would wait for packets that do not come. */
  hangUp(): void {
    this.#socket.destroy();
  }

  #giveUp(reason: string): void {
    this.#cause ??= new Error(reason);
    this.#socket.destroy();
  }
}
