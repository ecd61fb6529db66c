import type { Entry, HardState, SnapshotMetadata } from '@coxswain/raft';
import { BatchEncoder } from './batch-encoder.js';
import { Deque } from './deque.js';
import { type CachedRun, EntryCache } from './entry-cache.js';
import {
  invariant,
  isNoSpaceError,
  WalClosedError,
  WalError,
  WalFailedError,
  WalFullError,
} from './errors.js';
import { EMPTY_HARD_STATE, type EntryPlace, WalGroupLog } from './group-log.js';
import {
  entrySizeBytes,
  FORMAT_VERSION,
  type GroupCheckpoint,
  HARD_STATE_BYTES,
  RecordKind,
  recordSizeBytes,
  snapshotMetadataBytes,
} from './record.js';
import { recover } from './recovery.js';
import type { Segment } from './segment.js';
import { SegmentStore } from './segment-store.js';
import type { GroupId, GroupLog, GroupWrite, WalDisk } from './types.js';

/** The most bytes of a batch, except for a first record of any size: its checksum must not hold up the event loop. */
const BATCH_BYTES_MAX = 1024 * 1024;
/** The bytes that are copied out of an old segment in one append. */
const COPY_BYTES_MAX = 64 * 1024;
/** The number of segments that may always be kept before live entries are copied forward. */
const SEGMENTS_KEPT = 4;
/** The space of the log may be this many times the bytes of its live entries. */
const SPACE_FACTOR = 2;

export interface WalOptions {
  readonly disk: WalDisk;
  /** The size of each file in bytes. An entry's data may take half of it, the state of all groups a quarter. */
  readonly segmentSizeBytes: number;
  /** The most bytes of recent entries that are kept in memory, over all groups. */
  readonly entryCacheBytesMax: number;
  /** Returns milliseconds of a monotonic clock, for `onSync`. */
  readonly now: () => number;
  /** Called after each successful fdatasync, with its duration and the bytes that it made durable. */
  readonly onSync: (durationMs: number, bytes: number) => void;
  /** Called once, when the log has failed for good; the node must stop (D6). Every append rejects from then on. */
  readonly onFatal: (error: WalError) => void;
}

export interface WalStatistics {
  readonly segments: number;
  readonly segmentBytes: number;
  /** The bytes in the segments of entries that some group needs. */
  readonly liveBytes: number;
  readonly cachedBytes: number;
  readonly writtenBytes: number;
  readonly syncs: number;
  /** Bytes of entries that were copied out of old segments. They are a part of `writtenBytes`. */
  readonly copiedBytes: number;
}

/** One call of `append`. */
interface Append {
  readonly sequence: number;
  itemsLeft: number;
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

/** A part of an append: one record, or one for each entry of a run. */
type Item = { readonly append: Append; readonly log: WalGroupLog } & Content;

type Content =
  | { readonly kind: RecordKind.HardState; readonly hardState: HardState }
  | { readonly kind: RecordKind.Reset | RecordKind.Compact; readonly to: SnapshotMetadata }
  | { readonly kind: RecordKind.Remove }
  /** A run of which the entries before `durable` are durable. */
  | { readonly kind: RecordKind.Entry; readonly run: CachedRun; durable: number }
  /** A live entry, and the place from which it was read. */
  | { readonly kind: RecordKind.Copy; readonly entry: Entry; readonly from: EntryPlace };

/** The part of an item that a batch holds. */
interface Piece {
  readonly item: Item;
  /** The offset in the segment of the first record; the others of the piece follow it. */
  readonly offset: number;
  /** The number of records; 0 for a copy that is no longer needed. */
  readonly records: number;
}

/** The state of a group at the end of the durable log. */
type WrittenGroup = { -readonly [Field in keyof GroupCheckpoint]: GroupCheckpoint[Field] };

/**
 * The write-ahead log that all groups of a node share. At most one write and one fdatasync are under way; appends that
 * come meanwhile are gathered into the next. DESIGN.md says how and why.
 */
export class Wal {
  readonly #options: WalOptions;
  readonly #store: SegmentStore;
  readonly #cache: EntryCache;
  /** The groups in their submitted state. */
  readonly #groups: Map<GroupId, WalGroupLog>;
  /** The groups in their state at the end of the durable log, with which a new segment has to begin. */
  readonly #written = new Map<GroupId, WrittenGroup>();
  readonly #encoder = new BatchEncoder();
  readonly #queue = new Deque<Item>();
  /** Appends without items that wait for those before them. */
  readonly #barriers: Append[] = [];
  /** The segment being written; undefined until the first append after a start, and after a refused write. */
  #active: Segment | undefined;
  #isWriting = false;
  #writer: Promise<void> = Promise.resolve();
  #isCopying = false;
  #copier: Promise<void> = Promise.resolve();
  #isClosed = false;
  #submittedSequence = 0;
  #durableSequence = 0;
  #durablePosition = 0;
  #failure: WalError | undefined;
  #writtenBytes = 0;
  #copiedBytes = 0;
  #syncs = 0;

