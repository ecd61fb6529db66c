import { strict as assert } from 'node:assert/strict';
import { Packr } from 'msgpackr';
import type { TableState } from './table-state.js';

const FORMAT = 1;
/** As format 1, with range deletions that are under way, and the records that they have not removed. */
const FORMAT_WITH_DELETIONS = 2;
/** No protobuf message begins with a zero byte (field number 0), so this record is never taken for a Command. */
const MARK = 0;

const packr = new Packr({ useRecords: false });

/** The first record of a Raft snapshot: what the receiver must become. It never goes to anyone but our own nodes. */
export interface SnapshotPreamble {
  /** The group that the snapshot is of. */
  readonly group: number;
  readonly state: TableState;
}

export function isPreamble(record: Buffer): boolean {
  return record[0] === MARK;
}

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
