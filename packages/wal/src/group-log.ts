import type { Entry, HardState, Membership, SnapshotMetadata } from '@coxswain/raft';
import { Deque } from './deque.js';
import { CachedRun, type EntryCache } from './entry-cache.js';
import { EntryIndex } from './entry-index.js';
import { invariant, WalCorruptError } from './errors.js';
import {
  ENTRY_PREFIX_BYTES,
  entrySizeBytes,
  type GroupCheckpoint,
  isRecordAt,
  RECORD_HEADER_BYTES,
  RecordField,
  RecordKind,
  readUint53,
} from './record.js';
import { type SegmentTable, segmentName } from './segment.js';
import type { GroupId, GroupLog } from './types.js';

/** The most bytes of other groups' records between two entries that are read together with them. */
const READ_GAP_BYTES_MAX = 4096;
const READ_BYTES_MAX = 1024 * 1024;

export const EMPTY_HARD_STATE: HardState = { term: 0, vote: 0, commit: 0 };

/** The place of an entry's record in the segments. */
export interface EntryPlace {
  readonly segment: number;
  readonly offset: number;
}

/** The parts of an entry that the index keeps. */
interface EntryHead {
  readonly index: number;
  readonly term: number;
  readonly data: { readonly length: number };
}

/**
 * One group's log in memory: everything that was submitted, durable or not. Recent entries are in the cache, and the
 * others are read from their segment; entries that are not durable are always in the cache.
 */
export class WalGroupLog implements GroupLog {
  snapshotSource: () => SnapshotMetadata | undefined = () => undefined;

  readonly #segments: SegmentTable;
  readonly #cache: EntryCache;
  readonly #index: EntryIndex;
  /** The group's runs in the cache: consecutive, and up to the last entry. */
  readonly #runs = new Deque<CachedRun>();
  #hardState: HardState = EMPTY_HARD_STATE;
  #truncated: SnapshotMetadata;

  constructor(
    readonly group: GroupId,
    segments: SegmentTable,
    cache: EntryCache,
    truncated: SnapshotMetadata,
  ) {
    this.#segments = segments;
    this.#cache = cache;
    this.#truncated = truncated;
    this.#index = new EntryIndex(segments, truncated.index + 1);
  }

  get hardState(): HardState {
    return this.#hardState;
  }

  get truncated(): SnapshotMetadata {
    return this.#truncated;
  }

  get membership(): Membership {
    return this.#truncated.membership;
  }

  get sizeBytes(): number {
    return this.#index.sizeBytes;
  }

  sizeBytesFrom(index: number): number {
    return this.#index.sizeBytesFrom(index);
  }

  firstIndexWithin(sizeBytesMax: number): number {
    return this.#index.firstIndexWithin(sizeBytesMax);
  }

  firstIndex(): number {
    return this.#truncated.index + 1;
  }

  lastIndex(): number {
    return this.#index.lastIndex;
  }

