import { expect, test } from '@jest/globals';
import { BulkKeys } from '../src/clusters/bulk-keys.js';
import { Violations } from '../src/clusters/violations.js';
import { encodeKey } from '../src/load/key-space.js';

const KEY_COUNT = 450;

test.each([
  ['erased ones are gone and the others are there', (index: number) => index >= 100, 0],
  ['an erased one is there', (index: number) => index >= 99, 1],
  ['all of what may be erased is gone too', (index: number) => index >= 200, 0],
  ['half of what may be erased is gone', (index: number) => index >= 150, 1],
  ['one is lost', (index: number) => index >= 100 && index !== 300, 1],
  ['one of the last is lost', (index: number) => index >= 100 && index !== 449, 1],
])('bulk keys: %s', (_, isStored, expected) => {
  const keys = new BulkKeys(KEY_COUNT);
  keys.mark(keys.takeWindow()!, 'erased');
  keys.mark(keys.takeWindow()!, 'unknown');
  for (let index = 0; index < KEY_COUNT; index++) if (isStored(index)) keys.saw(encodeKey(index).toString());
  const violations = new Violations();
  keys.check(violations);
  expect(violations.count).toBe(expected);
});
