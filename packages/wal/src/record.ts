import type { HardState, Membership, SnapshotMetadata } from '@coxswain/raft';
import { crc32c } from '@node-rs/crc32';

/** The layout of a segment, byte by byte; DESIGN.md has the same as a table. All integers are little-endian. */

export const FORMAT_VERSION = 1;
export const SEGMENT_HEADER_BYTES = 32;
export const RECORD_HEADER_BYTES = 32;
/** The bytes of an entry's payload before its data: index and term. */
export const ENTRY_PREFIX_BYTES = 16;
/** Records begin at multiples of this many bytes, so that a scan for surviving records looks at few places. */
export const RECORD_ALIGNMENT_BYTES = 8;
/** The bytes that one torn write leaves intact or loses as a whole. Larger real sectors are multiples of it. */
export const SECTOR_BYTES = 512;

const MAGIC = Buffer.from('COXSWWAL', 'latin1');
const TWO_POW_32 = 2 ** 32;

export enum RecordKind {
  /** A group's whole state except its entries; every segment begins with one per group (D5). */
  Checkpoint = 1,
  HardState = 2,
  Entry = 3,
  Reset = 4,
  Compact = 5,
  Remove = 6,
  /** An entry that was written before and is still alive, moved out of an old segment. It replaces nothing. */
  Copy = 7,
}

/** Offsets in a record's header. */
export const RecordField = {
  crc: 0,
  segment: 4,
  offset: 8,
  batch: 12,
  length: 16,
  kind: 20,
  flags: 21,
  entryType: 22,
  unused: 23,
  group: 24,
} as const;

/** Set on the last record of a batch: the records of one write, which one sync makes durable. */
export const FLAG_LAST_OF_BATCH = 1;

export interface SegmentHeader {
  readonly version: number;
  readonly segment: number;
  /**
   * The end of the log in the segment before; records after it were never acknowledged. 0 when there is no such
   * segment.
   */
  readonly previousEnd: number;
  /** The number of checkpoint records that follow. */
  readonly groupCount: number;
}

/** A group's state at some place of the log, as checkpoint records hold it. */
export interface GroupCheckpoint {
  readonly hardState: HardState;
  readonly truncated: SnapshotMetadata;
  readonly lastIndex: number;
}

/** Returns the bytes that a record with `payloadBytes` of payload takes in a segment. */
export function recordSizeBytes(payloadBytes: number): number {
  const bytes = RECORD_HEADER_BYTES + payloadBytes;
  return bytes + (-bytes & (RECORD_ALIGNMENT_BYTES - 1));
}

/** Returns the bytes that an entry with `dataBytes` of data takes in a segment. */
export function entrySizeBytes(dataBytes: number): number {
  return recordSizeBytes(ENTRY_PREFIX_BYTES + dataBytes);
}

export function writeUint53(target: Buffer, value: number, offset: number): void {
  target.writeUInt32LE(value >>> 0, offset);
  target.writeUInt32LE(Math.floor(value / TWO_POW_32), offset + 4);
}

export function readUint53(source: Buffer, offset: number): number {
  return source.readUInt32LE(offset + 4) * TWO_POW_32 + source.readUInt32LE(offset);
}

export function encodeSegmentHeader(target: Buffer, header: SegmentHeader): void {
  MAGIC.copy(target, 0);
  target.writeUInt32LE(header.version, 8);
  target.writeUInt32LE(header.segment, 12);
  target.writeUInt32LE(header.previousEnd, 16);
  target.writeUInt32LE(header.groupCount, 20);
  target.writeUInt32LE(0, 24);
  target.writeUInt32LE(crc32c(target.subarray(0, 28)), 28);
}

