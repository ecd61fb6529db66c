const FIRST_CAPACITY = 16;
/** The memory that a version takes beside its record. */
const VERSION_SIZE_BYTES = 24;
/** The number of no version. */
export const NO_VERSION = -1;

/**
 * Versions that writes replaced or deleted, each linked to the earlier one of the same key. They are rows of numbers,
 * since there is one for every overwrite until the next flush, and garbage collection would trace an object for each.
 */
export class SupersededVersions {
  #count = 0;
  #capacity = FIRST_CAPACITY;
  #revisions = new Float64Array(FIRST_CAPACITY);
  #numbers = new Float64Array(FIRST_CAPACITY);
  #places = new Int32Array(FIRST_CAPACITY);
  #older = new Int32Array(FIRST_CAPACITY);

  /**
   * Adds a version and returns its number. Its record is at `place`; the write `number` superseded it at `revision`.
   * `older` is the version of the same key that was superseded before, or NO_VERSION.
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

  /** The bytes of memory that the versions take beside their records. */
  get usedBytes(): number {
    return this.#count * VERSION_SIZE_BYTES;
  }

  /** Returns the place of a version's record. */
  place(version: number): number {
    return this.#places[version]!;
  }

  /** Returns the revision that superseded a version. */
  revision(version: number): number {
    return this.#revisions[version]!;
  }

  /** Returns the number of the write that superseded a version. */
  number(version: number): number {
    return this.#numbers[version]!;
  }

  /** Returns the version of the same key that was superseded before, or NO_VERSION when there is none. */
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
