import { readSafeInteger, writeSafeInteger } from './integers.js';

/**
 * The first byte of a store key says what the record is. DESIGN.md has the whole layout. Byte 0 is left
 * free for the store itself. These numbers are on disk.
 */
export const LATEST = 0x4c;
const BATCH = 0x4e;
const OUTCOME = 0x4f;
const HISTORY_BLOCK = 0x44;

/** u64 create revision, u64 mod revision, u64 version, all little-endian; the value follows. */
export const RECORD_HEADER_SIZE_BYTES = 24;

const EMPTY = Buffer.alloc(0);

export function createRevisionOf(record: Buffer): number {
  return readSafeInteger(record, 0);
}

export function modRevisionOf(record: Buffer): number {
  return readSafeInteger(record, 8);
}

export function versionOf(record: Buffer): number {
  return readSafeInteger(record, 16);
}

/** Shares the record's memory. */
export function valueIn(record: Buffer): Buffer {
  return record.subarray(RECORD_HEADER_SIZE_BYTES);
}

export function writeRecordHeader(
  record: Buffer,
  createRevision: number,
  modRevision: number,
  version: number,
): void {
  writeRecordHeaderAt(record, 0, { createRevision, modRevision, version });
}

/** What the header of a record says. */
export interface Stamp {
  readonly createRevision: number;
  readonly modRevision: number;
  readonly version: number;
}

/** Writes the header of a record that begins in the middle of a buffer. */
export function writeRecordHeaderAt(
  target: Buffer,
  offset: number,
  { createRevision, modRevision, version }: Stamp,
): void {
  writeSafeInteger(target, offset, createRevision);
  writeSafeInteger(target, offset + 8, modRevision);
  writeSafeInteger(target, offset + 16, version);
}

/** Where the latest version of a key is: one point read. */
export function latestKey(key: Buffer): Buffer {
  const storeKey = Buffer.allocUnsafe(key.length + 1);
  storeKey[0] = LATEST;
  storeKey.set(key, 1);
  return storeKey;
}

/** The user's key in a latest key. Shares its memory. */
export function keyInLatestKey(storeKey: Buffer): Buffer {
  return storeKey.subarray(1);
}

/** Follows every latest key. */
export const LATEST_END = Buffer.from([LATEST + 1]);

function writeRevisionBigEndian(target: Buffer, offset: number, revision: number): void {
  target.writeUInt32BE(Math.floor(revision / 0x1_0000_0000), offset);
  target.writeUInt32BE(revision >>> 0, offset + 4);
}

/** Where the batch record of a batch number is. */
export function batchKey(batchNumber: number): Buffer {
  const storeKey = Buffer.allocUnsafe(9);
  storeKey[0] = BATCH;
  writeRevisionBigEndian(storeKey, 1, batchNumber);
  return storeKey;
}

/** The number in a batch key. */
export function batchNumberOf(storeKey: Buffer): number {
  return storeKey.readUInt32BE(1) * 0x1_0000_0000 + storeKey.readUInt32BE(5);
}

/** Follows every batch key. */
export const BATCH_END = Buffer.from([BATCH + 1]);

/** Where the outcome of a Txn is: by entry, and by the command's place in a SEQUENCE (R3). */
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
 * At or before every block of the lane that begins with the key or a later one. The key is so escaped that what follows it
 * cannot change the order of keys: a zero byte becomes 00 FF, and 00 01 ends it.
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
 * Where a block of versions is: by its lane, and by its first version's key and the revision that superseded that. The
 * blocks of a lane do not overlap, so a version can be in just one: the last that begins at or before it.
 */
export function historyBlockKey(lane: HistoryLane, firstKey: Buffer, supersededAt: number): Buffer {
  const storeKey = historyBlocksOf(lane, firstKey, 10);
  const at = storeKey.length - 10;
  storeKey[at] = 0;
  storeKey[at + 1] = ESCAPE_END;
  writeRevisionBigEndian(storeKey, at + 2, supersededAt);
  return storeKey;
}

/** Follows every block of the lane, and is at or before all of the next. */
export function historyLaneEnd({ revision, lane }: HistoryLane): Buffer {
  return historyBlocksOf({ revision, lane: lane + 1 }, EMPTY);
}

/** At or before all blocks of the revision and of later ones. */
export function historyBlocksFrom(revision: number): Buffer {
  return historyBlocksOf({ revision, lane: 0 }, EMPTY);
}

/** Blocks of versions in the order of keys and of the revisions that superseded them. */
export interface HistoryLane {
  /** None of its versions was superseded later: once the history begins there, all of its blocks can go. */
  readonly revision: number;
  readonly lane: number;
}

/** Lanes from here on are of flushes, those before of range deletions. */
const FLUSH_LANES_FROM = 0x8000_0000;

/** The lane of a flush up to a batch: two that end with the same revision, in the middle of an entry, have different ones. */
export function historyLaneOfFlush(revision: number, batchNumber: number): HistoryLane {
  return { revision, lane: FLUSH_LANES_FROM + (batchNumber % (FLUSH_LANES_FROM - 1)) };
}

/** The lane in a block's key. */
export function historyLaneOf(storeKey: Buffer): HistoryLane {
  const revision = storeKey.readUInt32BE(1) * 0x1_0000_0000 + storeKey.readUInt32BE(5);
  return { revision, lane: storeKey.readUInt32BE(9) };
}

/** Follows every block. */
export const HISTORY_BLOCK_END = Buffer.from([HISTORY_BLOCK + 1]);
