import type { LogEntry, TableLog } from '@coxswain/node';
import { mvcc } from '@coxswain/protocol';
import { CommandKind } from '@coxswain/table';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { describeEntry } from '../../src/tidb-binlog/entry-text.js';
import { findEntry, findReplicated, replicaPositionOf, timeAt } from '../../src/tidb-binlog/positions.js';
import { tsoOf } from '../../src/tidb-binlog/tso.js';

const WRAP = 2 ** 18;
const NOTHING = Buffer.alloc(0);

/** Makes a table's log that holds `entries`, of which the first is at `firstIndex`. */
function logOf(entries: readonly Partial<LogEntry>[], firstIndex = 1, leaderIndex?: number): TableLog {
  const all = entries.map(
    (entry, at): LogEntry => ({
      ...{ index: firstIndex + at, term: 1, timeMs: 0, kind: CommandKind.None, command: NOTHING },
      ...entry,
    }),
  );
  const appliedIndex = firstIndex + entries.length - 1;
  const lastTimeMs = Math.max(0, ...all.map(({ timeMs }) => timeMs));
  const log: Partial<TableLog> = {
    firstIndex,
    appliedIndex,
    isServing: true,
    table: { revision: leaderIndex ?? appliedIndex, leaderIndex, lastTimeMs } as TableLog['table'],
    entries: (from, maxBytes) =>
      all.slice(from - firstIndex, maxBytes === 1 ? from - firstIndex + 1 : undefined),
  };
  return log as TableLog;
}

const command = (given: Parameters<typeof mvcc.Command.fromPartial>[0]): Buffer =>
  mvcc.Command.encode(mvcc.Command.fromPartial(given)).finish() as Buffer;

/** Makes an entry of a follower cluster's log that brought these commands, by index and time. */
function brought(...places: [leaderIndex: number, timeMs: number][]): Partial<LogEntry> {
  const inner = places.map(([leaderIndex, timeMs]) => ({
    kv: { key: Buffer.from(`k${leaderIndex}`), value: NOTHING },
    leaderIndex: BigInt(leaderIndex),
    ...(timeMs > 0 && { timeMs: BigInt(timeMs) }),
  }));
  const { SEQUENCE } = mvcc.Command_CommandType;
  const leaderIndex = BigInt(places.at(-1)![0]);
  return { kind: CommandKind.Command, command: command({ type: SEQUENCE, leaderIndex, sequence: inner }) };
}

const put = (timeMs: number): Partial<LogEntry> => ({
  timeMs,
  kind: CommandKind.Command,
  command: command({ kv: { key: Buffer.from('k'), value: Buffer.from('v') } }),
});

describe("an entry of a leader cluster's log", () => {
  test('has its time, or that of the last one before it which has one', () => {
    const log = logOf([put(100), {}, {}, put(200), {}], 10);
    expect([10, 11, 12, 13, 14].map((index) => timeAt(log, index))).toEqual([100, 100, 100, 200, 200]);
    expect(timeAt(logOf([{}, put(7)], 5), 5)).toBeUndefined();
  });

  test('is found by its TSO, and by no other of its low bits or time', () => {
    const log = logOf([put(100), {}, put(100), put(200)], 3 * WRAP - 1);
    for (const [index, timeMs] of [
      [3 * WRAP - 1, 100],
      [3 * WRAP, 100],
      [3 * WRAP + 1, 100],
      [3 * WRAP + 2, 200],
    ] as const) {
      expect(findEntry(log, tsoOf({ index, timeMs }))?.position).toEqual({ index, timeMs });
      expect(findEntry(log, tsoOf({ index, timeMs: timeMs + 1 }))).toBeUndefined();
      // Another index of the same low bits is the same TSO.
      expect(findEntry(log, tsoOf({ index: index - WRAP, timeMs }))?.position.index).toBe(index);
    }
    expect(findEntry(log, tsoOf({ index: 3 * WRAP + 3, timeMs: 200 }))).toBeUndefined();
    expect(findEntry(log, -1n)).toBeUndefined();
  });
});

