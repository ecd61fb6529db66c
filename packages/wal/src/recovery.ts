import type { EntryCache } from './entry-cache.js';
import { invariant, WalCorruptError, WalFormatError } from './errors.js';
import { WalGroupLog } from './group-log.js';
import {
  decodeCheckpoint,
  decodeHardState,
  decodeSegmentHeader,
  decodeSnapshotMetadata,
  ENTRY_PREFIX_BYTES,
  FLAG_LAST_OF_BATCH,
  FORMAT_VERSION,
  isRecordAt,
  RECORD_ALIGNMENT_BYTES,
  RECORD_HEADER_BYTES,
  RecordField,
  RecordKind,
  readUint53,
  recordSizeBytes,
  SECTOR_BYTES,
  SEGMENT_HEADER_BYTES,
  type SegmentHeader,
} from './record.js';
import type { Segment, SegmentTable } from './segment.js';
import type { GroupId } from './types.js';

/** The bytes of a segment that are in memory at once, unless one record is larger. */
const WINDOW_BYTES = 1024 * 1024;

/** The state that the segments hold. */
export interface Recovered {
  readonly groups: Map<GroupId, WalGroupLog>;
  /** The last segment, when nothing was ever acknowledged in it. It is no longer in the table. */
  readonly unused: Segment | undefined;
  /** True when `unused` holds parts of a batch that was lost, which must never be mixed with a new one. */
  readonly unusedIsDirty: boolean;
}

/**
 * Rebuilds every group from the segments in `segments`, in order. Changes nothing on disk.
 *
 * The log is a sequence of batches. A batch is written only when the one before is durable, so only the last one can be
 * torn: any damage before it is corruption and throws `WalCorruptError` (D5).
 */
export async function recover(segments: SegmentTable, cache: EntryCache): Promise<Recovered> {
  const groups = new Map<GroupId, WalGroupLog>();
  const list = [...segments.values()];
  const newest = list.at(-1);
  const memory = Buffer.allocUnsafeSlow(Math.min(WINDOW_BYTES, newest?.file.sizeBytes ?? 0));
  let unused: Segment | undefined;
  let unusedIsDirty = false;
  if (newest !== undefined) {
    const scan = new SegmentScan(newest, newest.file.sizeBytes, memory);
    scan.checkVersion();
    if (scan.findTail() === 0) {
      // The segment was prepared ahead and not begun, or begun with a batch that was lost in a crash.
      unused = list.pop();
      unusedIsDirty = scan.hasRecords();
      segments.delete(newest.number);
    }
  }
  for (const [i, segment] of list.entries()) {
    const next = list[i + 1];
    const limit = next === undefined ? segment.file.sizeBytes : readHeader(next).previousEnd;
    const scan = new SegmentScan(segment, limit, memory);
    scan.checkVersion();
    const header = scan.header();
    if (header === undefined) throw new WalCorruptError(segment.name, 0, 'the segment header is damaged');
    segment.endBytes = next === undefined ? scan.findTail() : scan.checkWhole();
    new Replay(groups, segments, cache, scan, i === 0).run(header);
  }
  for (const log of groups.values()) checkComplete(log, list);
  // The records that were read may only be in the page cache, when the process died between a write and its sync. They
  // count as durable from now on, so they must be (D1).
  await list.at(-1)?.file.sync();
  return { groups, unused, unusedIsDirty };
}

function readHeader(segment: Segment): SegmentHeader {
  const header = decodeSegmentHeader(segment.file.readSync(0, SEGMENT_HEADER_BYTES));
  if (header?.segment !== segment.number)
    throw new WalCorruptError(segment.name, 0, 'the segment header is damaged');
  return header;
}

/** Checks that every entry has a place; otherwise a segment that held some was lost. */
function checkComplete(log: WalGroupLog, segments: readonly Segment[]): void {
  const missing = log.nextInSegment(0, log.firstIndex());
  if (missing === undefined) return;
  const reason = `entry ${missing} of group ${log.group} is missing; a segment before this one is lost`;
  throw new WalCorruptError(segments[0]!.name, 0, reason);
}

/** The end of a complete batch, or the first record of an incomplete one that is not intact. */
interface BatchEnd {
  readonly isWhole: boolean;
  readonly offset: number;
  /** The offset of the intact record of the batch before `offset`. */
  readonly previous: number | undefined;
}

