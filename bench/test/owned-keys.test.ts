import { describe, expect, test } from '@jest/globals';
import { OwnedKeys } from '../src/clusters/owned-keys.js';
import { Violations } from '../src/clusters/violations.js';

function pair(value: string, createRevision: number, revision: number, version: number) {
  return { value, createRevision, revision, version };
}

function violationsOf(keys: OwnedKeys, stored: Record<string, ReturnType<typeof pair>>): number {
  const violations = new Violations();
  keys.check(new Map(Object.entries(stored)), violations);
  return violations.count;
}

describe('keys of one writer', () => {
  const written = new OwnedKeys();
  written.acknowledged(new Map([['a', 'x']]), 5);
  written.acknowledged(new Map([['b', 'x']]), 6);
  written.acknowledged(new Map([['a', 'y']]), 7);
  written.acknowledged(new Map([['b', undefined]]), 8);

  test('are as they were acknowledged', () => {
    expect(violationsOf(written, { a: pair('y', 5, 7, 2) })).toBe(0);
  });

  test.each([
    ['a write is lost', { a: pair('x', 5, 5, 1) }],
    ['a write was done twice', { a: pair('y', 5, 7, 3) }],
    ['a write has another mod revision', { a: pair('y', 5, 9, 2) }],
    ['a key has another create revision', { a: pair('y', 7, 7, 2) }],
    ['a key is gone', {}],
    ['a deleted key is there', { a: pair('y', 5, 7, 2), b: pair('x', 6, 6, 1) }],
    ['a key is there that nobody wrote', { a: pair('y', 5, 7, 2), c: pair('x', 6, 6, 1) }],
  ])('are found wrong when %s', (_, stored) => {
    expect(violationsOf(written, stored as Record<string, ReturnType<typeof pair>>)).toBe(1);
  });

  test('may be as before or after a write of unknown outcome, and nothing between', () => {
    const keys = new OwnedKeys();
    keys.acknowledged(new Map([['a', 'x']]), 5);
    keys.unknown(
      new Map([
        ['a', undefined],
        ['b', 'y'],
      ]),
    );
    expect(violationsOf(keys, { a: pair('x', 5, 5, 1) })).toBe(0);
    expect(violationsOf(keys, { b: pair('y', 9, 9, 1) })).toBe(0);
    expect(violationsOf(keys, {})).toBe(1);
    expect(violationsOf(keys, { a: pair('x', 5, 5, 1), b: pair('y', 9, 9, 1) })).toBe(1);
    expect(violationsOf(keys, { b: pair('z', 9, 9, 1) })).toBe(1);
  });
});