  private constructor(
    options: WalOptions,
    store: SegmentStore,
    cache: EntryCache,
    groups: Map<GroupId, WalGroupLog>,
  ) {
    this.#options = options;
    this.#store = store;
    this.#cache = cache;
    this.#groups = groups;
    for (const log of groups.values()) this.#written.set(log.group, checkpointOf(log));
  }

  /**
   * Opens the log, or begins one in an empty directory. A torn end is cut off. Throws `WalCorruptError`, which
   * names file and offset, or `WalFormatError`; then nothing has been changed. A full disk does not throw: see
   * `isFull`.
   */
  static async open(options: WalOptions): Promise<Wal> {
    const store = new SegmentStore(options.disk, options.segmentSizeBytes);
    const cache = new EntryCache(options.entryCacheBytesMax);
    await store.load();
    const { groups, unused, unusedIsDirty } = await recover(store.segments, cache);
    if (unused !== undefined) await store.putBack(unused, unusedIsDirty);
    await store.prepareNext();
    const wal = new Wal(options, store, cache, groups);
    const last = [...store.segments.values()].at(-1);
    if (last !== undefined) wal.#durablePosition = positionOf(last);
    wal.#inBackground(wal.#prepare());
    return wal;
  }

  /**
   * The position up to which the log is durable: a number that only grows, also over restarts, and that recovery finds
   * again from the segments. It is 2^27 for each segment, and one for each 8 bytes in it, so that it stays exact up to
   * a petabyte written.
   */
  get durablePosition(): number {
    return this.#durablePosition;
  }

  group(id: GroupId): GroupLog | undefined {
    return this.#groups.get(id);
  }

  groups(): Iterable<GroupLog> {
    return this.#groups.values();
  }

  /**
   * True while the disk has no room (D6). Appends with entries are refused; hard states, compactions, resets and
   * removals are accepted as long as the reserve lasts, and wait after that.
   */
  get isFull(): boolean {
    return this.#store.isFull;
  }

  /** The most bytes of data that one entry may have. */
  get entryBytesMax(): number {
    return this.#options.segmentSizeBytes / 2;
  }

  /**
   * Appends to the groups' logs: readers see it at once, and the promise resolves when it is durable. Appends become
   * durable in the order of the calls; after a crash, a prefix of those that were not durable may be there.
   *
   * Rejects with `WalFullError` when the disk is full and the writes contain entries. Then nothing has happened, and
   * the caller may append again once `reopen` has resolved. An append that was accepted before the disk was found to be
   * full is never rejected for that: it stays in order, and resolves when there is room.
   */
  append(writes: readonly GroupWrite[]): Promise<void> {
    if (this.#isClosed) return Promise.reject(closedError());
    if (this.isFull && this.#failure === undefined && writes.some(hasEntries))
      return Promise.reject(fullError());
    return this.#enqueue((append) => {
      for (const write of writes) this.#submit(append, write);
    });
  }

