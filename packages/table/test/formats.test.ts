import { describe, expect, test } from '@jest/globals';
import { Packr } from 'msgpackr';
import { decodeBatchRecord, encodeBatchRecord } from '../src/batch-record.js';
import { ContentHash } from '../src/content-hash.js';
import { decodePreamble, encodePreamble } from '../src/snapshot-preamble.js';
import type { TableState } from '../src/table-state.js';

const state: TableState = {
  appliedIndex: 7,
  appliedTerm: 2,
  revision: 7,
  leaderIndex: undefined,
  lastTimeMs: 0,
  historyFloor: 1,
  keyCount: 0,
  contentHash: new ContentHash().toBuffer(),
  sealedBy: undefined,
  changeCount: 0,
  deletions: [],
  swept: [],
};

describe('what another release wrote is refused, and never read as something else (A8)', () => {
  test('a batch record', () => {
    const record = encodeBatchRecord(
      { state, checkpoint: { batchNumber: 1, appliedIndex: 5 }, progress: undefined },
      [],
    );
    expect(decodeBatchRecord(record).state.appliedIndex).toBe(7);
    for (const format of [0, 1, 2, 5, 127]) {
      const other = Buffer.from(record);
      other[0] = format;
      expect(() => decodeBatchRecord(other)).toThrow('the table was written by another version of Coxswain');
    }
  });

  test('the preamble of a snapshot', () => {
    const preamble = encodePreamble({ group: 9, state });
    expect(decodePreamble(preamble)).toMatchObject({ group: 9, state: { appliedIndex: 7 } });
    for (const format of [0, 3, 127]) {
      const packed = new Packr({ useRecords: false }).pack({ format, group: 9, state });
      const other = Buffer.concat([preamble.subarray(0, 1), packed]);
      expect(() => decodePreamble(other)).toThrow('the snapshot was written by a newer version of Coxswain');
    }
  });
});
