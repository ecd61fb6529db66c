/** The limit of the bytes of a bulk stream that wait on either side; beyond it the stream is held up. */
export const BULK_BACKLOG_BYTES_MAX = 4 * 1024 * 1024;

/**
 * The pieces of a bulk stream that have arrived and wait for its reader. The connection stops adding pieces while it is
 * full.
 */
export class BulkPieces implements AsyncIterator<Buffer, undefined> {
  readonly #onRoom: () => void;
  #pieces: Buffer[] = [];
  #bytes = 0;
  #isWhole = false;
  #hasBroken = false;
  #wake: (() => void) | undefined;

  /** Makes an empty stream, which calls `onRoom` when a piece was taken and there is room for more. */
  constructor(onRoom: () => void) {
    this.#onRoom = onRoom;
  }

  /** Whether so much waits that no more should be added. */
  get isFull(): boolean {
    return this.#bytes >= BULK_BACKLOG_BYTES_MAX;
  }

  /** Whether the end of the stream has arrived. */
  get isWhole(): boolean {
    return this.#isWhole;
  }

  /** Adds a piece that has arrived. */
  add(piece: Buffer): void {
    this.#pieces.push(piece);
    this.#bytes += piece.length;
    this.#wake?.();
  }

  /** Ends the stream: no piece follows. */
  end(): void {
    this.#isWhole = true;
    this.#wake?.();
  }

  /**
   * Breaks the stream off: the pieces that are missing will not come. Does nothing to a stream whose end has arrived.
   */
  break(): void {
    this.#hasBroken = true;
    this.#wake?.();
  }

  /** Drops the pieces that wait, because the reader wants no more. */
  discard(): void {
    this.#pieces = [];
    this.#bytes = 0;
  }

  /** Gives the next piece. Rejects when the stream broke off. One call at a time. */
  async next(): Promise<IteratorResult<Buffer, undefined>> {
    for (;;) {
      const piece = this.#pieces.shift();
      if (piece !== undefined) {
        this.#bytes -= piece.length;
        if (!this.isFull) this.#onRoom();
        return { done: false, value: piece };
      }
      if (this.#isWhole) return { done: true, value: undefined };
      if (this.#hasBroken) throw new Error('the stream broke off');
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }
}
