import { expect, test } from '@jest/globals';
import { answersOf, counted } from '../src/api/counted.js';

test('one is told as one', () => {
  expect([0, 1, 2n, 1n].map((number) => counted(number, 'key'))).toEqual([
    '0 keys',
    '1 key',
    '2 keys',
    '1 key',
  ]);
  expect(counted(1, 'entry', 'entries')).toBe('1 entry');
  expect(counted(2, 'entry', 'entries')).toBe('2 entries');
  expect([answersOf(1, 1), answersOf(1, 3)]).toEqual(['1 of 1 member answers', '1 of 3 members answer']);
});
