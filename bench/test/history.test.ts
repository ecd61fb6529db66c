import { describe, expect, test } from '@jest/globals';
import { History } from '../src/faults/history.js';

function pair(value: string, revision: number, version: number) {
  return { value, revision, version };
}

/** A history with one acknowledged write of `a` at revision 10. */
function historyOfOneWrite(): History {
  const history = new History();
  history.writeAcknowledged(history.startWrite('a'), 'one', 10);
  return history;
}

describe('a history accepts', () => {
  test('reads of what was acknowledged', () => {
    const history = historyOfOneWrite();
    history.readAnswered(history.startRead('a'), pair('one', 10, 1));
    expect(history.violations).toEqual([]);
  });

  test('a write of unknown outcome, done or not', () => {
    const history = historyOfOneWrite();
    history.startWrite('a');
    history.readAnswered(history.startRead('a'), pair('one', 10, 1));
    history.readAnswered(history.startRead('a'), pair('two', 12, 2));
    expect(history.violations).toEqual([]);
  });

  test('a read that began before a write was acknowledged and did not see it', () => {
    const history = historyOfOneWrite();
    const read = history.startRead('a');
    history.writeAcknowledged(history.startWrite('a'), 'two', 12);
    history.readAnswered(read, pair('one', 10, 1));
    expect(history.violations).toEqual([]);
  });
});

describe('a history refuses', () => {
  test('a stale linearizable read', () => {
    const history = historyOfOneWrite();
    history.readAnswered(history.startRead('a'), undefined);
    expect(history.violations).toHaveLength(2);
  });

  test('reads that go back', () => {
    const history = historyOfOneWrite();
    history.startWrite('a');
    history.readAnswered(history.startRead('a'), pair('two', 12, 2));
    history.readAnswered(history.startRead('a'), pair('one', 10, 1));
    expect(history.violations).toHaveLength(1);
  });

  test('an acknowledged write that is lost under a later one', () => {
    const history = historyOfOneWrite();
    history.writeAcknowledged(history.startWrite('a'), 'two', 12);
    history.readAnswered(history.startRead('a'), pair('two', 12, 1));
    expect(history.violations).toHaveLength(1);
  });

  test('a write that was done twice', () => {
    const history = historyOfOneWrite();
    history.readAnswered(history.startRead('a'), pair('one', 11, 2));
    expect(history.violations).toHaveLength(1);
  });

  test('a refused write that was done', () => {
    const history = historyOfOneWrite();
    history.writeRefused(history.startWrite('a'));
    history.readAnswered(history.startRead('a'), pair('two', 12, 2));
    expect(history.violations).toHaveLength(1);
  });

  test('a write ordered before one that it followed', () => {
    const history = historyOfOneWrite();
    history.writeAcknowledged(history.startWrite('a'), 'two', 9);
    expect(history.violations).toHaveLength(1);
  });

  test('one revision with two values', () => {
    const history = historyOfOneWrite();
    history.serializableReadAnswered('a', pair('other', 10, 1));
    expect(history.violations).toHaveLength(1);
  });
});
