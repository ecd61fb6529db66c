const FIRST_CAPACITY = 16;
/** What a version takes beside its record. */
const VERSION_SIZE_BYTES = 24;
/** A key has no version. */
export const NO_VERSION = -1;

/**
 * Versions that writes replaced or deleted, each with the one of the same key before it. They are numbers in lists, since
 * there is one for every overwrite until the next flush, and garbage collection would go after an object for each.
 */
export class SupersededVersions {
  #count = 0;
  #capacity = FIRST_CAPACITY;
  #revisions = new Float64Array(FIRST_CAPACITY);
  #numbers = new Float64Array(FIRST_CAPACITY);
  #places = new Int32Array(FIRST_CAPACITY);
  #older = new Int32Array(FIRST_CAPACITY);

  /**
   * Adds the version whose record is at a place, which the write of a number superseded at a revision. `older` is the
   * version that this one had superseded, or NO_VERSION.
   */
  add(place: number, revision: number, number: number, older: number): number {
    if (this.#count === this.#capacity) this.#grow();
    const version = this.#count++;
    this.#places[version] = place;
    this.#revisions[version] = revision;
    this.#numbers[version] = number;
    this.#older[version] = older;
    return version;
  }

  /** What the versions take beside their records. */
  get usedBytes(): number {
    return this.#count * VERSION_SIZE_BYTES;
  }

  /** Where its record is. */
  place(version: number): number {
    return this.#places[version]!;
  }

  /** That superseded it. */
  revision(version: number): number {
    return this.#revisions[version]!;
  }

  /** Of the write that superseded it. */
  number(version: number): number {
    return this.#numbers[version]!;
  }

  /** The version of the key before it; NO_VERSION: there is none. */
  older(version: number): number {
    return this.#older[version]!;
  }

  #grow(): void {
    this.#capacity *= 2;
    this.#revisions = enlarged(this.#revisions, new Float64Array(this.#capacity));
    this.#numbers = enlarged(this.#numbers, new Float64Array(this.#capacity));
    this.#places = enlarged(this.#places, new Int32Array(this.#capacity));
    this.#older = enlarged(this.#older, new Int32Array(this.#capacity));
  }
}

function enlarged<List extends Float64Array | Int32Array>(list: List, larger: List): List {
  larger.set(list);
  return larger;
}
