import { assert } from './assert.js';

/**
 * The appends on their way to one follower, oldest first, in a ring that grows to at most `maxMessages` slots.
 * The window is full when either limit is reached: a count alone would let large entries fill the memory of
 * the transport, bytes alone would let a flood of small messages overrun the peer.
 */
export class Inflights {
  #lastIndexes: number[] = [];
  #sizes: number[] = [];
  #start = 0;
  #held = 0;
  #heldBytes = 0;

  readonly #maxMessages: number;
  readonly #maxBytes: number;

  constructor(maxMessages: number, maxBytes: number) {
    this.#maxMessages = maxMessages;
    this.#maxBytes = maxBytes;
  }

  get count(): number {
    return this.#held;
  }

  /**
   * True when either limit is reached. The last message may exceed the byte limit, so that one of any size can be sent.
   */
  get isFull(): boolean {
    return this.#held >= this.#maxMessages || this.#heldBytes >= this.#maxBytes;
  }

  /** Records an append whose last entry is `lastIndex`. */
  add(lastIndex: number, bytes: number): void {
    assert(!this.isFull, 'an append was sent past the inflight limit');
    if (this.#held === this.#lastIndexes.length) this.#grow();
    const slot = (this.#start + this.#held) % this.#lastIndexes.length;
    this.#lastIndexes[slot] = lastIndex;
    this.#sizes[slot] = bytes;
    this.#held++;
    this.#heldBytes += bytes;
  }

  /** Frees every append up to `index`, since acknowledgements are cumulative. */
  freeTo(index: number): void {
    while (this.#held > 0 && this.#lastIndexes[this.#start]! <= index) {
      this.#heldBytes -= this.#sizes[this.#start]!;
      this.#start = (this.#start + 1) % this.#lastIndexes.length;
      this.#held--;
    }
  }

  clear(): void {
    this.#start = 0;
    this.#held = 0;
    this.#heldBytes = 0;
  }

  /** Grows the ring. Most windows stay nearly empty, so a slot is only made when it is needed. */
  #grow(): void {
    const slots = Math.min(Math.max(8, this.#held * 2), this.#maxMessages);
    const ordered = (ring: number[]): number[] => {
      const copy = [...ring.slice(this.#start), ...ring.slice(0, this.#start)];
      while (copy.length < slots) copy.push(0);
      return copy;
    };
    this.#lastIndexes = ordered(this.#lastIndexes);
    this.#sizes = ordered(this.#sizes);
    this.#start = 0;
  }
}
