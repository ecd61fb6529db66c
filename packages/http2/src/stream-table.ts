const CAPACITY_MIN = 16;

/**
 * The streams of a connection by their numbers: a hash table with open addressing. No `Map`: V8 gives one a new table every
 * few insertions, and the old table knows the new one. Once one of them was moved to the old generation, all that come after
 * it are reached from it, dead as they are, and with them each call that was ever open when a table was changed: more than
 * half of what a busy node allocated was copied twice and kept until the next full collection (findings/v8-map-keeps-what-it-forgot.sh).
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

  /** Adds a stream whose number is not there. */
  add(stream: Stream): void {
    // At most half full, so that a search is short.
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
    // Whoever had to go on past the hole to find a place comes back, so that it is found.
    for (let slot = (hole + 1) & mask; slots[slot] !== undefined; slot = (slot + 1) & mask) {
      const wanted = slotOf(slots[slot]!.id, mask);
      if (((slot - wanted) & mask) < ((slot - hole) & mask)) continue;
      slots[hole] = slots[slot];
      slots[slot] = undefined;
      hole = slot;
    }
  }

  /** All streams as they are now, the first that was opened first. */
  values(): Stream[] {
    return this.#slots.filter((stream) => stream !== undefined).sort((left, right) => left.id - right.id);
  }

  /** The slot of a stream, or the one where it would be. */
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

/** One side's numbers are all odd or all even. */
function slotOf(id: number, mask: number): number {
  return (id >>> 1) & mask;
}
