import type {
  Entry,
  HardState,
  LogReader,
  Membership,
  SnapshotMetadata,
  StorageAppend,
} from '../../src/index.js';

/** One version of what a replica's disk holds. */
class DiskImage {
  hardState: HardState = { term: 0, vote: 0, commit: 0 };
  entries: Entry[] = [];

  constructor(
    /** What the log starts behind. */
    public start: { readonly index: number; readonly term: number },
    /** The state machine's image: what was applied, and the members as of then. */
    public snapshot: SnapshotMetadata,
  ) {}

  write(append: StorageAppend): void {
    if (append.hardState !== undefined) this.hardState = append.hardState;
    if (append.snapshot !== undefined) {
      this.start = append.snapshot;
      this.snapshot = append.snapshot;
      this.entries = [];
    }
    const first = append.entries[0];
    if (first !== undefined) {
      this.entries.length = first.index - this.start.index - 1;
      this.entries.push(...append.entries);
    }
  }

  copy(): DiskImage {
    const copy = new DiskImage(this.start, this.snapshot);
    copy.hardState = this.hardState;
    copy.entries = [...this.entries];
    return copy;
  }
}

/** A log on a simulated disk: `submit` makes a write visible, `sync` makes it survive `crash`. */
export class MemoryDisk implements LogReader {
  #visible: DiskImage;
  #durable: DiskImage;

  constructor(membership: Membership, start: { index: number; term: number } = { index: 0, term: 0 }) {
    this.#visible = new DiskImage(start, { ...start, membership });
    this.#visible.hardState = { term: start.term, vote: 0, commit: start.index };
    this.#durable = this.#visible.copy();
  }

  get hardState(): HardState {
    return this.#visible.hardState;
  }

  /** The last index that would survive a crash. */
  get durableLastIndex(): number {
    return this.#durable.start.index + this.#durable.entries.length;
  }

  /** For setting a scene: the state as if everything had been written long ago. */
  preset(hardState: HardState, entries: readonly Entry[]): void {
    this.#visible.hardState = hardState;
    this.#visible.entries = [...entries];
    this.#durable = this.#visible.copy();
  }

  submit(append: StorageAppend): void {
    this.#visible.write(append);
  }

  sync(append: StorageAppend): void {
    this.#durable.write(append);
  }

  /** Loses what was not synced. */
  crash(): void {
    this.#visible = this.#durable.copy();
  }

  /** The state machine has an image of everything up to `index`. */
  saveSnapshot(snapshot: SnapshotMetadata): void {
    for (const image of [this.#visible, this.#durable]) image.snapshot = snapshot;
  }

  /** Drops the entries up to `index`, which a snapshot must cover. */
  compact(index: number): void {
    for (const image of [this.#visible, this.#durable]) {
      const count = index - image.start.index;
      if (count <= 0 || count > image.entries.length) continue;
      image.start = { index, term: image.entries[count - 1]!.term };
      image.entries = image.entries.slice(count);
    }
  }

  firstIndex(): number {
    return this.#visible.start.index + 1;
  }

  lastIndex(): number {
    return this.#visible.start.index + this.#visible.entries.length;
  }

  term(index: number): number | undefined {
    const { start, entries } = this.#visible;
    return index === start.index ? start.term : entries[index - start.index - 1]?.term;
  }

  entries(from: number, to: number, maxBytes: number): Entry[] {
    const { start, entries } = this.#visible;
    const taken: Entry[] = [];
    let bytes = 0;
    for (let index = from; index < to; index++) {
      const entry = entries[index - start.index - 1]!;
      bytes += entry.data.length;
      if (taken.length > 0 && bytes > maxBytes) break;
      taken.push(entry);
    }
    return taken;
  }

  snapshot(): SnapshotMetadata {
    return this.#visible.snapshot;
  }
}
