import { readSafeInteger, writeSafeInteger } from './integers.js';

/**
 * The first byte of a store key distinguishes the kinds of records. DESIGN.md has the whole layout. Byte 0 is left free
 * for the store itself. These numbers are on disk.
 */
export const LATEST = 0x4c;
const BATCH = 0x4e;
const OUTCOME = 0x4f;
const HISTORY_BLOCK = 0x44;

/**
 * The size of a record's header: u64 create revision, u64 mod revision, u64 version, all little-endian. The value
 * follows it.
 */
export const RECORD_HEADER_SIZE_BYTES = 24;

const EMPTY = Buffer.alloc(0);

/** Returns the revision that created the key, from its record. */
export function createRevisionOf(record: Buffer): number {
  return readSafeInteger(record, 0);
}

/** Returns the revision that wrote the record. */
export function modRevisionOf(record: Buffer): number {
  return readSafeInteger(record, 8);
}

/** Returns how many times the key has been written since it was created, from its record. */
export function versionOf(record: Buffer): number {
  return readSafeInteger(record, 16);
}

/** Returns the value in a record. It shares the record's memory. */
export function valueIn(record: Buffer): Buffer {
  return record.subarray(RECORD_HEADER_SIZE_BYTES);
}

/** Writes the header of a record. */
export function writeRecordHeader(
  record: Buffer,
  createRevision: number,
  modRevision: number,
  version: number,
): void {
  writeRecordHeaderAt(record, 0, { createRevision, modRevision, version });
}

/** The revisions and the version in the header of a record. */
export interface Stamp {
  readonly createRevision: number;
  readonly modRevision: number;
  readonly version: number;
}

/** Writes the header of a record that begins at `offset` of a buffer. */
export function writeRecordHeaderAt(
  target: Buffer,
  offset: number,
  { createRevision, modRevision, version }: Stamp,
): void {
  writeSafeInteger(target, offset, createRevision);
  writeSafeInteger(target, offset + 8, modRevision);
  writeSafeInteger(target, offset + 16, version);
}

/** Returns the store key of a key's latest version, which one point read finds. */
export function latestKey(key: Buffer): Buffer {
  const storeKey = Buffer.allocUnsafe(key.length + 1);
  storeKey[0] = LATEST;
  storeKey.set(key, 1);
  return storeKey;
}

/** Returns the user's key in a latest store key. It shares the store key's memory. */
export function keyInLatestKey(storeKey: Buffer): Buffer {
  return storeKey.subarray(1);
}

/** A store key that follows every latest key. */
export const LATEST_END = Buffer.from([LATEST + 1]);

function writeRevisionBigEndian(target: Buffer, offset: number, revision: number): void {
  target.writeUInt32BE(Math.floor(revision / 0x1_0000_0000), offset);
  target.writeUInt32BE(revision >>> 0, offset + 4);
}

/** Returns the store key of a batch record. */
export function batchKey(batchNumber: number): Buffer {
  const storeKey = Buffer.allocUnsafe(9);
  storeKey[0] = BATCH;
  writeRevisionBigEndian(storeKey, 1, batchNumber);
  return storeKey;
}

/** Returns the batch number in the store key of a batch record. */
export function batchNumberOf(storeKey: Buffer): number {
  return storeKey.readUInt32BE(1) * 0x1_0000_0000 + storeKey.readUInt32BE(5);
}

/** A store key that follows that of every batch record. */
export const BATCH_END = Buffer.from([BATCH + 1]);

/** Returns the store key of a Txn's outcome: the entry's index, and the command's place in a SEQUENCE (R3). */
export function outcomeKey(index: number, command: number): Buffer {
  const storeKey = Buffer.allocUnsafe(13);
  storeKey[0] = OUTCOME;
  writeRevisionBigEndian(storeKey, 1, index);
  storeKey.writeUInt32BE(command, 9);
  return storeKey;
}

const HISTORY_BLOCK_HEAD_SIZE_BYTES = 13;
const ESCAPE_END = 1;
const ESCAPED_ZERO = 0xff;

/**
 * Returns a store key at or before those of all blocks of the lane that begin with the key or a later one. The key is
 * escaped, so that the bytes after it cannot change the order of keys: a zero byte becomes 00 FF, and 00 01 ends the
 * key. `tailSizeBytes` of room are left at the end.
 */
export function historyBlocksOf({ revision, lane }: HistoryLane, key: Buffer, tailSizeBytes = 0): Buffer {
  let zeros = 0;
  for (let at = key.indexOf(0); at !== -1; at = key.indexOf(0, at + 1)) zeros += 1;
  const head = HISTORY_BLOCK_HEAD_SIZE_BYTES;
  const storeKey = Buffer.allocUnsafe(head + key.length + zeros + tailSizeBytes);
  storeKey[0] = HISTORY_BLOCK;
  writeRevisionBigEndian(storeKey, 1, revision);
  storeKey.writeUInt32BE(lane, 9);
  if (zeros === 0) {
    storeKey.set(key, head);
    return storeKey;
  }
  let at = head;
  for (const byte of key) {
    storeKey[at++] = byte;
    if (byte === 0) storeKey[at++] = ESCAPED_ZERO;
  }
  return storeKey;
}

/**
 * Returns the store key of a block of versions: its lane, its first version's key, and the revision that superseded
 * that version. The blocks of a lane do not overlap, so a version can be in just one: the last that begins at or before
 * it.
 */
export function historyBlockKey(lane: HistoryLane, firstKey: Buffer, supersededAt: number): Buffer {
  const storeKey = historyBlocksOf(lane, firstKey, 10);
  const at = storeKey.length - 10;
  storeKey[at] = 0;
  storeKey[at + 1] = ESCAPE_END;
  writeRevisionBigEndian(storeKey, at + 2, supersededAt);
  return storeKey;
}

/** Returns a store key that follows every block of the lane, and is at or before all blocks of the next lane. */
export function historyLaneEnd({ revision, lane }: HistoryLane): Buffer {
  return historyBlocksOf({ revision, lane: lane + 1 }, EMPTY);
}

/** Returns a store key at or before all blocks of the revision and of later ones. */
export function historyBlocksFrom(revision: number): Buffer {
  return historyBlocksOf({ revision, lane: 0 }, EMPTY);
}

/** A lane of the history: blocks of versions in the order of keys and of the revisions that superseded them. */
export interface HistoryLane {
  /**
   * The last revision that superseded one of the lane's versions. Once the history begins there, all blocks of the lane
   * can be removed.
   */
  readonly revision: number;
  readonly lane: number;
}

/** Lanes from this number on belong to flushes, those below to range deletions. */
const FLUSH_LANES_FROM = 0x8000_0000;

/**
 * Returns the lane of a flush up to a batch. Two flushes that end with the same revision, in the middle of an entry,
 * have different lanes.
 */
export function historyLaneOfFlush(revision: number, batchNumber: number): HistoryLane {
  return { revision, lane: FLUSH_LANES_FROM + (batchNumber % (FLUSH_LANES_FROM - 1)) };
}

/** Returns the lane in a block's store key. */
export function historyLaneOf(storeKey: Buffer): HistoryLane {
  const revision = storeKey.readUInt32BE(1) * 0x1_0000_0000 + storeKey.readUInt32BE(5);
  return { revision, lane: storeKey.readUInt32BE(9) };
}

/** A store key that follows every block. */
export const HISTORY_BLOCK_END = Buffer.from([HISTORY_BLOCK + 1]);
