import { ConnectionError, ErrorCode } from './errors.js';

/** The most numbers kept of streams that this side ended before the client did. */
const ENDED_EARLY_MAX = 1_000;
/** The most gaps kept in the numbers of a client's streams: numbers that no stream can have any more. */
const GAPS_MAX = 64;

/**
 * Judges frames of streams that are gone by their numbers alone (RFC 9113, 5.1 and 5.1.1): whether such a frame was on
 * its way when the stream ended, or breaks the protocol.
 */
export class StreamNumbers {
  #lastId = 0;
  /** Streams that this side ended while the client may still send, in the order in which they ended. */
  readonly #endedEarly = new Set<number>();
  /** Up to this number the way in which streams ended is forgotten, so their frames count as late ones. */
  #forgottenId = 0;
  /** The first and the last number of each gap, which the client left when it opened a stream above it. */
  readonly #gaps: (readonly [first: number, last: number])[] = [];

  isNew(streamId: number): boolean {
    return streamId > this.#lastId;
  }

  /** Records that the client has opened a new stream. */
  opened(streamId: number): void {
    if (streamId > this.#lastId + 2 && this.#gaps.length < GAPS_MAX) {
      this.#gaps.push([this.#lastId + 1, streamId - 1]);
    }
    this.#lastId = streamId;
  }

  /**
   * Throws unless the stream was opened at some time: on an idle stream only HEADERS may come (RFC 9113, 5.1).
   *
   * @throws ConnectionError
   */
  expectOpened(streamId: number): void {
    if (streamId % 2 === 0 || streamId > this.#lastId) {
      throw new ConnectionError(ErrorCode.protocolError, 'a frame of an idle stream');
    }
  }

  /**
   * Whether the client has skipped this number by opening a stream above it, so that no stream can have it any more.
   */
  isSkipped(streamId: number): boolean {
    return this.#gaps.some(([first, last]) => streamId >= first && streamId <= last);
  }

  /** Records that this side has ended a stream that the client has not. */
  endedEarly(streamId: number): void {
    this.#endedEarly.add(streamId);
    if (this.#endedEarly.size <= ENDED_EARLY_MAX) return;
    const [oldest] = this.#endedEarly;
    this.#endedEarly.delete(oldest!);
    if (oldest! > this.#forgottenId) this.#forgottenId = oldest!;
  }

  /** Records that the client has ended or reset a stream that this side had ended. */
  clientEnded(streamId: number): void {
    this.#endedEarly.delete(streamId);
  }

  /** Whether a frame of a stream that is gone may have been on its way when the stream ended. */
  isOpenForClient(streamId: number): boolean {
    return this.#endedEarly.has(streamId) || (streamId <= this.#forgottenId && !this.isSkipped(streamId));
  }
}
