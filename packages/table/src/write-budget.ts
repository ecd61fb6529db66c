/** What one table has written since its last flush began, as the budget sees it. */
export interface BufferedWrites {
  readonly usedBytes: number;
  /** Begins with a flush, unless one goes on. */
  beginFlush(): void;
}

/**
 * The writes that all tables of a node may keep in memory: past it the table that keeps most is flushed. As much
 * again may be under way to the disk; then tables that are being flushed take nothing more.
 */
export class WriteBudget {
  readonly #bytesMax: number;
  readonly #usedBytes = new Map<BufferedWrites, number>();
  #sumBytes = 0;
  #flushingBytes = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  /** Of all tables, what no flush has begun with. */
  get sumBytes(): number {
    return this.#sumBytes;
  }

  get isFull(): boolean {
    return this.#flushingBytes > this.#bytesMax;
  }

  /** A batch was written. */
  account(writes: BufferedWrites): void {
    this.#set(writes, writes.usedBytes);
    if (this.#sumBytes > this.#bytesMax) this.#largest().beginFlush();
  }

  /** How much of the budget it gives back when it ends. */
  flushBegins(writes: BufferedWrites): number {
    const sizeBytes = this.#usedBytes.get(writes) ?? 0;
    this.#flushingBytes += sizeBytes;
    this.#set(writes, 0);
    return sizeBytes;
  }

  flushEnds(sizeBytes: number): void {
    this.#flushingBytes -= sizeBytes;
  }

  /** The table is closed. */
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