  /**
   * Tries to get room after the disk was full. Resolves when appends are accepted again; rejects with `WalFullError`
   * when there still is none.
   */
  async reopen(): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure;
    if (this.#isClosed) throw closedError();
    await this.#prepare();
    if (this.isFull) throw fullError();
  }

  /** Writes the appends so far, and closes the files. Appends that cannot be written for lack of space are rejected. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#writer;
    this.#rejectQueued(closedError());
    await this.#copier;
    await this.#store.close();
  }

  statistics(): WalStatistics {
    let segmentBytes = 0;
    let liveBytes = 0;
    for (const segment of this.#store.segments.values()) {
      segmentBytes += segment.file.sizeBytes;
      liveBytes += segment.liveBytes;
    }
    return {
      segments: this.#store.segments.size,
      segmentBytes,
      liveBytes,
      cachedBytes: this.#cache.sizeBytes,
      writtenBytes: this.#writtenBytes,
      syncs: this.#syncs,
      copiedBytes: this.#copiedBytes,
    };
  }

  /** Makes an append of the items that `submit` puts into the queue. */
  #enqueue(submit: (append: Append) => void): Promise<void> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    return new Promise((resolve, reject) => {
      const append: Append = { sequence: ++this.#submittedSequence, itemsLeft: 0, resolve, reject };
      try {
        submit(append);
      } catch (error) {
        // The groups may have taken over a part of it, so their state is no longer reliable.
        reject(this.#fail(error));
        return;
      }
      if (append.itemsLeft > 0) {
        this.#startWriting();
      } else {
        this.#barriers.push(append);
        this.#passBarriers();
      }
    });
  }

