import type { ServerResponse } from 'node:http';

/** What may wait for a page that does not read, beside a whole state; past it the page is behind. */
const UNREAD_BYTES_MAX = 1024 * 1024;

/** One page that is fed, over a response that does not end (Server-Sent Events). */
export class LiveStream {
  readonly #response: ServerResponse;
  #isBehind = false;

  constructor(response: ServerResponse) {
    this.#response = response;
    response.on('error', () => response.destroy());
  }

  /** It was behind, has read what there was, and must get everything anew. */
  get wantsAll(): boolean {
    return this.#isBehind && this.#response.writableLength === 0;
  }

  /** Sends a change; leaves it out while the page is behind. */
  send(bytes: Buffer): void {
    if (this.#isBehind) return;
    if (this.#response.writableLength > UNREAD_BYTES_MAX) {
      this.#isBehind = true;
      return;
    }
    this.#response.write(bytes);
  }

  /** Sends a whole state, from which changes go on. */
  sendAll(bytes: Buffer): void {
    this.#isBehind = false;
    this.#response.write(bytes);
  }

  /** Calls `listener` once, when the page has gone or `end` was called. */
  onClose(listener: () => void): void {
    this.#response.once('close', listener);
  }

  end(): void {
    this.#response.end();
  }
}
