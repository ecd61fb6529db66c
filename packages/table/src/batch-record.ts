import { strict as assert } from 'node:assert/strict';
import { ByteReader } from './byte-reader.js';
import { ByteWriter } from './byte-writer.js';
import { CONTENT_HASH_SIZE_BYTES } from './content-hash.js';
import { type Change, writeJournal } from './journal.js';
import type { RangeDeletion } from './range-deletion.js';
import type { Progress, TableState } from './table-state.js';

/** The format of a record. Formats 1 and 2 had a record for each version in the history; no release wrote them. */
const FORMAT = 3;
/** Format 3, extended by the range deletions that are under way. */
const FORMAT_WITH_DELETIONS = 4;
const HAS_LEADER_INDEX = 1;
const HAS_SEAL = 2;
const HAS_PROGRESS = 4;
const SUCCEEDED = 8;
const FAILED = 16;
const HAS_NEXT_KEY = 32;

/** The last batch that a flush made durable, and the last entry applied in it (D4). */
export interface Checkpoint {
  readonly batchNumber: number;
  readonly appliedIndex: number;
}

/**
 * The part of every store batch that is not data: the marker of D4 and the applied index of D3. A journal of the keys
 * that the batch changed follows it, for removing history later.
 */
export interface BatchRecord {
  readonly state: TableState;
  /** The last checkpoint that was complete when the batch was written. */
  readonly checkpoint: Checkpoint;
  /** How far the entry has come that is half applied (A4); undefined when there is none. */
  readonly progress: Progress | undefined;
}

const NO_DELETIONS: readonly RangeDeletion[] = [];

const writer = new ByteWriter(1024);

/** Encodes the record, followed by the journal of the batch's changes. */
export function encodeBatchRecord(record: BatchRecord, changes: readonly Change[]): Buffer {
  const { state, checkpoint, progress } = record;
  writer.varint(state.deletions.length === 0 ? FORMAT : FORMAT_WITH_DELETIONS);
  writer.varint(
    (state.leaderIndex === undefined ? 0 : HAS_LEADER_INDEX) |
      (state.sealedBy === undefined ? 0 : HAS_SEAL) |
      (progress === undefined ? 0 : HAS_PROGRESS) |
      (progress?.succeeded === true ? SUCCEEDED : 0) |
      (progress?.succeeded === false ? FAILED : 0) |
      (progress?.nextKey === undefined ? 0 : HAS_NEXT_KEY),
  );
  writer.varint(checkpoint.batchNumber);
  writer.varint(checkpoint.appliedIndex);
  writer.varint(state.appliedIndex);
  writer.varint(state.appliedTerm);
  writer.varint(state.revision);
  writer.varint(state.lastTimeMs);
  writer.varint(state.historyFloor);
  writer.varint(state.keyCount);
  writer.varint(state.changeCount);
  writer.bytes(state.contentHash);
  if (state.leaderIndex !== undefined) writer.varint(state.leaderIndex);
  if (state.sealedBy !== undefined) writer.varint(state.sealedBy);
  if (progress !== undefined) {
    writer.varint(progress.index);
    writer.varint(progress.command);
    writer.varint(progress.operation);
    writer.varint(progress.deletedCount);
    if (progress.nextKey !== undefined) {
      writer.varint(progress.nextKey.length);
      writer.bytes(progress.nextKey);
    }
  }
  if (state.deletions.length > 0) writeDeletions(state.deletions);
  writeJournal(writer, changes);
  return writer.take();
}

/**
 * Decodes a record. Returns the journal still encoded, for `readJournal`. Throws AssertionError for an unknown format.
 */
export function decodeBatchRecord(bytes: Buffer): BatchRecord & { readonly journal: Buffer } {
  const reader = new ByteReader(bytes);
  const format = reader.varint();
  assert(
    format === FORMAT || format === FORMAT_WITH_DELETIONS,
    'the table was written by another version of Coxswain',
  );
  const flags = reader.varint();
  const checkpoint = { batchNumber: reader.varint(), appliedIndex: reader.varint() };
  const state = {
    appliedIndex: reader.varint(),
    appliedTerm: reader.varint(),
    revision: reader.varint(),
    lastTimeMs: reader.varint(),
    historyFloor: reader.varint(),
    keyCount: reader.varint(),
    changeCount: reader.varint(),
    contentHash: Buffer.from(reader.bytes(CONTENT_HASH_SIZE_BYTES)),
    leaderIndex: flags & HAS_LEADER_INDEX ? reader.varint() : undefined,
    sealedBy: flags & HAS_SEAL ? reader.varint() : undefined,
  };
  let progress: Progress | undefined;
  if (flags & HAS_PROGRESS) {
    progress = {
      succeeded: flags & SUCCEEDED ? true : flags & FAILED ? false : undefined,
      index: reader.varint(),
      command: reader.varint(),
      operation: reader.varint(),
      deletedCount: reader.varint(),
      nextKey: flags & HAS_NEXT_KEY ? Buffer.from(reader.bytes(reader.varint())) : undefined,
    };
  }
  const deletions = format === FORMAT_WITH_DELETIONS ? readDeletions(reader) : NO_DELETIONS;
  return {
    state: { ...state, deletions, swept: NO_DELETIONS },
    checkpoint,
    progress,
    journal: bytes.subarray(reader.offset),
  };
}

function writeDeletions(deletions: readonly RangeDeletion[]): void {
  writer.varint(deletions.length);
  for (const { first, end, revision, lane } of deletions) {
    writer.varint(revision);
    writer.varint(lane);
    writer.varint(first.length);
    writer.bytes(first);
    // No range ends before the empty key, so length 0 is free for a range without an end.
    writer.varint(end === undefined ? 0 : end.length);
    if (end !== undefined) writer.bytes(end);
  }
}

function readDeletions(reader: ByteReader): RangeDeletion[] {
  return Array.from({ length: reader.varint() }, () => {
    const revision = reader.varint();
    const lane = reader.varint();
    const first = Buffer.from(reader.bytes(reader.varint()));
    const endLength = reader.varint();
    const end = endLength === 0 ? undefined : Buffer.from(reader.bytes(endLength));
    return { first, end, revision, lane };
  });
}