  /**
   * Resolves appends that write nothing, each when all before it are durable, so that they, too, keep the order of the
   * calls.
   */
  #passBarriers(): void {
    while (this.#barriers[0]?.sequence === this.#durableSequence + 1) {
      this.#durableSequence++;
      this.#barriers.shift()!.resolve();
    }
  }

  /** Applies one group's write to the state that readers see, and puts its parts into the queue. */
  #submit(append: Append, write: GroupWrite): void {
    let log = this.#groups.get(write.group);
    if (write.reset !== undefined) {
      if (log === undefined) {
        log = new WalGroupLog(write.group, this.#store.segments, this.#cache, write.reset);
        this.#groups.set(write.group, log);
      } else {
        log.reset(write.reset);
      }
      this.#push(append, log, { kind: RecordKind.Reset, to: write.reset });
    }
    invariant(log !== undefined, 'the first write to a group must reset its log');
    if (write.hardState !== undefined) {
      log.setHardState(write.hardState);
      this.#push(append, log, { kind: RecordKind.HardState, hardState: write.hardState });
    }
    if (hasEntries(write)) {
      for (const entry of write.entries!) {
        invariant(entry.data.length <= this.entryBytesMax, 'an entry is too large for the segments');
      }
      const run = log.append(write.entries!, append.sequence);
      this.#push(append, log, { kind: RecordKind.Entry, run, durable: 0 });
    }
    if (write.compact !== undefined) {
      log.compact(write.compact);
      this.#push(append, log, { kind: RecordKind.Compact, to: write.compact });
    }
    if (write.remove !== undefined) {
      log.dropSuffix(0);
      this.#groups.delete(write.group);
      this.#push(append, log, { kind: RecordKind.Remove });
    }
  }

  #push(append: Append, log: WalGroupLog, content: Content): void {
    append.itemsLeft++;
    this.#queue.push({ append, log, ...content });
  }

  #startWriting(): void {
    if (this.#isWriting) return;
    this.#isWriting = true;
    this.#writer = this.#drain();
  }

  /** Writes batches until the queue is empty, or there is no space. The first write begins before this returns. */
  async #drain(): Promise<void> {
    try {
      while (this.#queue.length > 0 && this.#failure === undefined) {
        // The disk may have been found to have room again by the time that the refusal arrives here.
        if (!(await this.#writeBatch()) && this.isFull) break;
      }
    } catch (error) {
      this.#fail(error);
    } finally {
      this.#isWriting = false;
    }
  }

  /** Makes one batch durable. Returns false when there is no space for it; it then stays in the queue. */
  async #writeBatch(): Promise<boolean> {
    let segment = this.#active;
    let pieces = segment === undefined ? [] : this.#fill(segment);
    if (segment === undefined || pieces.length === 0) {
      segment = await this.#store.take();
      this.#active = segment;
      if (segment === undefined) return false;
      pieces = this.#fill(segment);
      invariant(pieces.length > 0, 'an empty segment has no room for a record');
    }
    const isNew = segment.endBytes === 0;
    const bytes = this.#encoder.sizeBytes;
    if (bytes > 0) {
      const buffers = this.#encoder.finish();
      try {
        await segment.file.write(buffers, segment.endBytes);
      } catch (error) {
        if (!isNoSpaceError(error)) throw error;
        // Parts of the batch may be there. Nothing is ever written over them: the log continues in another segment,
        // which names the place where this one ends.
        this.#active = undefined;
        this.#store.markFull();
        if (isNew) await this.#store.discard(segment);
        return !isNew;
      }
      await this.#sync(segment, bytes);
    }
    segment.endBytes += bytes;
    this.#durablePosition = positionOf(segment);
    for (const piece of pieces) this.#durable(piece, segment);
    this.#cache.evict(this.#durableSequence);
    this.#release();
    if (isNew) {
      this.#inBackground(this.#prepare());
      this.#startCopying();
    }
    return true;
  }

  async #sync(segment: Segment, bytes: number): Promise<void> {
    const started = this.#options.now();
    try {
      await segment.file.sync();
    } catch (error) {
      // The kernel may have dropped the pages and call the next sync a success: it must not be asked again (D6).
      throw new WalFailedError(`fdatasync of ${segment.name} failed: ${textOf(error)}`, { cause: error });
    }
    this.#writtenBytes += bytes;
    this.#syncs++;
    this.#options.onSync(this.#options.now() - started, bytes);
  }

  /** Encodes as much of the queue as fits into a batch at the end of `segment`. */
  #fill(segment: Segment): Piece[] {
    const encoder = this.#encoder;
    encoder.begin(segment.number, segment.endBytes);
    if (segment.endBytes === 0) this.#beginSegment(segment);
    const batchEnd = encoder.offset + BATCH_BYTES_MAX;
    const pieces: Piece[] = [];
    for (let i = 0; i < this.#queue.length; i++) {
      const item = this.#queue.at(i)!;
      const { offset } = encoder;
      if (item.kind === RecordKind.Copy && !isAt(item.log.placeOf(item.entry.index), item.from)) {
        pieces.push({ item, offset, records: 0 });
        continue;
      }
      const last = item.kind === RecordKind.Entry ? item.run.entries.length : 1;
      const first = item.kind === RecordKind.Entry ? item.durable : 0;
      let position = first;
      for (; position < last; position++) {
        const end = encoder.offset + itemRecordBytes(item, position);
        const isFirstOfBatch = pieces.length === 0 && position === first;
        if (end > segment.file.sizeBytes || (end > batchEnd && !isFirstOfBatch)) break;
        this.#encode(item, position);
      }
      if (position > first) pieces.push({ item, offset, records: position - first });
      if (position < last) break;
    }
    return pieces;
  }

  /** Begins a segment with the state of every group, so that earlier segments are needed for entries only (D5). */
  #beginSegment(segment: Segment): void {
    const previousEnd = this.#store.segments.get(segment.number - 1)?.endBytes ?? 0;
    this.#encoder.segmentHeader({
      version: FORMAT_VERSION,
      segment: segment.number,
      previousEnd,
      groupCount: this.#written.size,
    });
    for (const [group, written] of this.#written) this.#encoder.checkpoint(group, written);
    invariant(
      this.#encoder.sizeBytes <= segment.file.sizeBytes / 4,
      'the state of all groups takes more than a quarter of a segment',
    );
  }

  #encode(item: Item, position: number): void {
    const { group } = item.log;
    switch (item.kind) {
      case RecordKind.HardState:
        this.#encoder.hardState(group, item.hardState);
        break;
      case RecordKind.Entry:
        this.#encoder.entry(item.kind, group, item.run.entries[position]!);
        break;
      case RecordKind.Copy:
        this.#encoder.entry(item.kind, group, item.entry);
        break;
      case RecordKind.Reset:
      case RecordKind.Compact:
        this.#encoder.snapshot(item.kind, group, item.to);
        break;
      case RecordKind.Remove:
        this.#encoder.remove(group);
        break;
    }
  }

  /** Records that a piece is on disk, and resolves the append that it completes. */
  #durable(piece: Piece, segment: Segment): void {
    const { item } = piece;
    const { group } = item.log;
    switch (item.kind) {
      case RecordKind.HardState:
        this.#written.get(group)!.hardState = item.hardState;
        break;
      case RecordKind.Entry: {
        const { run } = item;
        const end = item.durable + piece.records;
        let { offset } = piece;
        for (; item.durable < end; item.durable++) {
          item.log.placeRun(run, item.durable, segment.number, offset);
          offset += entrySizeBytes(run.entries[item.durable]!.data.length);
        }
        this.#written.get(group)!.lastIndex = run.entries[end - 1]!.index;
        if (end < run.entries.length) return;
        break;
      }
      case RecordKind.Copy:
        if (piece.records > 0 && isAt(item.log.placeOf(item.entry.index), item.from)) {
          item.log.relocate(item.entry, segment.number, piece.offset);
          this.#copiedBytes += entrySizeBytes(item.entry.data.length);
        }
        break;
      case RecordKind.Reset: {
        const hardState = this.#written.get(group)?.hardState ?? EMPTY_HARD_STATE;
        this.#written.set(group, { hardState, truncated: item.to, lastIndex: item.to.index });
        break;
      }
      case RecordKind.Compact: {
        const written = this.#written.get(group)!;
        if (item.to.index >= written.truncated.index) written.truncated = item.to;
        break;
      }
      case RecordKind.Remove:
        this.#written.delete(group);
        break;
    }
    invariant(this.#queue.shift() === item, 'the queue is not in the order of the batch');
    const { append } = item;
    if (--append.itemsLeft > 0) return;
    this.#durableSequence = append.sequence;
    append.resolve();
    this.#passBarriers();
  }

  /**
   * Gives back the oldest segments that nothing needs: neither the state that readers see, nor the state that a crash
   * would bring back.
   */
  #release(): void {
    let isReleased = false;
    for (const segment of this.#store.segments.values()) {
      if (segment === this.#store.last || segment.liveBytes > 0) break;
      // The write that made the last entry here useless may not be durable itself, but it was submitted before now.
      segment.deadSince ??= this.#submittedSequence;
      if (segment.deadSince > this.#durableSequence) break;
      this.#inBackground(this.#store.release(segment));
      isReleased = true;
    }
    if (isReleased && this.isFull) this.#inBackground(this.#prepare());
  }

  async #prepare(): Promise<void> {
    await this.#store.prepare();
    if (!this.isFull && this.#queue.length > 0) this.#startWriting();
  }

  #startCopying(): void {
    if (this.#isCopying || !this.#isSparse()) return;
    this.#isCopying = true;
    this.#copier = this.#copyForward()
      .catch((error: unknown) => {
        if (!this.#isClosed) this.#fail(error);
      })
      .finally(() => {
        this.#isCopying = false;
      });
  }

  /** Whether so little of the log is alive that old segments are worth copying. */
  #isSparse(): boolean {
    const { segments, segmentBytes, liveBytes } = this.statistics();
    const isWritable = this.#failure === undefined && !this.#isClosed && !this.isFull;
    return isWritable && segmentBytes * (1 - SEGMENTS_KEPT / segments) > SPACE_FACTOR * liveBytes;
  }

  /**
   * Moves live entries of the oldest segments to the end of the log, so that a group that keeps old entries does not
   * pin the space of all the others (D5). At least half of the bytes swept are dead, so this writes no more than the
   * groups do.
   */
  async #copyForward(): Promise<void> {
    while (this.#isSparse()) {
      const oldest: Segment = this.#store.segments.values().next().value!;
      for (const log of [...this.#groups.values()]) await this.#copyOut(oldest, log);
      // The segment is released when the writes submitted now are durable; the next segment that begins looks at the
      // others.
      if (this.#store.segments.has(oldest.number)) return;
    }
  }

  async #copyOut(segment: Segment, log: WalGroupLog): Promise<void> {
    let index = log.nextInSegment(segment.number, 0);
    while (index !== undefined && this.#isSparse()) {
      const copies: Content[] = [];
      for (let bytes = 0; index !== undefined && bytes < COPY_BYTES_MAX; ) {
        const from = log.placeOf(index)!;
        const entry = log.entries(index, index + 1, 0)[0]!;
        copies.push({ kind: RecordKind.Copy, entry, from });
        bytes += entrySizeBytes(entry.data.length);
        index = log.nextInSegment(segment.number, index + 1);
      }
      await this.#enqueue((append) => {
        for (const copy of copies) this.#push(append, log, copy);
      });
      // Meanwhile the group may have compacted, replaced or dropped the next entries.
      if (index !== undefined) index = log.nextInSegment(segment.number, index);
    }
  }

  #inBackground(work: Promise<void>): void {
    work.catch((error: unknown) => {
      this.#fail(error);
    });
  }

  /** Makes the log unusable from now on: nobody may rely on anything that is not known to be durable (D6). */
  #fail(error: unknown): WalError {
    if (this.#failure !== undefined) return this.#failure;
    const failure =
      error instanceof WalError
        ? error
        : new WalFailedError(`the write-ahead log failed: ${textOf(error)}`, { cause: error });
    this.#failure = failure;
    this.#rejectQueued(failure);
    this.#options.onFatal(failure);
    return failure;
  }

  #rejectQueued(error: WalError): void {
    for (let item = this.#queue.shift(); item !== undefined; item = this.#queue.shift())
      item.append.reject(error);
    for (const append of this.#barriers.splice(0)) append.reject(error);
  }
}