describe("a follower cluster's log", () => {
  test('says where the table is, by the last entry that has a time and an effect', () => {
    expect(replicaPositionOf(logOf([brought([1, 50], [2, 60])], 1, 2))).toEqual({ index: 2, timeMs: 60 });
    // The leader cluster's own entries of elections have no time.
    const untimed = [brought([1, 50]), brought([2, 60], [3, 0]), {}, brought([4, 0]), {}];
    expect(replicaPositionOf(logOf(untimed, 1, 4))).toEqual({ index: 4, timeMs: 60 });
    // R1: the entry that came too late for its cursor had no effect.
    const stale = [brought([1, 50]), brought([3, 70]), brought([2, 60])];
    expect(replicaPositionOf(logOf(stale, 1, 2))).toEqual({ index: 2, timeMs: 60 });
    expect(replicaPositionOf(logOf([], 1, 0))).toEqual({ index: 0, timeMs: 0 });
  });

  test('does not know it after a snapshot, nor of a leader cluster that tells no times', () => {
    const loaded = [brought([1, 50]), { kind: CommandKind.Loaded }];
    expect(replicaPositionOf(logOf(loaded, 1, 9))).toEqual({ index: 9, timeMs: undefined });
    expect(replicaPositionOf(logOf([brought([1, 0], [2, 0])], 1, 2))).toEqual({
      index: 2,
      timeMs: undefined,
    });
  });

  test('gives each command that it holds by its TSO', async () => {
    const log = logOf([brought([1, 50], [2, 50]), {}, brought([3, 60], [4, 0])], 1, 4);
    const found = (index: number, timeMs: number) =>
      findReplicated(log, tsoOf({ index, timeMs }), () => Promise.resolve());
    expect(await found(2, 50)).toMatchObject({ position: { index: 2 }, before: { index: 1, timeMs: 50 } });
    expect(await found(4, 60)).toMatchObject({ position: { index: 4, timeMs: 60 } });
    expect(await found(5, 60)).toBeUndefined();
    expect(await found(2, 60)).toBeUndefined();
  });
});

describe('an entry as text', () => {
  const describeCommand = (bytes: Buffer, hasValues = false): string =>
    describeEntry(
      {
        position: { index: 2, timeMs: 1 },
        before: { index: 1, timeMs: 1 },
        term: 3,
        kind: CommandKind.Command,
        command: bytes,
      },
      { table: 't', hasValues },
    );

  test('begins with the line of the real server', () => {
    const key = Buffer.from([0x74, 0x80, 0, 0x22, 0x5c, 0x0a]);
    const text = describeCommand(command({ kv: { key, value: Buffer.from('v') } }));
    expect(text.split('\n')[0]).toBe(
      'tp:Commit start_ts:262145 commit_ts:262146 prewrite_key:"t\\200\\000\\"\\\\\\n" ',
    );
    expect(text).toContain('time: 1970-01-01T00:00:00.001Z\nput "t\\200\\000\\"\\\\\\n" (1 bytes)\n');
  });

  test('is printable and bounded, whatever keys and values hold', () => {
    const bytes = fc.uint8Array({ maxLength: 40 }).map((array) => Buffer.from(array));
    fc.assert(
      fc.property(fc.array(fc.record({ key: bytes, value: bytes }), { maxLength: 5 }), (batch) => {
        const { PUT_BATCH } = mvcc.Command_CommandType;
        expect(describeCommand(command({ type: PUT_BATCH, batch }), true)).toMatch(/^[\x20-\x7e\n]*$/);
      }),
    );
    const large = { key: Buffer.from('k'), value: Buffer.alloc(2 * 1024 * 1024) };
    expect(describeCommand(command({ kv: large }), true).length).toBeLessThan(1024 * 1024 + 100);
  });
});