/** Decodes the header at the beginning of `source`; undefined when there is no intact one. */
export function decodeSegmentHeader(source: Buffer): SegmentHeader | undefined {
  if (source.length < SEGMENT_HEADER_BYTES || !source.subarray(0, 8).equals(MAGIC)) return undefined;
  if (source.readUInt32LE(28) !== crc32c(source.subarray(0, 28))) return undefined;
  return {
    version: source.readUInt32LE(8),
    segment: source.readUInt32LE(12),
    previousEnd: source.readUInt32LE(16),
    groupCount: source.readUInt32LE(20),
  };
}

/**
 * Whether `source` holds an intact record of `segment` at `position`, where `position` in the buffer is `offset` in the
 * segment. The checksum covers the segment and the offset (D5), so a record that an earlier use of the space left
 * there, or that was written to the wrong place, is not intact.
 */
export function isRecordAt(source: Buffer, position: number, segment: number, offset: number): boolean {
  if (position + RECORD_HEADER_BYTES > source.length) return false;
  if (source.readUInt32LE(position + RecordField.segment) !== segment) return false;
  if (source.readUInt32LE(position + RecordField.offset) !== offset) return false;
  const end = position + RECORD_HEADER_BYTES + source.readUInt32LE(position + RecordField.length);
  if (end > source.length) return false;
  return source.readUInt32LE(position + RecordField.crc) === crc32c(source.subarray(position + 4, end));
}

export const HARD_STATE_BYTES = 24;

export function encodeHardState(target: Buffer, state: HardState, offset: number): void {
  writeUint53(target, state.term, offset);
  writeUint53(target, state.vote, offset + 8);
  writeUint53(target, state.commit, offset + 16);
}

export function decodeHardState(source: Buffer, offset: number): HardState {
  return {
    term: readUint53(source, offset),
    vote: readUint53(source, offset + 8),
    commit: readUint53(source, offset + 16),
  };
}

export function snapshotMetadataBytes(metadata: SnapshotMetadata): number {
  return 24 + 8 * (metadata.membership.voters.length + metadata.membership.learners.length);
}

export function encodeSnapshotMetadata(target: Buffer, metadata: SnapshotMetadata, offset: number): void {
  const { voters, learners } = metadata.membership;
  writeUint53(target, metadata.index, offset);
  writeUint53(target, metadata.term, offset + 8);
  target.writeUInt32LE(voters.length, offset + 16);
  target.writeUInt32LE(learners.length, offset + 20);
  let position = offset + 24;
  for (const node of voters) {
    writeUint53(target, node, position);
    position += 8;
  }
  for (const node of learners) {
    writeUint53(target, node, position);
    position += 8;
  }
}

export function decodeSnapshotMetadata(source: Buffer, offset: number): SnapshotMetadata {
  const voterCount = source.readUInt32LE(offset + 16);
  const learnerCount = source.readUInt32LE(offset + 20);
  const nodes = (from: number, count: number): number[] =>
    Array.from({ length: count }, (_, i) => readUint53(source, from + 8 * i));
  const membership: Membership = {
    voters: nodes(offset + 24, voterCount),
    learners: nodes(offset + 24 + 8 * voterCount, learnerCount),
  };
  return { index: readUint53(source, offset), term: readUint53(source, offset + 8), membership };
}

export function checkpointBytes(checkpoint: GroupCheckpoint): number {
  return HARD_STATE_BYTES + 8 + snapshotMetadataBytes(checkpoint.truncated);
}

export function encodeCheckpoint(target: Buffer, checkpoint: GroupCheckpoint, offset: number): void {
  encodeHardState(target, checkpoint.hardState, offset);
  writeUint53(target, checkpoint.lastIndex, offset + HARD_STATE_BYTES);
  encodeSnapshotMetadata(target, checkpoint.truncated, offset + HARD_STATE_BYTES + 8);
}

export function decodeCheckpoint(source: Buffer, offset: number): GroupCheckpoint {
  return {
    hardState: decodeHardState(source, offset),
    lastIndex: readUint53(source, offset + HARD_STATE_BYTES),
    truncated: decodeSnapshotMetadata(source, offset + HARD_STATE_BYTES + 8),
  };
}