function hasEntries(write: GroupWrite): boolean {
  return write.entries !== undefined && write.entries.length > 0;
}

const POSITIONS_IN_SEGMENT = 2 ** 27;

/** Returns the position of the durable end of a log that ends in `segment`. */
function positionOf({ number, endBytes }: Segment): number {
  return number * POSITIONS_IN_SEGMENT + Math.floor(endBytes / 8);
}

function itemRecordBytes(item: Item, position: number): number {
  switch (item.kind) {
    case RecordKind.HardState:
      return recordSizeBytes(HARD_STATE_BYTES);
    case RecordKind.Entry:
      return entrySizeBytes(item.run.entries[position]!.data.length);
    case RecordKind.Copy:
      return entrySizeBytes(item.entry.data.length);
    case RecordKind.Reset:
    case RecordKind.Compact:
      return recordSizeBytes(snapshotMetadataBytes(item.to));
    case RecordKind.Remove:
      return recordSizeBytes(0);
  }
}

function isAt(place: EntryPlace | undefined, expected: EntryPlace): boolean {
  return place?.segment === expected.segment && place.offset === expected.offset;
}

function checkpointOf(log: WalGroupLog): WrittenGroup {
  return { hardState: log.hardState, truncated: log.truncated, lastIndex: log.lastIndex() };
}

function fullError(): WalFullError {
  return new WalFullError('no space is left on the disk of the write-ahead log');
}

function closedError(): WalClosedError {
  return new WalClosedError('the write-ahead log is closed');
}

/** The text of an error, for one that wraps it: who prints an error does not print its cause. */
function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
