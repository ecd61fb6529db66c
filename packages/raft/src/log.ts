import { assert } from './assert.js';
import type { Entry, LogReader, SnapshotMetadata } from './types.js';

/** The position of a log's last entry, which elections compare (§5.4.1). */
export interface LogPosition {
  readonly index: number;
  readonly term: number;
}

/**
 * The log as the core sees it: what the host stores, and in memory the tail that is not durable yet or not
 * handed out for applying yet. An entry normally lives from its proposal to its apply in the tail, so that
 * the hot path reads nothing back from the host.
 *
 * applied <= handedOut <= min(commit, durable), and durable <= submitted <= last, always. A snapshot on its
 * way to the disk stands for everything up to it, and nothing is handed out meanwhile.
 */
export class Log {
  /** The highest index known to be committed; it never goes back. */
  #committedIndex: number;
  /** The highest index handed out for applying. */
  #handedOutIndex: number;
  #appliedTo: number;
  /** The highest index handed out for storing. */
  #submittedIndex: number;
  #durableTo: number;
  #tail: Entry[] = [];
  /** The index of `#tail[0]`. Entries below it are read from the host. */
  #tailFirst: number;
  /** The snapshot that is being restored and is not durable yet. */
  #restoring: SnapshotMetadata | undefined;
  #isSnapshotSubmitted = true;

  readonly #reader: LogReader;

  /** `commit` is a hint from the disk: it may lag behind the applied index. */
  constructor(reader: LogReader, commit: number, applied: number) {
    this.#reader = reader;
    const last = reader.lastIndex();
    assert(applied <= last, () => `applied ${applied} is past the log's last index ${last}`);
    assert(applied >= reader.firstIndex() - 1, () => `the log lacks entries after applied ${applied}`);
    this.#tailFirst = last + 1;
    this.#submittedIndex = last;
    this.#durableTo = last;
    this.#appliedTo = applied;
    this.#handedOutIndex = applied;
    this.#committedIndex = Math.max(applied, Math.min(commit, last));
  }

  get firstIndex(): number {
    return this.#restoring === undefined ? this.#reader.firstIndex() : this.#restoring.index + 1;
  }

  get lastIndex(): number {
    return this.#tailFirst + this.#tail.length - 1;
  }

  get lastTerm(): number {
    return this.#termOf(this.lastIndex);
  }

  /** The end of this log, which voters compare with the ends of their own logs (§5.4.1). */
  get end(): { readonly lastIndex: number; readonly lastTerm: number } {
    const { lastIndex, lastTerm } = this;
    return { lastIndex, lastTerm };
  }

  /**
   * Whether the last entry is of this term. It must be an actual entry: after a snapshot it is unknown who sent the
   * entries.
   */
  hasEntryOf(term: number): boolean {
    return this.lastTerm === term && this.lastIndex >= this.firstIndex;
  }

  get commit(): number {
    return this.#committedIndex;
  }

  get applied(): number {
    return this.#appliedTo;
  }

  /** The highest index that survives a crash. */
  get durableIndex(): number {
    return this.#durableTo;
  }

  /** The snapshot that is being installed. */
  get pendingSnapshot(): SnapshotMetadata | undefined {
    return this.#restoring;
  }

  /** The snapshot that the host could send in place of entries that it no longer has. */
  snapshot(): SnapshotMetadata | undefined {
    return this.#reader.snapshot();
  }

