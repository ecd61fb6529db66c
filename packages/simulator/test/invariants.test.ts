import { describe, expect, test } from '@jest/globals';
import { type GroupInspection, Invariants } from '../src/index.js';

const life = {};

/** A replica as a test wants it; `log` holds the terms of the entries from index 1 on. */
function replica(given: Partial<GroupInspection> & { log?: number[] }): GroupInspection[] {
  const log = given.log ?? [1];
  const entry = (index: number) =>
    log[index - 1] === undefined
      ? undefined
      : { index, term: log[index - 1]!, type: 1, data: Buffer.from(`${index}/${log[index - 1]}`) };
  return [
    {
      group: 10_001,
      life,
      isBetweenTurns: false,
      term: log.at(-1) ?? 0,
      role: 'follower',
      voters: [1, 2, 3],
      isVoter: true,
      firstIndex: 1,
      lastIndex: log.length,
      durableIndex: log.length,
      commitIndex: 0,
      appliedIndex: 0,
      entry,
      termAt: (index) => (index === 0 ? 0 : log[index - 1]),
      contentHash: 'hash',
      ...given,
    },
  ];
}

describe('each invariant', () => {
  test('election safety: two leaders of one term', () => {
    const invariants = new Invariants();
    invariants.observe(1, replica({ role: 'leader', term: 2 }));
    invariants.observe(2, replica({ role: 'leader', term: 3 }));
    expect(() => invariants.observe(3, replica({ role: 'leader', term: 3 }))).toThrow('election safety');
  });

  test('log matching: one index and term, two entries', () => {
    const invariants = new Invariants();
    invariants.observe(1, replica({ log: [1, 1] }));
    const other = replica({ log: [1, 1] });
    const forged = {
      ...other[0]!,
      entry: () => ({ index: 2, term: 1, type: 1, data: Buffer.from('other') }),
    };
    expect(() => invariants.observe(2, [forged])).toThrow('log matching');
  });

  test('log matching: equal entries after different ones', () => {
    const invariants = new Invariants();
    invariants.observe(1, replica({ log: [1, 2, 3] }));
    expect(() => invariants.observe(2, replica({ log: [1, 1, 3] }))).toThrow('log matching');
  });

  test('leader completeness: a leader without a committed entry', () => {
    const invariants = new Invariants();
    invariants.observe(1, replica({ log: [1, 1] }));
    invariants.observe(2, replica({ log: [1, 1], commitIndex: 2 }));
    expect(() => invariants.observe(3, replica({ log: [1], role: 'leader', term: 2 }))).toThrow(
      'leader completeness',
    );
  });

  test('state machine safety: two entries committed at one index', () => {
    const invariants = new Invariants();
    invariants.observe(1, replica({ log: [1, 1] }));
    invariants.observe(2, replica({ log: [1, 1], commitIndex: 2 }));
    invariants.observe(3, replica({ log: [1, 2] }));
    expect(() => invariants.observe(3, replica({ log: [1, 2], commitIndex: 2 }))).toThrow(
      'state machine safety',
    );
  });

  test('committed on a quorum: acknowledged before it was durable', () => {
    const invariants = new Invariants();
    invariants.observe(1, replica({ log: [1, 1], durableIndex: 1 }));
    expect(() => invariants.observe(2, replica({ log: [1, 1], commitIndex: 2 }))).toThrow(
      'committed on a quorum',
    );
  });

  test('committed on a quorum: not of a group that the others have dropped by then (T2)', () => {
    const invariants = new Invariants();
    const open = { log: [1, 1], durableIndex: 1 };
    for (const node of [2, 3]) invariants.observe(node, replica(open));
    invariants.observe(2, []);
    invariants.observe(1, replica({ log: [1, 1], commitIndex: 2 }));
    expect(() => new Invariants().observe(1, replica({ log: [1, 1], commitIndex: 2 }))).toThrow(
      'committed on a quorum',
    );
  });

  test('committed on a quorum: also by what became durable while no turn comes (D6)', () => {
    const invariants = new Invariants();
    invariants.observe(2, replica({ log: [1, 1], durableIndex: 1 }));
    invariants.observe(2, replica({ log: [1, 1], isBetweenTurns: true }));
    invariants.observe(1, replica({ log: [1, 1], commitIndex: 2 }));
  });

  test('committed on a quorum: a crash takes a committed entry away', () => {
    const invariants = new Invariants();
    invariants.observe(1, replica({ log: [1, 1] }));
    invariants.observe(2, replica({ log: [1, 1], commitIndex: 2 }));
    invariants.nodeDied(1);
    expect(() => invariants.observe(1, replica({ log: [1] }))).toThrow('committed on a quorum');
  });

  test('committed on a quorum: what an emptied disk held counts until its member votes again, and not from then on (T4)', () => {
    const invariants = new Invariants();
    const log = [1, 1];
    invariants.observe(1, replica({ log }));
    invariants.observe(3, replica({ log: [1] }));
    invariants.nodeDied(1);
    invariants.diskLost(1);
    invariants.observe(2, replica({ log, commitIndex: 2 }));
    invariants.observe(1, replica({ log: [], isVoter: false, life: {} }));
    expect(() => invariants.observe(1, replica({ log: [], life: {} }))).toThrow('committed on a quorum');
  });

  test('one vote in a term: also over the loss of a disk (T4)', () => {
    const invariants = new Invariants();
    invariants.voted(1, 1001, 4n, 2);
    invariants.voted(1, 1001, 4n, 2);
    invariants.voted(1, 1001, 5n, 3);
    invariants.diskLost(1);
    expect(() => invariants.voted(1, 1001, 4n, 3)).toThrow('one vote in a term');
  });

  test('§5.4.2: a leader commits an entry of an earlier term because a quorum has it', () => {
    const invariants = new Invariants();
    const log = [1, 1, 2];
    invariants.observe(2, replica({ log }));
    invariants.observe(1, replica({ log, role: 'leader', commitIndex: 1 }));
    expect(() => invariants.observe(1, replica({ log, role: 'leader', commitIndex: 2 }))).toThrow('§5.4.2');
    expect(() => invariants.observe(1, replica({ log, role: 'leader', commitIndex: 3 }))).not.toThrow();
  });

  test('D2: applied before it is durable here', () => {
    const invariants = new Invariants();
    const given = { log: [1, 1], durableIndex: 1, commitIndex: 2, appliedIndex: 2 };
    expect(() => invariants.observe(1, replica(given))).toThrow('D2');
  });

  test('applied <= committed <= last', () => {
    expect(() => new Invariants().observe(1, replica({ appliedIndex: 1 }))).toThrow('applied <= committed');
  });

  test.each(['term', 'commitIndex', 'appliedIndex'] as const)('%s never goes back within a life', (field) => {
    const base = { log: [1, 1], term: 5, commitIndex: 2, appliedIndex: 2 };
    const invariants = new Invariants();
    invariants.observe(2, replica({ log: [1, 1] }));
    invariants.observe(1, replica(base));
    expect(() => invariants.observe(1, replica({ ...base, [field]: 1 }))).toThrow('monotonic');
    invariants.nodeDied(1);
    const restarted = { log: [1, 1], term: 1, commitIndex: 0, appliedIndex: 0 };
    expect(() => invariants.observe(1, replica(restarted))).not.toThrow();
  });

  test('equal hashes at equal applied index', () => {
    const invariants = new Invariants();
    invariants.observe(3, replica({ log: [1] }));
    invariants.observe(1, replica({ commitIndex: 1, appliedIndex: 1, contentHash: 'a' }));
    expect(() =>
      invariants.observe(2, replica({ commitIndex: 1, appliedIndex: 1, contentHash: 'b' })),
    ).toThrow('equal hashes');
  });
});

test('an ordinary change of leader breaks nothing', () => {
  const invariants = new Invariants();
  invariants.observe(1, replica({ log: [1, 1, 1], role: 'leader', term: 1 }));
  invariants.observe(2, replica({ log: [1, 1] }));
  invariants.observe(
    1,
    replica({ log: [1, 1, 1], role: 'leader', term: 1, commitIndex: 2, appliedIndex: 2 }),
  );
  invariants.nodeDied(1);
  invariants.observe(2, replica({ log: [1, 1, 2], role: 'leader', term: 2 }));
  invariants.observe(3, replica({ log: [1, 1, 2] }));
  invariants.observe(
    2,
    replica({ log: [1, 1, 2], role: 'leader', term: 2, commitIndex: 3, appliedIndex: 3 }),
  );
  invariants.observe(1, replica({ log: [1, 1, 2], term: 2, commitIndex: 3, appliedIndex: 3 }));
});