/**
 * Whether a sector between the intact records before and at `next` may have been lost, so that neither begins in it.
 */
function canBeTorn({ offset, previous }: BatchEnd, next: number): boolean {
  const firstSector = Math.floor(offset / SECTOR_BYTES);
  const lastSector = Math.floor((next - 1) / SECTOR_BYTES);
  const isFirstWritten = previous !== undefined && Math.floor(previous / SECTOR_BYTES) === firstSector;
  const isLastWritten = Math.floor(next / SECTOR_BYTES) === lastSector;
  return (isFirstWritten ? firstSector + 1 : firstSector) <= (isLastWritten ? lastSector - 1 : lastSector);
}

/**
 * The part of a segment that is in memory. Segments are read piece by piece into the same memory: garbage of their size
 * would stay with an idle node, since nothing makes its collector run.
 */
class SegmentWindow {
  readonly #segment: Segment;
  readonly #limitBytes: number;
  readonly #memory: Buffer;
  #bytes: Buffer = Buffer.alloc(0);
  #begin = 0;

  constructor(segment: Segment, limitBytes: number, memory: Buffer) {
    this.#segment = segment;
    this.#limitBytes = limitBytes;
    this.#memory = memory;
  }

  /** The bytes in memory, until the next `load`. */
  get bytes(): Buffer {
    return this.#bytes;
  }

