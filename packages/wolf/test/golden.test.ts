import { strict as assert } from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { expect, test } from '@jest/globals';
import { readAppendEntries } from '../src/index.js';
import { type Text, texts } from './texts.js';
import { differenceOf, verdictOf } from './verdict.js';

/**
 * golden/real.json was written by `npm run check:wolf -- --write`, which builds golden/real-parser with the crates
 * async-raft 0.6.1, memstore 0.2.0 and serde_json 1.0.140 and notes, for each text, what they print of it, or null where
 * they refuse it. The same command compares many more texts, wherever cargo is.
 */
interface Golden {
  readonly cases: readonly (readonly [...Text, printed: string | null])[];
}

const golden = JSON.parse(
  readFileSync(new URL('../../test/golden/real.json', import.meta.url), 'utf8'),
) as Golden;

test('what the real crates take is taken, read alike and printed alike, and what they refuse is refused', () => {
  const differences = golden.cases.flatMap(([kind, text, printed]) => {
    const difference = differenceOf([kind, text], printed);
    return difference === undefined ? [] : [`${kind} ${text}: ${difference}`];
  });
  assert.deepEqual(differences, []);
});

test('every text that was written by hand is among them, taken ones and refused ones of each kind', () => {
  const known = new Set(golden.cases.map(([kind, text]) => `${kind} ${text}`));
  assert.deepEqual(
    texts.filter(([kind, text]) => !known.has(`${kind} ${text}`)),
    [],
  );
  for (const kind of ['append', 'snapshot', 'state']) {
    const ofKind = golden.cases.filter(([itsKind]) => itsKind === kind);
    expect(ofKind.some(([, , printed]) => printed === null)).toBe(true);
    expect(ofKind.some(([, , printed]) => printed !== null)).toBe(true);
  }
});

test('integers are exact up to 2^53-1, and above that refused, never rounded', () => {
  const withTerm = (term: string) =>
    `{"term":${term},"leader_id":0,"prev_log_index":0,"prev_log_term":0,"entries":[],"leader_commit":0}`;
  assert.equal(readAppendEntries(withTerm('9007199254740991')).term, 2 ** 53 - 1);
  for (const digits of ['9007199254740992', '9007199254740993', '18446744073709551615']) {
    const verdict = verdictOf(['append', withTerm(digits)]);
    assert('refused' in verdict);
    expect(verdict.refused).toContain('above 2^53-1');
  }
  const verdict = verdictOf(['append', withTerm('18446744073709551616')]);
  assert('refused' in verdict);
  expect(verdict.refused).toContain('above 2^64-1');
});
