import { strict as assert } from 'node:assert/strict';
import { Packr } from 'msgpackr';
import type { TableState } from './table-state.js';

const FORMAT = 1;
/**
 * Format 1, extended by range deletions that are under way. The snapshot then has the records that they have yet to
 * remove.
 */
const FORMAT_WITH_DELETIONS = 2;
/**
 * The first byte of a preamble. No protobuf message begins with a zero byte (field number 0), so a preamble is never
 * taken for a Command.
 */
const MARK = 0;

const packr = new Packr({ useRecords: false });

/** The first record of a Raft snapshot: the state that the receiver must take. It goes to our own nodes only. */
export interface SnapshotPreamble {
  /** The group that the snapshot belongs to. */
  readonly group: number;
  readonly state: TableState;
}

/** Returns whether a record of a snapshot stream is a preamble. */
export function isPreamble(record: Buffer): boolean {
  return record[0] === MARK;
}

/** Encodes a preamble. The parts of the state that are in memory only are left out. */
export function encodePreamble({ group, state }: SnapshotPreamble): Buffer {
  const { deletions, swept, ...rest } = state;
  const plain = { format: FORMAT, group, state: rest };
  const stored = deletions.map(({ written, ...deletion }) => deletion);
  const record =
    deletions.length === 0
      ? plain
      : { format: FORMAT_WITH_DELETIONS, group, state: { ...rest, deletions: stored } };
  return Buffer.concat([Buffer.from([MARK]), packr.pack(record)]);
}

/** Decodes a preamble. Throws AssertionError for a format of a newer version. */
export function decodePreamble(record: Buffer): SnapshotPreamble {
  const { format, group, state } = packr.unpack(record.subarray(1)) as SnapshotPreamble & { format: number };
  assert(
    format === FORMAT || format === FORMAT_WITH_DELETIONS,
    'the snapshot was written by a newer version of Coxswain',
  );
  const deletions = (state.deletions ?? []).map(({ first, end, revision, lane }) => ({
    first: Buffer.from(first),
    end: end && Buffer.from(end),
    revision,
    lane,
  }));
  return { group, state: { ...state, contentHash: Buffer.from(state.contentHash), deletions, swept: [] } };
}