  /** Reads `lengthBytes` from `offset` on into memory, fewer at the limit, and returns their position in `bytes`. */
  load(offset: number, lengthBytes: number): number {
    const end = Math.min(offset + lengthBytes, this.#limitBytes);
    if (offset < this.#begin || end > this.#begin + this.#bytes.length) {
      const size = Math.min(Math.max(lengthBytes, this.#memory.length), this.#limitBytes - offset);
      this.#bytes = this.#segment.file.readSync(offset, size, this.#memory);
      this.#begin = offset;
    }
    return offset - this.#begin;
  }
}

/** Reads the batches of one segment. */
class SegmentScan {
  readonly #segment: Segment;
  readonly #limitBytes: number;
  readonly #window: SegmentWindow;

  constructor(segment: Segment, limitBytes: number, memory: Buffer) {
    this.#segment = segment;
    this.#limitBytes = limitBytes;
    this.#window = new SegmentWindow(segment, limitBytes, memory);
    if (segment.file.sizeBytes < limitBytes) {
      throw new WalCorruptError(segment.name, segment.file.sizeBytes, 'the file ends too early');
    }
  }

  get segment(): Segment {
    return this.#segment;
  }

  /** The bytes that `load` read into memory. */
  get bytes(): Buffer {
    return this.#window.bytes;
  }

  /** Reads the intact record at `offset` into memory, and returns its position in `bytes`. */
  load(offset: number): number {
    const position = this.#window.load(offset, RECORD_HEADER_BYTES);
    const payloadBytes = this.bytes.readUInt32LE(position + RecordField.length);
    return this.#window.load(offset, RECORD_HEADER_BYTES + payloadBytes);
  }

  checkVersion(): void {
    const version = this.#decodeHeader()?.version ?? FORMAT_VERSION;
    if (version === FORMAT_VERSION) return;
    throw new WalFormatError(
      `${this.#segment.name} has format version ${version}; this program knows version ${FORMAT_VERSION}`,
    );
  }

  /** Returns the header when it is this segment's: recycled space holds that of an earlier one. */
  header(): SegmentHeader | undefined {
    const header = this.#decodeHeader();
    return header?.segment === this.#segment.number ? header : undefined;
  }

  #decodeHeader(): SegmentHeader | undefined {
    const position = this.#window.load(0, SEGMENT_HEADER_BYTES);
    return decodeSegmentHeader(this.bytes.subarray(position));
  }

  /** Whether any record was ever written here under this segment's number. */
  hasRecords(): boolean {
    return this.#nextRecord(SEGMENT_HEADER_BYTES) !== undefined;
  }

  /**
   * Checks a segment that a later one follows: it must be complete up to the end that the later one names. Returns that
   * end.
   */
  checkWhole(): number {
    let offset = SEGMENT_HEADER_BYTES;
    while (offset < this.#limitBytes) {
      const end = this.#batchEnd(offset);
      if (!end.isWhole) throw this.#damaged(end.offset, 'a later segment follows');
      offset = end.offset;
    }
    if (offset !== this.#limitBytes) throw this.#damaged(offset, 'it passes the end of the segment');
    return offset;
  }

  /**
   * Returns the end of the last complete batch of the last segment; 0 when there is none. One lost batch must explain
   * everything after it, else it is corruption.
   */
  findTail(): number {
    let offset = SEGMENT_HEADER_BYTES;
    for (;;) {
      const end = this.#batchEnd(offset);
      if (!end.isWhole) {
        this.#checkTorn(offset, end);
        break;
      }
      offset = end.offset;
    }
    if (offset === SEGMENT_HEADER_BYTES) return 0;
    if (this.header() === undefined)
      throw new WalCorruptError(this.#segment.name, 0, 'the segment header is damaged');
    return offset;
  }

  /** Yields the offsets of the records in `[from, to)`, which must be complete batches. */
  *records(from: number, to: number): Generator<number> {
    for (let offset = from; offset < to; offset = this.#recordEnd(offset)) yield offset;
  }

  #recordEnd(offset: number): number {
    return offset + recordSizeBytes(this.#field(offset, RecordField.length));
  }

  /** Reads into memory as a whole only a record that claims to be of this segment. */
  #isRecord(offset: number): boolean {
    const { number } = this.#segment;
    if (offset + RECORD_HEADER_BYTES > this.#limitBytes) return false;
    if (this.#field(offset, RecordField.segment) !== number) return false;
    const position = this.load(offset);
    return isRecordAt(this.bytes, position, number, offset);
  }

  #batchOf(offset: number): number {
    return this.#field(offset, RecordField.batch);
  }

  /** Reads a 32-bit field of the header at `offset`. */
  #field(offset: number, field: number): number {
    const position = this.#window.load(offset, RECORD_HEADER_BYTES);
    return this.bytes.readUInt32LE(position + field);
  }

  /** Returns the end of the batch that begins at `start`, or its first record that is not intact. */
  #batchEnd(start: number): BatchEnd {
    let previous: number | undefined;
    for (let offset = start; ; ) {
      if (!this.#isRecord(offset) || this.#batchOf(offset) !== start)
        return { isWhole: false, offset, previous };
      const isLast = (this.bytes[this.load(offset) + RecordField.flags]! & FLAG_LAST_OF_BATCH) !== 0;
      previous = offset;
      offset = this.#recordEnd(offset);
      if (isLast) return { isWhole: true, offset, previous };
    }
  }

  /** Returns the first intact record at or after `from`, whichever batch it belongs to. */
  #nextRecord(from: number): number | undefined {
    // Most of the space is zeros or older records; the search for the segment's number is native, and skips them.
    const number = Buffer.alloc(4);
    number.writeUInt32LE(this.#segment.number);
    let field = from + RecordField.segment;
    while (field + number.length <= this.#limitBytes) {
      const position = this.#window.load(field, number.length);
      const at = this.bytes.indexOf(number, position);
      if (at === -1) {
        // The number may still lie across the end of the bytes in memory.
        field += this.bytes.length - position - (number.length - 1);
        continue;
      }
      const offset = field + at - position - RecordField.segment;
      if (offset % RECORD_ALIGNMENT_BYTES === 0 && this.#isRecord(offset)) return offset;
      field = offset + RecordField.segment + 1;
    }
    return undefined;
  }

  /**
   * Throws unless the incomplete batch at `start` can have been lost in a crash. It can only if
   * - no later batch was written: the disk had acknowledged this one before that; and
   * - the damage can be that of sectors that never reached the disk. Such a sector is lost as a whole, so no intact
   *   record of the same batch can begin in it. (One may end in it, in bytes that were there before.)
   */
  #checkTorn(start: number, end: BatchEnd): void {
    const bad = end.offset;
    let isFirst = true;
    for (
      let next = this.#nextRecord(bad);
      next !== undefined;
      next = this.#nextRecord(this.#recordEnd(next))
    ) {
      if (this.#batchOf(next) > start) throw this.#damaged(bad, `an intact record follows at offset ${next}`);
      if (isFirst && this.#batchOf(next) === start && !canBeTorn(end, next)) {
        throw this.#damaged(bad, `intact records begin in its sectors, before it and at offset ${next}`);
      }
      isFirst = false;
    }
  }

  #damaged(offset: number, reason: string): WalCorruptError {
    return new WalCorruptError(this.#segment.name, offset, `the record there is damaged, but ${reason}`);
  }
}

/** Applies the records of one segment to the groups. */
class Replay {
  readonly #groups: Map<GroupId, WalGroupLog>;
  readonly #segments: SegmentTable;
  readonly #cache: EntryCache;
  readonly #scan: SegmentScan;
  /** True for the first segment, whose checkpoints create the groups; those of later segments only repeat them. */
  readonly #isFirst: boolean;

  constructor(
    groups: Map<GroupId, WalGroupLog>,
    segments: SegmentTable,
    cache: EntryCache,
    scan: SegmentScan,
    isFirst: boolean,
  ) {
    this.#groups = groups;
    this.#segments = segments;
    this.#cache = cache;
    this.#scan = scan;
    this.#isFirst = isFirst;
  }

  run(header: SegmentHeader): void {
    let checkpoints = 0;
    for (const offset of this.#scan.records(SEGMENT_HEADER_BYTES, this.#scan.segment.endBytes)) {
      try {
        if (this.#replay(offset) === RecordKind.Checkpoint) checkpoints++;
      } catch (error) {
        if (error instanceof WalCorruptError) throw error;
        throw this.#contradiction(offset, error);
      }
    }
    if (checkpoints !== header.groupCount) {
      throw new WalCorruptError(
        this.#scan.segment.name,
        0,
        'the segment does not begin with the state of every group',
      );
    }
  }

  /** Makes the error for a record that is intact, but cannot come after the one before it. */
  #contradiction(offset: number, cause: unknown): WalCorruptError {
    return new WalCorruptError(this.#scan.segment.name, offset, (cause as Error).message, { cause });
  }

  #replay(offset: number): RecordKind {
    const position = this.#scan.load(offset);
    const { bytes, segment } = this.#scan;
    const group = readUint53(bytes, position + RecordField.group);
    const payload = position + RECORD_HEADER_BYTES;
    const kind: RecordKind = bytes[position + RecordField.kind]!;
    switch (kind) {
      case RecordKind.Checkpoint:
        this.#checkpoint(group, payload);
        break;
      case RecordKind.HardState:
        this.#log(group).setHardState(decodeHardState(bytes, payload));
        break;
      case RecordKind.Entry:
      case RecordKind.Copy: {
        const length = bytes.readUInt32LE(position + RecordField.length) - ENTRY_PREFIX_BYTES;
        const index = readUint53(bytes, payload);
        const entry = { index, term: readUint53(bytes, payload + 8), data: { length } };
        const log = this.#log(group);
        if (kind === RecordKind.Copy) {
          log.relocate(entry, segment.number, offset);
          break;
        }
        invariant(
          index >= log.firstIndex() && index <= log.lastIndex() + 1,
          'an entry does not follow the log of its group',
        );
        log.restore(entry, segment.number, offset);
        break;
      }
      case RecordKind.Reset: {
        const to = decodeSnapshotMetadata(bytes, payload);
        const log = this.#groups.get(group);
        if (log === undefined)
          this.#groups.set(group, new WalGroupLog(group, this.#segments, this.#cache, to));
        else log.reset(to);
        break;
      }
      case RecordKind.Compact:
        this.#log(group).compact(decodeSnapshotMetadata(bytes, payload));
        break;
      case RecordKind.Remove:
        this.#log(group).dropSuffix(0);
        this.#groups.delete(group);
        break;
      default:
        throw new Error(`unknown record kind ${kind satisfies never}`);
    }
    return kind;
  }

  #checkpoint(group: GroupId, payload: number): void {
    const checkpoint = decodeCheckpoint(this.#scan.bytes, payload);
    if (this.#isFirst) {
      const log = new WalGroupLog(group, this.#segments, this.#cache, checkpoint.truncated);
      log.restoreCheckpoint(checkpoint);
      this.#groups.set(group, log);
      return;
    }
    const log = this.#log(group);
    invariant(
      log.lastIndex() === checkpoint.lastIndex &&
        log.truncated.index === checkpoint.truncated.index &&
        log.hardState.term === checkpoint.hardState.term &&
        log.hardState.vote === checkpoint.hardState.vote,
      `the state of group ${group} is not what the segments before add up to`,
    );
  }

  #log(group: GroupId): WalGroupLog {
    const log = this.#groups.get(group);
    invariant(log !== undefined, 'a record of a group that does not exist');
    return log;
  }
}
