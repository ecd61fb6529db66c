import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { majority, majorityIndex, voteResult } from '../src/quorum.js';

/** Voters with an index each. */
const indexes = fc.uniqueArray(fc.record({ id: fc.integer({ min: 1, max: 50 }), index: fc.nat(20) }), {
  selector: ({ id }) => id,
  minLength: 1,
  maxLength: 9,
});

/** Voters with an answer each, or none yet, and answers of nodes that are no voters. */
const ballots = fc.record({
  voters: fc.uniqueArray(fc.integer({ min: 1, max: 9 }), { minLength: 1 }),
  answers: fc.uniqueArray(fc.record({ id: fc.integer({ min: 1, max: 15 }), isGranted: fc.boolean() }), {
    selector: ({ id }) => id,
  }),
});

describe('quorum arithmetic', () => {
  test('two majorities always share a voter', () => {
    for (let voters = 1; voters <= 20; voters++) {
      expect(2 * majority(voters)).toBeGreaterThan(voters);
      expect(2 * (majority(voters) - 1)).toBeLessThanOrEqual(voters);
    }
  });

  test('the majority index is the highest one that more than half of the voters have reached (§5.3)', () => {
    fc.assert(
      fc.property(indexes, (voters) => {
        const reached = (index: number): number => voters.filter((voter) => voter.index >= index).length;
        let highest = 0;
        for (let index = 0; index <= 20; index++) if (reached(index) * 2 > voters.length) highest = index;
        const byId = new Map(voters.map(({ id, index }) => [id, index]));
        expect(majorityIndex([...byId.keys()], (id) => byId.get(id)!)).toBe(highest);
      }),
    );
  });

  test('an election is won, lost or open exactly as every way to fill in the missing votes says (§5.2)', () => {
    fc.assert(
      fc.property(ballots, ({ voters, answers }) => {
        const votes = new Map(answers.map(({ id, isGranted }) => [id, isGranted]));
        const isWonWhenMissingAre = (missing: boolean): boolean =>
          voters.filter((id) => votes.get(id) ?? missing).length * 2 > voters.length;
        const expected = isWonWhenMissingAre(false) ? 'won' : isWonWhenMissingAre(true) ? 'pending' : 'lost';
        expect(voteResult(voters, votes)).toBe(expected);
      }),
    );
  });
});
