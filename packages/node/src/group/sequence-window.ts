const CAPACITY_MIN = 64;

/**
 * Holds items with consecutive numbers, from the first that is still there to the last that was added, in a ring in
 * which holes do no harm. It is no `Map`, for the reason that `StreamTable` of packages/http2 gives.
 */
export class SequenceWindow<Item extends { readonly sequence: number }> {
  #ring: (Item | undefined)[] = new Array<undefined>(CAPACITY_MIN).fill(undefined);
  #first = 1;
  #next = 1;
  #size = 0;

  /** The number of items. */
  get size(): number {
    return this.#size;
  }

  /** The number of the first item; `next` when there is none. */
  get first(): number {
    return this.#first;
  }

  /** The number that the next item must have. */
  get next(): number {
    return this.#next;
  }

  /** Adds an item, whose number must be `next`. */
  add(item: Item): void {
    if (this.#next - this.#first === this.#ring.length) this.#grow();
    this.#ring[item.sequence & (this.#ring.length - 1)] = item;
    this.#next = item.sequence + 1;
    this.#size += 1;
  }

  get(sequence: number): Item | undefined {
    if (sequence < this.#first || sequence >= this.#next) return undefined;
    return this.#ring[sequence & (this.#ring.length - 1)];
  }

  delete(sequence: number): void {
    if (this.get(sequence) === undefined) return;
    const mask = this.#ring.length - 1;
    this.#ring[sequence & mask] = undefined;
    this.#size -= 1;
    while (this.#first < this.#next && this.#ring[this.#first & mask] === undefined) this.#first += 1;
  }

  /** Gives the items in order. Items may be deleted and added while the caller goes through them. */
  values(): Item[] {
    const items: Item[] = [];
    for (let sequence = this.#first; sequence < this.#next; sequence++) {
      const item = this.get(sequence);
      if (item !== undefined) items.push(item);
    }
    return items;
  }

  #grow(): void {
    const items = this.values();
    this.#ring = new Array<undefined>(2 * this.#ring.length).fill(undefined);
    for (const item of items) this.#ring[item.sequence & (this.#ring.length - 1)] = item;
  }
}