  term(index: number): number | undefined {
    if (index === this.#truncated.index) return this.#truncated.term;
    if (index < this.firstIndex() || index > this.lastIndex()) return undefined;
    return this.#index.termAt(index);
  }

  snapshot(): SnapshotMetadata | undefined {
    return this.snapshotSource();
  }

  entries(from: number, to: number, maxBytes: number): Entry[] {
    invariant(
      from >= this.firstIndex() && to <= this.lastIndex() + 1,
      'entries outside of the log were asked for',
    );
    const found: Entry[] = [];
    if (from >= to) return found;
    let end = from + 1;
    for (let bytes = this.#index.dataBytesAt(from); end < to; end++) {
      bytes += this.#index.dataBytesAt(end);
      if (bytes > maxBytes) break;
    }
    const cachedFrom = this.#cachedFrom();
    let next = from;
    while (next < end && next < cachedFrom) next = this.#readRun(next, Math.min(end, cachedFrom), found);
    if (next < end) this.#takeCached(next, end, found);
    return found;
  }

  setHardState(state: HardState): void {
    this.#hardState = state;
  }

  /** Replaces the suffix from the first of `entries`, and returns the run to write. */
  append(entries: readonly Entry[], sequence: number): CachedRun {
    const first = entries[0]!.index;
    invariant(
      first >= this.firstIndex() && first <= this.lastIndex() + 1,
      'appended entries do not follow the log',
    );
    this.dropSuffix(first);
    for (let i = 0; i < entries.length; i++) {
      const entry = entries[i]!;
      invariant(entry.index === first + i, 'appended entries are not consecutive');
      this.#index.push(entry.term, entry.data.length);
    }
    const run = new CachedRun(entries, first, sequence, this);
    this.#runs.push(run);
    this.#cache.add(run);
    return run;
  }

  /**
   * Drops the entries up to and including `to.index`. A truncation point never goes back, but its membership may
   * change.
   */
  compact(to: SnapshotMetadata): void {
    invariant(to.index <= this.lastIndex(), 'compaction past the end of the log');
    if (to.index < this.#truncated.index) return;
    this.#truncated = to;
    this.#index.dropPrefix(to.index);
    for (let run = this.#runs.at(0); run !== undefined; run = this.#runs.at(0)) {
      const kept = to.index + 1 - run.firstIndex;
      if (kept <= run.start) return;
      this.#cache.trim(run, Math.min(kept, run.end), run.end);
      if (run.start < run.end) return;
      this.#runs.shift();
    }
  }

  /** Drops every entry: the log restarts after `to`. */
  reset(to: SnapshotMetadata): void {
    this.#dropRuns(0);
    this.#index.reset(to.index + 1);
    this.#truncated = to;
  }

  dropSuffix(from: number): void {
    this.#dropRuns(from);
    this.#index.dropSuffix(from);
  }

  /** Records that an entry of `run` is durable at `offset` of `segment`. */
  placeRun(run: CachedRun, position: number, segment: number, offset: number): void {
    // Entries outside of the run's bounds were dropped or replaced while they were being written.
    if (position < run.start || position >= run.end) return;
    const entry = run.entries[position]!;
    this.#index.place(entry.index, entry.term, entry.data.length, segment, offset);
  }

  /** Restores an entry that was found on disk at start, at the end of the log or in place of its suffix. */
  restore(entry: EntryHead, segment: number, offset: number): void {
    this.#index.dropSuffix(entry.index);
    this.#index.push(0, 0);
    this.relocate(entry, segment, offset);
  }

  /** Records the place of a later copy of an entry, which was found at start or just made durable. */
  relocate(entry: EntryHead, segment: number, offset: number): void {
    this.#index.place(entry.index, entry.term, entry.data.length, segment, offset);
  }

  /** Takes over a checkpoint whose entries are in segments that are gone; copies of those still needed must follow. */
  restoreCheckpoint(checkpoint: GroupCheckpoint): void {
    this.#hardState = checkpoint.hardState;
    while (this.lastIndex() < checkpoint.lastIndex) this.#index.push(0, 0);
  }

  /** Returns the first entry at or after `from` that is in `segment`. */
  nextInSegment(segment: number, from: number): number | undefined {
    for (let index = Math.max(from, this.firstIndex()); index <= this.lastIndex(); index++) {
      if (this.#index.segmentAt(index) === segment) return index;
    }
    return undefined;
  }

  /** Returns the place of an entry on disk; undefined when it is not there, or no longer part of the log. */
  placeOf(index: number): EntryPlace | undefined {
    if (index < this.firstIndex() || index > this.lastIndex()) return undefined;
    const segment = this.#index.segmentAt(index);
    return segment === 0 ? undefined : { segment, offset: this.#index.offsetAt(index) };
  }

  /** Called by `EntryCache` when the oldest run leaves the cache to make room. */
  evicted(run: CachedRun): void {
    invariant(this.#runs.shift() === run, 'the cache evicted a run that is not the oldest of its group');
  }

  #cachedFrom(): number {
    const oldest = this.#runs.at(0);
    return oldest === undefined ? this.lastIndex() + 1 : oldest.firstIndex + oldest.start;
  }

  #dropRuns(from: number): void {
    for (let run = this.#runs.at(this.#runs.length - 1); run !== undefined; ) {
      const kept = from - run.firstIndex;
      if (kept >= run.end) return;
      this.#cache.trim(run, run.start, Math.max(kept, run.start));
      if (run.start < run.end) return;
      this.#runs.pop();
      run = this.#runs.at(this.#runs.length - 1);
    }
  }

  #takeCached(from: number, to: number, into: Entry[]): void {
    let low = 0;
    let high = this.#runs.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.#runs.at(middle)!.firstIndex <= from) low = middle;
      else high = middle - 1;
    }
    for (let next = from; next < to; low++) {
      const run = this.#runs.at(low)!;
      const end = Math.min(to, run.firstIndex + run.end);
      for (; next < end; next++) into.push(run.entries[next - run.firstIndex]!);
    }
  }

  /**
   * Reads entries that lie close to each other in one segment with one call, and returns the index of the next. The
   * returned entries have memory of their own: no reader ever holds a segment, so one may be recycled at any time (D5).
   */
  #readRun(from: number, to: number, into: Entry[]): number {
    const segment = this.#index.segmentAt(from);
    invariant(segment !== 0, 'an entry is neither in the cache nor on disk');
    const start = this.#index.offsetAt(from);
    let end = start + entrySizeBytes(this.#index.dataBytesAt(from));
    let next = from + 1;
    for (; next < to && this.#index.segmentAt(next) === segment; next++) {
      const offset = this.#index.offsetAt(next);
      if (offset < end || offset - end > READ_GAP_BYTES_MAX) break;
      const nextEnd = offset + entrySizeBytes(this.#index.dataBytesAt(next));
      if (nextEnd - start > READ_BYTES_MAX) break;
      end = nextEnd;
    }
    const bytes = this.#segments.get(segment)!.file.readSync(start, end - start);
    for (let index = from; index < next; index++) {
      into.push(this.#decode(bytes, this.#index.offsetAt(index) - start, index, segment));
    }
    return next;
  }

  #decode(bytes: Buffer, position: number, index: number, segment: number): Entry {
    const offset = this.#index.offsetAt(index);
    const payload = position + RECORD_HEADER_BYTES;
    if (
      !isRecordAt(bytes, position, segment, offset) ||
      !isEntryKind(bytes[position + RecordField.kind]!) ||
      readUint53(bytes, position + RecordField.group) !== this.group ||
      readUint53(bytes, payload) !== index ||
      readUint53(bytes, payload + 8) !== this.#index.termAt(index)
    ) {
      throw new WalCorruptError(
        segmentName(segment),
        offset,
        `entry ${index} of group ${this.group} is damaged`,
      );
    }
    const data = payload + ENTRY_PREFIX_BYTES;
    return {
      index,
      term: this.#index.termAt(index),
      type: bytes[position + RecordField.entryType]!,
      data: bytes.subarray(data, data + this.#index.dataBytesAt(index)),
    };
  }
}

function isEntryKind(kind: number): boolean {
  return kind === RecordKind.Entry || kind === RecordKind.Copy;
}
