import type { LogEntry } from '@coxswain/node';
import { CommandKind } from '@coxswain/table';
import { describe, expect, test } from '@jest/globals';
import { History, type KeyState } from '../src/index.js';

const write = (key: string, value: string | undefined) =>
  [{ key, effect: { kind: 'write', value } }] as const;
const state = (key: string, value: string, modRevision: number): KeyState => ({
  key,
  record: { value, createRevision: modRevision, modRevision, version: 1 },
});

describe('what clients saw', () => {
  test('a read that shows every acknowledged write is fine', () => {
    const history = new History();
    history.wrote(history.begin(1), 't', 1, 5, write('a', 'x'));
    history.read(history.begin(1), 't', 1, 6, [state('a', 'x', 5)]);
    expect(() => history.check()).not.toThrow();
  });

  test('P2: an operation that began after a newer revision was known is stale', () => {
    const history = new History();
    history.wrote(history.begin(1), 't', 1, 5, write('a', 'x'));
    expect(() => history.read(history.begin(1), 't', 1, 4, [])).toThrow('no stale answer');
  });

  test('an operation that began before may see less', () => {
    const history = new History();
    const early = history.begin(1);
    history.wrote(history.begin(1), 't', 1, 5, write('a', 'x'));
    expect(() => history.read(early, 't', 1, 4, [{ key: 'a', record: undefined }])).not.toThrow();
    expect(() => history.check()).not.toThrow();
  });

  test('two acknowledged writes do not share a revision', () => {
    const history = new History();
    history.wrote(history.begin(1), 't', 1, 5, write('a', 'x'));
    expect(() => history.wrote(history.begin(1), 't', 1, 5, write('b', 'y'))).toThrow(
      'one write per revision',
    );
  });

  test('an acknowledged write is missing', () => {
    const history = new History();
    history.wrote(history.begin(1), 't', 1, 5, write('a', 'x'));
    history.readSerializable(history.begin(1), 't', 1, 6, [{ key: 'a', record: undefined }]);
    expect(() => history.check()).toThrow('reads show every write');
  });

  test('a serializable read of one process goes back', () => {
    const history = new History();
    history.readSerializable(history.begin(1), 't', 1, 6, []);
    expect(() => history.readSerializable(history.begin(2), 't', 1, 5, [])).not.toThrow();
    expect(() => history.readSerializable(history.begin(1), 't', 1, 5, [])).toThrow(
      'serializable reads are prefixes',
    );
  });

  test('P1: a refused write shows up', () => {
    const history = new History();
    history.read(history.begin(1), 't', 1, 6, [state('a', 'refused', 6)]);
    expect(() => history.check()).toThrow('nobody wrote it');
  });

  test('a write of unknown outcome may show up, or not', () => {
    const history = new History();
    history.unknown(history.begin(1), 't', write('a', 'x'));
    history.read(history.begin(1), 't', 1, 6, [{ key: 'a', record: undefined }]);
    history.read(history.begin(1), 't', 1, 7, [state('a', 'x', 7)]);
    expect(() => history.check()).not.toThrow();
  });

  test('P1: a write of unknown outcome happens twice', () => {
    const history = new History();
    history.unknown(history.begin(1), 't', write('a', 'x'));
    history.read(history.begin(1), 't', 1, 6, [state('a', 'x', 6)]);
    history.wrote(history.begin(1), 't', 1, 7, write('a', 'y'));
    history.read(history.begin(1), 't', 1, 8, [state('a', 'x', 8)]);
    expect(() => history.check()).toThrow('linearizability');
  });

  const base = {
    revision: 100,
    values: new Map([
      ['a', 'x'],
      ['b', undefined],
    ]),
  };
  const seen = (revision: number, ...states: KeyState[]) => {
    const history = new History();
    history.beginsWith('t', 2, base);
    history.read(history.begin(1), 't', 2, revision, states);
    return () => history.check();
  };

  test('T2: a shard that was restored shows all of it, and nothing else', () => {
    expect(seen(101, state('a', 'x', 90), { key: 'b', record: undefined })).not.toThrow();
    expect(seen(99, state('a', 'x', 90))).toThrow('nothing of a restore is seen before all of it');
    expect(seen(101, { key: 'a', record: undefined })).toThrow('reads show every write');
    expect(seen(101, state('b', 'old', 90))).toThrow('reads show what was written');
    expect(seen(101, state('a', 'old', 90))).toThrow('reads show what was written');
    expect(seen(101, state('a', 'old', 101))).toThrow('nobody wrote it');
  });

  test('what a restored shard is told later is in order with what it began with', () => {
    const history = new History();
    history.beginsWith('t', 2, base);
    history.wrote(history.begin(1), 't', 2, 101, write('a', 'y'));
    history.read(history.begin(1), 't', 2, 102, [state('a', 'y', 101)]);
    expect(() => history.check()).not.toThrow();
    const back = new History();
    back.beginsWith('t', 2, base);
    back.wrote(back.begin(1), 't', 2, 101, write('a', 'y'));
    back.read(back.begin(1), 't', 2, 102, [state('a', 'x', 90)]);
    expect(() => back.check()).toThrow('reads show every write');
  });

  test('T1: a later shard of a name answers at the revisions of an earlier one', () => {
    const history = new History();
    history.wrote(history.begin(1), 't', 1, 7, write('a', 'x'));
    history.wrote(history.begin(1), 't', 2, 7, write('a', 'x'));
    expect(() => history.check()).toThrow('revisions of a name never restart');
  });

  const entry = (index: number, term: number, timeMs: number, command = 'x'): LogEntry => {
    return { index, term, timeMs, kind: CommandKind.Command, command: Buffer.from(command) };
  };

  test('R6: two leaders archive different entries', () => {
    const history = new History();
    history.archived('t', 1, entry(5, 2, 10));
    expect(() => history.archived('t', 1, entry(5, 2, 10))).not.toThrow();
    for (const other of [entry(5, 3, 10), entry(5, 2, 11), entry(5, 2, 10, 'y')]) {
      expect(() => history.archived('t', 1, other)).toThrow('an entry that is archived twice is the same');
    }
  });

  test.each([
    ['time', entry(6, 2, 9)],
    ['term', entry(6, 1, 10)],
  ])('A7: the %s of an archived log goes back', (_what, later) => {
    const history = new History();
    history.archived('t', 1, later);
    history.archived('t', 1, entry(4, 2, 10));
    // One without a command has none.
    history.archived('t', 1, entry(5, 2, 0));
    expect(() => history.check()).toThrow('an archived log goes forward');
  });
});
