/** So much of a bulk stream waits on each side before it is held up. */
export const BULK_BACKLOG_BYTES_MAX = 4 * 1024 * 1024;

/** The pieces of a bulk stream that have arrived and wait for its reader. Whoever fills it stops while it is full. */
export class BulkPieces implements AsyncIterator<Buffer, undefined> {
  readonly #onRoom: () => void;
  #pieces: Buffer[] = [];
  #bytes = 0;
  #isWhole = false;
  #hasBroken = false;
  #wake: (() => void) | undefined;

  /** `onRoom`: a piece was taken, and there is room for more. */
  constructor(onRoom: () => void) {
    this.#onRoom = onRoom;
  }

  get isFull(): boolean {
    return this.#bytes >= BULK_BACKLOG_BYTES_MAX;
  }

  get isWhole(): boolean {
    return this.#isWhole;
  }

  add(piece: Buffer): void {
    this.#pieces.push(piece);
    this.#bytes += piece.length;
    this.#wake?.();
  }

  /** Nothing follows. */
  end(): void {
    this.#isWhole = true;
    this.#wake?.();
  }

  /** What follows does not come. Does nothing where everything is there. */
  break(): void {
    this.#hasBroken = true;
    this.#wake?.();
  }

  /** Its reader wants no more: what waits is forgotten. */
  discard(): void {
    this.#pieces = [];
    this.#bytes = 0;
  }

  /** Rejects where the stream broke off. One call at a time. */
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
