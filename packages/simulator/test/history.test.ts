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
});
