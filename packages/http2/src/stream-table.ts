const CAPACITY_MIN = 16;

/**
 * Finds the streams of a connection by their numbers: a hash table with open addressing. It is not a `Map`, since V8
 * gives a `Map` a new table every few insertions, and the old table refers to the new one. Once an old table has moved
 * to the old generation, it keeps all later ones alive, and with them each call that was open when a table was
 * replaced: more than half of what a busy node allocated was copied twice and kept until the next full collection
 * (findings/v8-map-keeps-what-it-forgot.sh).
 */
export class StreamTable<Stream extends { readonly id: number }> {
  #slots: (Stream | undefined)[] = new Array<undefined>(CAPACITY_MIN).fill(undefined);
  #size = 0;

  get size(): number {
    return this.#size;
  }

  get(id: number): Stream | undefined {
    return this.#slots[this.#find(id)];
  }

  /** Adds a stream whose number is not in the table. */
  add(stream: Stream): void {
    // Keeps the table at most half full, so that searches are short.
    if (2 * (this.#size + 1) > this.#slots.length) this.#grow();
    this.#slots[this.#find(stream.id)] = stream;
    this.#size += 1;
  }

  delete(id: number): void {
    const slots = this.#slots;
    const mask = slots.length - 1;
    let hole = this.#find(id);
    if (slots[hole] === undefined) return;
    slots[hole] = undefined;
    this.#size -= 1;
    // Streams that were stored further on because this slot was taken move back, so that searches still find them.
    for (let slot = (hole + 1) & mask; slots[slot] !== undefined; slot = (slot + 1) & mask) {
      const wanted = slotOf(slots[slot]!.id, mask);
      if (((slot - wanted) & mask) < ((slot - hole) & mask)) continue;
      slots[hole] = slots[slot];
      slots[slot] = undefined;
      hole = slot;
    }
  }

  /** Returns all streams, in the order in which they were opened. */
  values(): Stream[] {
    return this.#slots.filter((stream) => stream !== undefined).sort((left, right) => left.id - right.id);
  }

  /** Returns the slot that holds the stream, or the free one in which it belongs. */
  #find(id: number): number {
    const slots = this.#slots;
    const mask = slots.length - 1;
    let slot = slotOf(id, mask);
    for (let found = slots[slot]; found !== undefined && found.id !== id; found = slots[slot]) {
      slot = (slot + 1) & mask;
    }
    return slot;
  }

  #grow(): void {
    const streams = this.values();
    this.#slots = new Array<undefined>(2 * this.#slots.length).fill(undefined);
    for (const stream of streams) this.#slots[this.#find(stream.id)] = stream;
  }
}

/** The numbers of one side are all odd or all even, so the lowest bit is dropped. */
function slotOf(id: number, mask: number): number {
  return (id >>> 1) & mask;
}
