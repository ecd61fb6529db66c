import { expect, test } from '@jest/globals';
import {
  BACKUPS_REMEMBERED_MAX,
  BackupHistory,
  type BackupRecord,
  describeBackup,
} from '../../src/xtrabackup/backup-history.js';

const record = (fields: Partial<BackupRecord>): BackupRecord => ({
  sid: '/backups/1',
  type: 'full',
  startedMs: 1_000_500,
  endedMs: 1_002_999,
  sizeBytes: 10_240,
  fileCount: 3,
  isDone: true,
  message: 'sending 2 tables in full and the changes of 0',
  point: undefined,
  ...fields,
});
const everything = { type: undefined, newerThanSeconds: 0, itemsMax: 0 };

test('a backup is described as the real agent does it', () => {
  expect(Object.entries(describeBackup(record({})))).toEqual([
    ['sid', '/backups/1'],
    ['start_time', '1000'],
    ['end_time', '1002'],
    ['backup_size', '10240'],
    ['status', 'success'],
    ['type', 'full'],
    ['files', '3'],
    ['message', 'sending 2 tables in full and the changes of 0'],
  ]);
  expect(describeBackup(record({ isDone: false, message: 'why' }))).toMatchObject({
    status: 'failure',
    message: 'why',
  });
});

test('backups are found newest first, by type, since when, and so many', () => {
  const history = new BackupHistory();
  history.add(record({ sid: 'b', startedMs: 2_000, type: 'incremental' }));
  history.add(record({ sid: 'c', startedMs: 3_000 }));
  // It began first and took longest.
  history.add(record({ sid: 'a', startedMs: 1_000 }));
  history.add(record({ sid: 'd', startedMs: 3_000 }));
  const sids = (query: object): string =>
    history
      .find({ ...everything, ...query })
      .map(({ sid }) => sid)
      .join('');
  expect(sids({})).toBe('dcba');
  expect(sids({ type: 'full' })).toBe('dca');
  expect(sids({ type: 'incremental' })).toBe('b');
  expect(sids({ type: 'other' })).toBe('');
  expect(sids({ newerThanSeconds: 2 })).toBe('dcb');
  expect(sids({ newerThanSeconds: 4 })).toBe('');
  expect(sids({ itemsMax: 2 })).toBe('dc');
  expect(sids({ itemsMax: 1, type: 'incremental' })).toBe('b');
});

test('the changes since a point were sent under a sid when that backup was done', () => {
  const history = new BackupHistory();
  history.add(record({ sid: '/1', type: 'incremental', point: 'p', isDone: false }));
  expect(history.hasSent('/1', 'p')).toBe(false);
  history.add(record({ sid: '/1', type: 'incremental', point: 'p' }));
  expect(history.hasSent('/1', 'p')).toBe(true);
  expect(history.hasSent('/2', 'p')).toBe(false);
  // This is another backup, though a script gives all of them one name.
  expect(history.hasSent('/1', 'q')).toBe(false);
});

test('a history is the same again from its file, and anything else is refused', () => {
  const history = new BackupHistory();
  history.add(record({ sid: '/1', type: 'incremental', point: 'p' }));
  history.add(record({ sid: '/2', isDone: false }));
  const again = BackupHistory.decode(history.encode());
  expect(again.find(everything)).toEqual(history.find(everything));
  expect(again.hasSent('/1', 'p')).toBe(true);
  for (const other of [
    '',
    'null',
    '{"format":2,"backups":[]}',
    '{"format":1}',
    '{"format":1,"backups":[null]}',
    '{"format":1,"backups":[{"sid":"x"}]}',
    history.encode().toString().replace('10240', '"10240"'),
  ]) {
    expect(() => BackupHistory.decode(Buffer.from(other))).toThrow();
  }
});

test('so many backups are remembered, with no more of each than is needed', () => {
  const history = new BackupHistory();
  const long = 'x'.repeat(100_000);
  for (let i = 0; i < BACKUPS_REMEMBERED_MAX + 1; i++) {
    history.add(record({ sid: i === 0 ? 'first' : long, startedMs: i, message: long, point: long }));
  }
  const found = history.find(everything);
  expect(found).toHaveLength(BACKUPS_REMEMBERED_MAX);
  expect(found.at(-1)!.startedMs).toBe(1);
  for (const { sid, message, point } of found)
    expect([sid.length, message.length, point!.length]).toEqual([1024, 1024, 64]);
});