  /** Returns the term of the entry at `index`; undefined when it is compacted away or past the end. */
  term(index: number): number | undefined {
    if (index >= this.#tailFirst) return this.#tail[index - this.#tailFirst]?.term;
    if (this.#restoring !== undefined)
      return index === this.#restoring.index ? this.#restoring.term : undefined;
    return this.#reader.term(index);
  }

  /** Returns the term at an index that the log must have. */
  #termOf(index: number): number {
    const term = this.term(index);
    assert(term !== undefined, () => `the log has no term for index ${index}`);
    return term;
  }

  /** Whether a log that ends at `other` is at least as up to date as this one (§5.4.1). */
  isCoveredBy(other: LogPosition): boolean {
    const lastTerm = this.lastTerm;
    return other.term > lastTerm || (other.term === lastTerm && other.index >= this.lastIndex);
  }

  /** Returns entries from `from` up to and including `to`: at least one, and as many as fit into `maxBytes` of data. */
  entries(from: number, to: number, maxBytes: number): readonly Entry[] {
    if (from > to) return [];
    assert(to <= this.lastIndex, 'entries past the end were asked for');
    if (from >= this.#tailFirst) {
      const first = this.#tail[from - this.#tailFirst]!;
      return this.#tailSlice(from, to, maxBytes, first.data.length);
    }
    const stored = this.#reader.entries(from, Math.min(to + 1, this.#tailFirst), maxBytes);
    const next = from + stored.length;
    if (next < this.#tailFirst || next > to) return stored;
    let bytes = this.#tail[0]!.data.length;
    for (const entry of stored) bytes += entry.data.length;
    return bytes > maxBytes ? stored : stored.concat(this.#tailSlice(next, to, maxBytes, bytes));
  }

  /** Returns the entry at `from`, with which the slice holds `bytes` of data, and those after it that fit. */
  #tailSlice(from: number, to: number, maxBytes: number, bytes: number): Entry[] {
    const start = from - this.#tailFirst;
    const end = to + 1 - this.#tailFirst;
    let stop = start + 1;
    let total = bytes;
    while (stop < end) {
      total += this.#tail[stop]!.data.length;
      if (total > maxBytes) break;
      stop++;
    }
    return this.#tail.slice(start, stop);
  }

  /** Appends a leader's own entry. */
  push(entry: Entry): void {
    this.#tail.push(entry);
  }

  /**
   * Appends entries that a leader sent after `prevIndex`, where the logs are known to match (§5.3): entries that are
   * here already stay, and a conflicting suffix is replaced.
   */
  merge(prevIndex: number, entries: readonly Entry[]): void {
    let position = 0;
    if (prevIndex < this.lastIndex) {
      while (position < entries.length) {
        const entry = entries[position]!;
        if (this.term(entry.index) !== entry.term) break;
        position++;
      }
    }
    if (position === entries.length) return;
    const from = entries[position]!.index;
    if (from <= this.lastIndex) this.#truncate(from);
    assert(from === this.lastIndex + 1, () => `a hole in the log before index ${from}`);
    if (position === 0 && this.#tail.length === 0) this.#tail = entries.slice();
    else for (let i = position; i < entries.length; i++) this.#tail.push(entries[i]!);
  }

  #truncate(from: number): void {
    assert(from > this.#committedIndex, () => `index ${from} is committed and cannot be replaced`);
    if (from >= this.#tailFirst) {
      this.#tail.length = from - this.#tailFirst;
    } else {
      this.#tail = [];
      this.#tailFirst = from;
    }
    this.#submittedIndex = Math.min(this.#submittedIndex, from - 1);
    this.#durableTo = Math.min(this.#durableTo, from - 1);
  }

  /**
   * Returns the highest index up to `index` whose term is at most `term`: the best place at which a log that has `term`
   * at `index` can match this one. With both sides skipping whole terms, probing takes at most a round trip per
   * divergent term (§5.3). The result may lie below the log.
   */
  lastIndexWithin(index: number, term: number): LogPosition {
    let candidate = Math.min(index, this.lastIndex);
    for (; candidate > 0; candidate--) {
      const here = this.term(candidate);
      // Entries that were compacted away are committed, but it is unknown whether they match.
      if (here === undefined) return { index: candidate, term: 0 };
      if (here <= term) return { index: candidate, term: here };
    }
    return { index: 0, term: 0 };
  }

  /** Commits entries up to `index`; returns false when they were committed already. */
  commitTo(index: number): boolean {
    if (index <= this.#committedIndex) return false;
    assert(index <= this.lastIndex, () => `commit ${index} is past the last index ${this.lastIndex}`);
    this.#committedIndex = index;
    return true;
  }

  /** Restarts the log after a snapshot whose state has arrived (§7). */
  restore(snapshot: SnapshotMetadata): void {
    assert(snapshot.index > this.#committedIndex, 'a snapshot must not take back committed entries');
    this.#restoring = snapshot;
    this.#isSnapshotSubmitted = false;
    this.#tail = [];
    this.#tailFirst = snapshot.index + 1;
    this.#committedIndex = snapshot.index;
    this.#submittedIndex = snapshot.index;
    this.#durableTo = Math.min(this.#durableTo, snapshot.index);
  }

  get hasUnsubmitted(): boolean {
    return this.#submittedIndex < this.lastIndex || !this.#isSnapshotSubmitted;
  }

  /** Returns the entries and the snapshot that the host was not asked to store yet. */
  submit(): { readonly entries: readonly Entry[]; readonly snapshot: SnapshotMetadata | undefined } {
    const entries =
      this.#submittedIndex === this.lastIndex
        ? []
        : this.#tail.slice(this.#submittedIndex + 1 - this.#tailFirst);
    const snapshot = this.#isSnapshotSubmitted ? undefined : this.#restoring;
    this.#submittedIndex = this.lastIndex;
    this.#isSnapshotSubmitted = true;
    return { entries, snapshot };
  }

  /**
   * Records that everything submitted up to (`index`, `term`) is durable, unless that entry was replaced since. The
   * caller makes sure that it was not replaced and put back (see DESIGN.md, the ABA race).
   */
  acknowledge(index: number, term: number): void {
    if (index > this.#durableTo && this.term(index) === term) this.#durableTo = index;
  }

  /** Records that the snapshot is installed, unless a newer one has taken its place. */
  acknowledgeSnapshot(snapshot: SnapshotMetadata): void {
    if (snapshot !== this.#restoring) return;
    this.#restoring = undefined;
    this.#durableTo = Math.max(this.#durableTo, snapshot.index);
    this.#handedOutIndex = snapshot.index;
    this.#appliedTo = snapshot.index;
  }

  get hasCommitted(): boolean {
    return (
      this.#restoring === undefined && this.#handedOutIndex < Math.min(this.#committedIndex, this.#durableTo)
    );
  }

  /** Returns the next committed entries, only durable ones (D2), and frees those that nobody needs again. */
  takeCommitted(maxBytes: number): readonly Entry[] {
    if (!this.hasCommitted) return [];
    const to = Math.min(this.#committedIndex, this.#durableTo);
    const entries = this.entries(this.#handedOutIndex + 1, to, maxBytes);
    this.#handedOutIndex = entries.at(-1)!.index;
    const surplus = this.#handedOutIndex + 1 - this.#tailFirst;
    if (surplus > 0) {
      this.#tail = surplus === this.#tail.length ? [] : this.#tail.slice(surplus);
      this.#tailFirst = this.#handedOutIndex + 1;
    }
    return entries;
  }

  acknowledgeApplied(index: number): void {
    assert(index <= this.#handedOutIndex, () => `index ${index} was applied before it was handed out`);
    // Entries that were handed out before a snapshot was installed may be reported after it.
    this.#appliedTo = Math.max(this.#appliedTo, index);
  }
}
