import type { Entry, HardState, SnapshotMetadata } from '@coxswain/raft';
import { crc32c } from '@node-rs/crc32';
import {
  checkpointBytes,
  ENTRY_PREFIX_BYTES,
  encodeCheckpoint,
  encodeHardState,
  encodeSegmentHeader,
  encodeSnapshotMetadata,
  FLAG_LAST_OF_BATCH,
  type GroupCheckpoint,
  HARD_STATE_BYTES,
  RECORD_HEADER_BYTES,
  RecordField,
  RecordKind,
  recordSizeBytes,
  SEGMENT_HEADER_BYTES,
  type SegmentHeader,
  snapshotMetadataBytes,
  writeUint53,
} from './record.js';
import type { GroupId } from './types.js';

/**
 * Data of at least this many bytes is passed to the disk without a copy; below, copying costs less than one more
 * buffer.
 */
const GATHER_BYTES_MIN = 16 * 1024;

const NO_DATA: Buffer = Buffer.alloc(0);

/**
 * Builds the content of one write to a segment. Its memory is used again for the next batch, so a batch must be written
 * before `begin` is called again.
 */
export class BatchEncoder {
  #slab: Buffer = Buffer.allocUnsafeSlow(64 * 1024);
  /** The end of the used part of the slab. */
  #used = 0;
  /** Data that goes between two parts of the slab, and its place there. */
  #gathered: Buffer[] = [];
  #gatheredAt: number[] = [];
  #gatheredBytes = 0;
  #segment = 0;
  #start = 0;
  #batch = 0;
  /** The record whose checksum is still missing: only the next record or the end shows whether it is the last one. */
  #open = -1;
  #openData = NO_DATA;

  /** Begins a batch for `offset` of `segment`. */
  begin(segment: number, offset: number): void {
    this.#segment = segment;
    this.#start = offset;
    this.#batch = offset;
    this.#used = 0;
    this.#gathered = [];
    this.#gatheredAt = [];
    this.#gatheredBytes = 0;
    this.#open = -1;
  }

  /** The bytes that the batch takes in the segment so far. */
  get sizeBytes(): number {
    return this.#used + this.#gatheredBytes;
  }

  /** The offset in the segment of the next record. */
  get offset(): number {
    return this.#start + this.sizeBytes;
  }

  /** Adds the segment's header, which must come before any record. */
  segmentHeader(header: SegmentHeader): void {
    this.#reserve(SEGMENT_HEADER_BYTES);
    encodeSegmentHeader(this.#slab, header);
    this.#used = SEGMENT_HEADER_BYTES;
    this.#batch = SEGMENT_HEADER_BYTES;
  }

  checkpoint(group: GroupId, checkpoint: GroupCheckpoint): void {
    const payload = this.#record(RecordKind.Checkpoint, group, checkpointBytes(checkpoint));
    encodeCheckpoint(this.#slab, checkpoint, payload);
  }

  hardState(group: GroupId, state: HardState): void {
    const payload = this.#record(RecordKind.HardState, group, HARD_STATE_BYTES);
    encodeHardState(this.#slab, state, payload);
  }

  snapshot(kind: RecordKind.Reset | RecordKind.Compact, group: GroupId, metadata: SnapshotMetadata): void {
    const payload = this.#record(kind, group, snapshotMetadataBytes(metadata));
    encodeSnapshotMetadata(this.#slab, metadata, payload);
  }

  remove(group: GroupId): void {
    this.#record(RecordKind.Remove, group, 0);
  }

  entry(kind: RecordKind.Entry | RecordKind.Copy, group: GroupId, entry: Entry): void {
    const { data } = entry;
    const gathers = data.length >= GATHER_BYTES_MIN;
    const payload = this.#record(kind, group, ENTRY_PREFIX_BYTES + data.length, gathers ? data : NO_DATA);
    this.#slab[payload - RECORD_HEADER_BYTES + RecordField.entryType] = entry.type;
    writeUint53(this.#slab, entry.index, payload);
    writeUint53(this.#slab, entry.term, payload + 8);
    if (!gathers) data.copy(this.#slab, payload + ENTRY_PREFIX_BYTES);
  }

  /** Ends the batch and returns its buffers, to be written in this order. */
  finish(): Buffer[] {
    if (this.#open >= 0) {
      this.#slab[this.#open + RecordField.flags] = FLAG_LAST_OF_BATCH;
      this.#seal();
    }
    const buffers: Buffer[] = [];
    let from = 0;
    for (const [i, data] of this.#gathered.entries()) {
      const at = this.#gatheredAt[i]!;
      buffers.push(this.#slab.subarray(from, at), data);
      from = at;
    }
    if (from < this.#used) buffers.push(this.#slab.subarray(from, this.#used));
    return buffers;
  }

  /** Lays out a record and returns where its payload begins in the slab; `data` ends the payload without a copy. */
  #record(kind: RecordKind, group: GroupId, payloadBytes: number, data: Buffer = NO_DATA): number {
    if (this.#open >= 0) this.#seal();
    const offset = this.offset;
    const copiedBytes = recordSizeBytes(payloadBytes) - data.length;
    this.#reserve(copiedBytes);
    const slab = this.#slab;
    const start = this.#used;
    const end = start + copiedBytes;
    slab.writeUInt32LE(this.#segment, start + RecordField.segment);
    slab.writeUInt32LE(offset, start + RecordField.offset);
    slab.writeUInt32LE(this.#batch, start + RecordField.batch);
    slab.writeUInt32LE(payloadBytes, start + RecordField.length);
    slab.writeUInt32LE(kind, start + RecordField.kind);
    writeUint53(slab, group, start + RecordField.group);
    const payload = start + RECORD_HEADER_BYTES;
    // The slab holds an earlier batch, whose bytes in the padding must not reach the disk.
    slab.fill(0, payload + payloadBytes - data.length, end);
    if (data.length > 0) {
      this.#gathered.push(data);
      this.#gatheredAt.push(payload + payloadBytes - data.length);
      this.#gatheredBytes += data.length;
    }
    this.#open = start;
    this.#openData = data;
    this.#used = end;
    return payload;
  }

  #seal(): void {
    const slab = this.#slab;
    const start = this.#open;
    const data = this.#openData;
    const payloadBytes = slab.readUInt32LE(start + RecordField.length) - data.length;
    let crc = crc32c(slab.subarray(start + 4, start + RECORD_HEADER_BYTES + payloadBytes));
    if (data.length > 0) crc = crc32c(data, crc);
    slab.writeUInt32LE(crc, start + RecordField.crc);
  }

  #reserve(bytes: number): void {
    const needed = this.#used + bytes;
    if (needed <= this.#slab.length) return;
    const larger = Buffer.allocUnsafeSlow(Math.max(needed, 2 * this.#slab.length));
    this.#slab.copy(larger, 0, 0, this.#used);
    this.#slab = larger;
  }
}
