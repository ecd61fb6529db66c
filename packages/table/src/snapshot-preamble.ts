import { strict as assert } from 'node:assert/strict';
import { Packr } from 'msgpackr';
import type { TableState } from './table-state.js';

const FORMAT = 1;
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
  return Buffer.concat([Buffer.from([MARK]), packr.pack({ format: FORMAT, group, state })]);
}

export function decodePreamble(record: Buffer): SnapshotPreamble {
  const { format, group, state } = packr.unpack(record.subarray(1)) as SnapshotPreamble & { format: number };
  assert.equal(format, FORMAT, 'the snapshot was written by a newer version');
  return { group, state: { ...state, contentHash: Buffer.from(state.contentHash) } };
}
