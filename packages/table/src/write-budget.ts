/** The writes of one table since its last flush began, as the budget sees them. */
export interface BufferedWrites {
  readonly usedBytes: number;
  /** Begins a flush, unless one is under way. */
  beginFlush(): void;
}

/**
 * The budget for the writes that all tables of a node keep in memory. When they exceed it, the table that keeps most is
 * flushed. As much again may be on its way to the disk; when that is exceeded, tables that are being flushed accept no
 * more writes.
 */
export class WriteBudget {
  readonly #bytesMax: number;
  readonly #usedBytes = new Map<BufferedWrites, number>();
  #sumBytes = 0;
  #flushingBytes = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  /** The bytes of memory that the writes of all tables take with which no flush has begun. */
  get sumBytes(): number {
    return this.#sumBytes;
  }

  get isFull(): boolean {
    return this.#flushingBytes > this.#bytesMax;
  }

  /** Accounts for a batch that a table has written. */
  account(writes: BufferedWrites): void {
    this.#set(writes, writes.usedBytes);
    if (this.#sumBytes > this.#bytesMax) this.#largest().beginFlush();
  }

  /** Accounts for a flush that begins. Returns the bytes of the budget that it gives back when it ends. */
  flushBegins(writes: BufferedWrites): number {
    const sizeBytes = this.#usedBytes.get(writes) ?? 0;
    this.#flushingBytes += sizeBytes;
    this.#set(writes, 0);
    return sizeBytes;
  }

  flushEnds(sizeBytes: number): void {
    this.#flushingBytes -= sizeBytes;
  }

  /** Removes a table that is closed. */
  remove(writes: BufferedWrites): void {
    this.#set(writes, 0);
    this.#usedBytes.delete(writes);
  }

  #set(writes: BufferedWrites, usedBytes: number): void {
    this.#sumBytes += usedBytes - (this.#usedBytes.get(writes) ?? 0);
    this.#usedBytes.set(writes, usedBytes);
  }

  #largest(): BufferedWrites {
    let [largest, mostBytes] = [undefined as BufferedWrites | undefined, -1];
    for (const [writes, usedBytes] of this.#usedBytes) {
      if (usedBytes > mostBytes) [largest, mostBytes] = [writes, usedBytes];
    }
    return largest!;
  }
}
