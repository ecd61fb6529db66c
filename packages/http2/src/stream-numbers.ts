import { ConnectionError, ErrorCode } from './errors.js';

/** Streams that were ended here before the client had ended them, of which the numbers are kept. */
const ENDED_EARLY_MAX = 1_000;
/** Gaps in the numbers of a client's streams of which is known that nothing was ever there. */
const GAPS_MAX = 64;

/**
 * The state of a connection's streams as their numbers alone show it (RFC 9113, 5.1 and 5.1.1), also when they are
 * gone: whether a frame that comes now was on its way when the stream ended, or breaks the protocol.
 */
export class StreamNumbers {
  #lastId = 0;
  /** Ended here, while the client may still send: in the order in which they ended. */
  readonly #endedEarly = new Set<number>();
  /** Of streams up to this number it is no longer known how they ended: frames of them are taken for late ones. */
  #forgottenId = 0;
  /** First and last number of each gap, which a client left when it opened a stream above. */
  readonly #gaps: (readonly [first: number, last: number])[] = [];

  isNew(streamId: number): boolean {
    return streamId > this.#lastId;
  }

  /** The client opens a stream that is new. */
  opened(streamId: number): void {
    if (streamId > this.#lastId + 2 && this.#gaps.length < GAPS_MAX) {
      this.#gaps.push([this.#lastId + 1, streamId - 1]);
    }
    this.#lastId = streamId;
  }

  /** @throws ConnectionError for a stream that was never opened: only HEADERS may come there (RFC 9113, 5.1). */
  expectOpened(streamId: number): void {
    if (streamId % 2 === 0 || streamId > this.#lastId) {
      throw new ConnectionError(ErrorCode.protocolError, 'a frame of an idle stream');
    }
  }

  /** A number below that of a stream that was opened, and which no stream has had: it can have none any more. */
  isSkipped(streamId: number): boolean {
    return this.#gaps.some(([first, last]) => streamId >= first && streamId <= last);
  }

  /** This side has ended a stream that the client has not. */
  endedEarly(streamId: number): void {
    this.#endedEarly.add(streamId);
    if (this.#endedEarly.size <= ENDED_EARLY_MAX) return;
    const [oldest] = this.#endedEarly;
    this.#endedEarly.delete(oldest!);
    if (oldest! > this.#forgottenId) this.#forgottenId = oldest!;
  }

  /** The client has ended or reset a stream that was gone here. */
  clientEnded(streamId: number): void {
    this.#endedEarly.delete(streamId);
  }

  /** Whether a frame of a stream that is gone may have been on its way when it ended. */
  isOpenForClient(streamId: number): boolean {
    return this.#endedEarly.has(streamId) || (streamId <= this.#forgottenId && !this.isSkipped(streamId));
  }
}
