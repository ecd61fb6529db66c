import { describe, expect, test } from '@jest/globals';
import type { AppendRequest, AppendResponse, Message, NodeId, VoteRequest } from '../src/index.js';
import * as text from './support/describe.js';
import { ELECTION_TICKS, LoneReplica, type Scene } from './support/lone-replica.js';
import { Random } from './support/random.js';

/*
 * The rules of "In Search of an Understandable Consensus Algorithm (Extended Version)", one by one, each with
 * the section that states it. Node 1 is real; the test plays the others.
 */

type AppendFields = Omit<AppendRequest, 'type' | 'to' | 'entries' | 'isToAnswer'> & {
  readonly terms?: readonly number[];
};

function append({ prevIndex, terms = [], ...rest }: AppendFields): AppendRequest {
  const entries = terms.map((term, i) => ({
    index: prevIndex + 1 + i,
    term,
    type: 1,
    data: Buffer.from(`${term}.${prevIndex + 1 + i}`),
  }));
  return { type: 'append', to: 1, prevIndex, entries, isToAnswer: true, ...rest };
}

function voteRequest(from: NodeId, term: number, lastIndex: number, lastTerm: number): VoteRequest {
  return { type: 'vote', from, to: 1, term, lastIndex, lastTerm, isTransfer: false };
}

function matched(from: NodeId, term: number, index: number): AppendResponse {
  return { type: 'appendResponse', from, to: 1, term, index, rejected: false, hintIndex: 0, hintTerm: 0 };
}

function heartbeat(from: NodeId, term: number): Message {
  return { type: 'heartbeat', from, to: 1, term, commit: 0, context: '' };
}

/** Node 1 in each role, in term 1. */
const roles: { readonly role: string; readonly make: (scene?: Scene) => LoneReplica }[] = [
  {
    role: 'follower',
    make: (scene) => {
      const node = new LoneReplica(scene);
      node.receive(heartbeat(2, 1));
      return node;
    },
  },
  {
    role: 'candidate',
    make: (scene) => {
      const node = new LoneReplica(scene);
      node.raft.campaign();
      node.settle();
      return node;
    },
  },
  {
    role: 'leader',
    make: (scene) => {
      const node = new LoneReplica(scene);
      node.win();
      return node;
    },
  },
];

const sorted = (messages: readonly Message[]): string[] => messages.map(text.message).sort();

describe('5.1 Raft basics', () => {
  test.each(roles)('a $role that sees a later term takes it over and follows', ({ role, make }) => {
    const node = make();
    expect([node.raft.role, node.raft.term]).toEqual([role, 1]);
    node.receive(append({ from: 3, term: 2, prevIndex: 0, prevTerm: 0, commit: 0 }));
    expect([node.raft.role, node.raft.term, node.raft.leader]).toEqual(['follower', 2, 3]);
  });

  test.each(roles)('a $role rejects a request with a stale term', ({ make }) => {
    const node = make({ term: 0 });
    node.receive(voteRequest(3, 5, 9, 9));
    const before = [node.raft.role, node.raft.term, node.log];
    const sent = node.receive(
      append({ from: 2, term: 4, prevIndex: 0, prevTerm: 0, terms: [4], commit: 1 }),
      voteRequest(2, 4, 9, 9),
    );
    expect([node.raft.role, node.raft.term, node.log]).toEqual(before);
    expect(sent).toEqual([]);
  });

  test('a candidate or leader whose term is out of date reverts to follower on any answer', () => {
    for (const { make } of roles.slice(1)) {
      const node = make();
      node.receive({ type: 'voteResponse', from: 2, to: 1, term: 3, granted: false });
      expect([node.raft.role, node.raft.term]).toEqual(['follower', 3]);
    }
  });
});

describe('5.2 Leader election', () => {
  test('a server starts as a follower', () => {
    const { raft } = new LoneReplica({ logTerms: [1, 2], term: 4, vote: 1 });
    expect([raft.role, raft.term, raft.leader]).toEqual(['follower', 4, 0]);
  });

  test('a leader sends heartbeats to every follower at every interval', () => {
    const node = roles[2]!.make();
    expect(sorted(node.tick(1))).toEqual([
      '1->2 heartbeat term=1 commit=0',
      '1->3 heartbeat term=1 commit=0',
    ]);
    expect(node.tick(2)).toHaveLength(4);
  });

  test.each(roles.slice(0, 2))(
    'a $role that hears nothing over the election timeout increments its term, votes for itself and asks all others',
    ({ make }) => {
      const node = make();
      const sent = node.tick(ELECTION_TICKS);
      expect([node.raft.role, node.raft.term]).toEqual(['candidate', 2]);
      expect(node.raft.hardState()).toEqual({ term: 2, vote: 1, commit: 0 });
      expect(sorted(sent)).toEqual(['1->2 vote term=2 log=0/0', '1->3 vote term=2 log=0/0']);
    },
  );

  test.each([
    { size: 1, grants: 0, refusals: 0, role: 'leader' },
    { size: 3, grants: 1, refusals: 1, role: 'leader' },
    { size: 3, grants: 0, refusals: 0, role: 'candidate' },
    { size: 3, grants: 0, refusals: 2, role: 'follower' },
    { size: 5, grants: 2, refusals: 2, role: 'leader' },
    { size: 5, grants: 1, refusals: 2, role: 'candidate' },
    { size: 5, grants: 1, refusals: 3, role: 'follower' },
  ])(
    'with $grants grants and $refusals refusals of $size servers a candidate is $role',
    ({ size, grants, refusals, role }) => {
      const voters = Array.from({ length: size }, (_, i) => i + 1);
      const node = new LoneReplica({ voters });
      node.tick(ELECTION_TICKS);
      for (let i = 0; i < grants + refusals; i++) {
        node.receive({ type: 'voteResponse', from: i + 2, to: 1, term: 1, granted: i < grants });
      }
      expect(node.raft.role).toBe(role);
    },
  );

  test('the first answer of a server stands, however often it is repeated or contradicted', () => {
    const node = new LoneReplica({ voters: [1, 2, 3, 4, 5] });
    node.tick(ELECTION_TICKS);
    const grant: Message = { type: 'voteResponse', from: 2, to: 1, term: 1, granted: true };
    node.receive(grant, grant, { ...grant, granted: false });
    expect(node.raft.role).toBe('candidate');
    node.receive({ ...grant, from: 3 });
    expect(node.raft.role).toBe('leader');
  });

  test('a server votes for at most one candidate in a term, first come first served', () => {
    const node = new LoneReplica();
    expect(sorted(node.receive(voteRequest(2, 1, 0, 0)))).toEqual(['1->2 voteResponse term=1 granted']);
    expect(sorted(node.receive(voteRequest(3, 1, 5, 1)))).toEqual(['1->3 voteResponse term=1 refused']);
    // The first one may ask again: its answer may have been lost.
    expect(sorted(node.receive(voteRequest(2, 1, 0, 0)))).toEqual(['1->2 voteResponse term=1 granted']);
  });

  test('a vote is remembered over a restart', () => {
    const node = new LoneReplica({ term: 3, vote: 2 });
    expect(sorted(node.receive(voteRequest(3, 3, 5, 1), voteRequest(2, 3, 5, 1)))).toEqual([
      '1->2 voteResponse term=3 granted',
      '1->3 voteResponse term=3 refused',
    ]);
  });

  test.each([1, 2])('a candidate of term 1 that hears from a leader of term %i follows it', (term) => {
    const node = roles[1]!.make();
    node.receive(append({ from: 2, term, prevIndex: 0, prevTerm: 0, commit: 0 }));
    expect([node.raft.role, node.raft.term, node.raft.leader]).toEqual(['follower', term, 2]);
  });

  test('election timeouts are drawn anew each time and spread over [timeout, 2 * timeout)', () => {
    const random = new Random(1);
    const seen = new Set<number>();
    const node = new LoneReplica({ random: random.next });
    for (let i = 0; i < 400; i++) {
      const { term } = node.raft;
      let ticks = 0;
      while (node.raft.term === term) {
        node.tick(1);
        ticks++;
      }
      seen.add(ticks);
    }
    const expected = Array.from({ length: ELECTION_TICKS }, (_, i) => ELECTION_TICKS + i);
    expect([...seen].sort((a, b) => a - b)).toEqual(expected);
  });

  test('timeouts are rarely the same, so that split votes are rare', () => {
    const random = new Random(2);
    let conflicts = 0;
    for (let round = 0; round < 500; round++) {
      const nodes = Array.from({ length: 5 }, () => new LoneReplica({ random: random.next }));
      let candidates = 0;
      while (candidates === 0) {
        for (const node of nodes) {
          node.tick(1);
          if (node.raft.role === 'candidate') candidates++;
        }
      }
      if (candidates > 1) conflicts++;
    }
    // Five draws out of ten: the smallest is shared in about four of ten rounds.
    expect(conflicts / 500).toBeLessThan(0.5);
  });
});

describe('5.3 Log replication', () => {
  test('a leader appends a proposal to its log and sends it to every follower in parallel, before its own write', () => {
    const node = roles[2]!.make();
    node.receive(matched(2, 1, 1), matched(3, 1, 1));
    expect(node.raft.propose([Buffer.from('x')])).toBe('appended');
    const { messages, append: write } = node.take();
    expect(sorted(messages)).toEqual([
      '1->2 append term=1 prev=1/1 commit=1 [2/1 "x"]',
      '1->3 append term=1 prev=1/1 commit=1 [2/1 "x"]',
    ]);
    expect(text.entries(write!.entries)).toBe('[2/1 "x"]');
    expect(node.raft.commitIndex).toBe(1);
  });

  test('an entry is committed once a majority has it, then applied, and followers are told', () => {
    const node = roles[2]!.make();
    node.receive(matched(2, 1, 1), matched(3, 1, 1));
    node.raft.propose([Buffer.from('x')]);
    node.settle();
    expect(node.raft.commitIndex).toBe(1);
    const sent = node.receive(matched(3, 1, 2));
    expect(node.raft.commitIndex).toBe(2);
    expect(node.applied.at(-1)!.data.toString()).toBe('x');
    // The follower that answered has the entry, the other is told the index as well.
    expect(sorted(sent)).toEqual([
      '1->2 append term=1 prev=2/1 commit=2 []',
      '1->3 append term=1 prev=2/1 commit=2 []',
    ]);
  });

  test.each([
    { size: 3, acknowledging: [], isCommitted: false },
    { size: 3, acknowledging: [2], isCommitted: true },
    { size: 5, acknowledging: [2], isCommitted: false },
    { size: 5, acknowledging: [2, 4], isCommitted: true },
    { size: 5, acknowledging: [2, 3, 4, 5], isCommitted: true },
  ])('of $size servers, $acknowledging and the leader: committed is $isCommitted', (row) => {
    const voters = Array.from({ length: row.size }, (_, i) => i + 1);
    const node = new LoneReplica({ voters });
    node.win(voters.slice(1));
    node.receive(...row.acknowledging.map((from) => matched(from, 1, 1)));
    expect(node.raft.commitIndex).toBe(row.isCommitted ? 1 : 0);
  });

  test('D1: a leader counts itself only when its own entry is durable', () => {
    const node = new LoneReplica({ voters: [1, 2, 3] });
    node.raft.campaign();
    node.settle();
    node.raft.step({ type: 'voteResponse', from: 2, to: 1, term: 1, granted: true });
    const { append: write } = node.take();
    node.raft.step(matched(2, 1, 1));
    expect(node.raft.commitIndex).toBe(0);
    node.raft.appended(write!);
    expect(node.raft.commitIndex).toBe(1);
  });

  test('D1: a candidate counts itself only when its own vote is durable', () => {
    const node = new LoneReplica({ voters: [1] });
    node.raft.campaign();
    const { append: write } = node.take();
    expect(node.raft.role).toBe('candidate');
    node.raft.appended(write!);
    expect(node.raft.role).toBe('leader');
  });

  test('D1: votes and acknowledgements wait for the write that they speak of', () => {
    const node = new LoneReplica();
    node.raft.step(voteRequest(2, 1, 0, 0));
    node.raft.step(append({ from: 2, term: 1, prevIndex: 0, prevTerm: 0, terms: [1], commit: 0 }));
    const { messages, append: write } = node.take();
    expect(messages).toEqual([]);
    expect(write!.hardState).toMatchObject({ term: 1, vote: 2 });
    expect(sorted(write!.responses)).toEqual([
      '1->2 appendResponse term=1 match=1',
      '1->2 voteResponse term=1 granted',
    ]);
  });

  test('D1: an acknowledgement with nothing to write waits for the writes in flight', () => {
    const node = new LoneReplica();
    const request = append({ from: 2, term: 1, prevIndex: 0, prevTerm: 0, terms: [1], commit: 0 });
    node.raft.step(request);
    const first = node.take();
    node.raft.step(request);
    const second = node.take();
    expect(second.messages).toEqual([]);
    expect(sorted(second.append!.responses)).toEqual(['1->2 appendResponse term=1 match=1']);
    node.raft.appended(first.append!);
    node.raft.appended(second.append!);
    node.raft.step(request);
    expect(sorted(node.take().messages)).toEqual(['1->2 appendResponse term=1 match=1']);
  });

  test('D2: a follower applies what is committed only when it is durable here', () => {
    const node = new LoneReplica();
    node.raft.step(append({ from: 2, term: 1, prevIndex: 0, prevTerm: 0, terms: [1, 1], commit: 2 }));
    const first = node.take();
    expect(node.raft.commitIndex).toBe(2);
    expect(first.committed).toEqual([]);
    expect(node.take().committed).toEqual([]);
    node.raft.appended(first.append!);
    expect(text.entries(node.take().committed)).toBe('[1/1 "1.1", 2/1 "1.2"]');
  });

  test('committing an entry commits all before it, also those of earlier leaders', () => {
    for (const logTerms of [[], [2], [1, 2], [1]]) {
      const node = new LoneReplica({ logTerms, term: 2 });
      node.win();
      node.raft.propose([Buffer.from('x')]);
      node.settle();
      const last = logTerms.length + 2;
      node.receive(matched(2, 3, last));
      expect(node.applied.map(({ term }) => term)).toEqual([...logTerms, 3, 3]);
    }
  });

  test('a follower applies entries in log order, once it learns that they are committed', () => {
    const node = new LoneReplica();
    node.receive(append({ from: 2, term: 1, prevIndex: 0, prevTerm: 0, terms: [1, 1, 1], commit: 1 }));
    expect(text.entries(node.applied)).toBe('[1/1 "1.1"]');
    // The commit index of a message counts for what it vouches for, not for more (§5.3, figure 2).
    node.receive(append({ from: 2, term: 1, prevIndex: 1, prevTerm: 1, terms: [1], commit: 3 }));
    expect(text.entries(node.applied)).toBe('[1/1 "1.1", 2/1 "1.2"]');
  });

  test.each([
    { prev: '0/0', prevIndex: 0, prevTerm: 0, answer: '1->2 appendResponse term=2 match=0' },
    { prev: '1/1', prevIndex: 1, prevTerm: 1, answer: '1->2 appendResponse term=2 match=1' },
    { prev: '2/2', prevIndex: 2, prevTerm: 2, answer: '1->2 appendResponse term=2 match=2' },
    { prev: '1/2', prevIndex: 1, prevTerm: 2, answer: '1->2 appendResponse term=2 rejected=1 hint=1/1' },
    { prev: '2/1', prevIndex: 2, prevTerm: 1, answer: '1->2 appendResponse term=2 rejected=2 hint=1/1' },
    { prev: '3/2', prevIndex: 3, prevTerm: 2, answer: '1->2 appendResponse term=2 rejected=3 hint=2/2' },
  ])('an append after $prev to a log of 1/1 2/2: $answer', ({ prevIndex, prevTerm, answer }) => {
    const node = new LoneReplica({ logTerms: [1, 2] });
    const sent = node.receive(append({ from: 2, term: 2, prevIndex, prevTerm, commit: 0 }));
    expect(sorted(sent)).toEqual([answer]);
  });

  test.each([
    { prevIndex: 2, prevTerm: 2, terms: [3], log: ['1/1', '2/2', '3/3'], written: '[3/3 "3.3"]' },
    {
      prevIndex: 1,
      prevTerm: 1,
      terms: [3, 4],
      log: ['1/1', '2/3', '3/4'],
      written: '[2/3 "3.2", 3/4 "4.3"]',
    },
    { prevIndex: 0, prevTerm: 0, terms: [1], log: ['1/1', '2/2'], written: 'nothing' },
    { prevIndex: 0, prevTerm: 0, terms: [3], log: ['1/3'], written: '[1/3 "3.1"]' },
    { prevIndex: 0, prevTerm: 0, terms: [1, 2, 3], log: ['1/1', '2/2', '3/3'], written: '[3/3 "3.3"]' },
  ])(
    'an append of $terms after $prevIndex makes 1/1 2/2 to $log: conflicts go, equals stay',
    ({ prevIndex, prevTerm, terms, log, written }) => {
      const node = new LoneReplica({ logTerms: [1, 2], term: 4 });
      node.raft.step(append({ from: 2, term: 4, prevIndex, prevTerm, terms, commit: 0 }));
      const { append: write } = node.take();
      expect(write === undefined ? 'nothing' : text.entries(write.entries)).toBe(written);
      expect(node.log).toEqual(log);
    },
  );

  test('what is committed is never replaced: a leader that tries is a broken invariant', () => {
    const node = new LoneReplica({ logTerms: [1, 1], term: 1, commit: 1 });
    const wrong = append({ from: 2, term: 2, prevIndex: 1, prevTerm: 1, terms: [2], commit: 2 });
    node.receive(wrong);
    expect(node.log).toEqual(['1/1', '2/2']);
    const worse = append({ from: 3, term: 3, prevIndex: 2, prevTerm: 2, terms: [], commit: 9 });
    node.receive(worse);
    expect(node.raft.commitIndex).toBe(2);
    expect(() =>
      node.receive({ type: 'heartbeat', from: 3, to: 1, term: 3, commit: 9, context: '' }),
    ).toThrow('commit 9 is past the last index 2');
  });

  test('a leader never overwrites or deletes entries of its own log: another leader in its term is a broken invariant', () => {
    const node = roles[2]!.make();
    expect(() =>
      node.receive(append({ from: 2, term: 1, prevIndex: 0, prevTerm: 0, terms: [1], commit: 0 })),
    ).toThrow('two leaders in term 1');
  });

  test.each<[string, (from: NodeId) => Message]>([
    ['append', (from) => append({ from, term: 1, prevIndex: 0, prevTerm: 0, terms: [1], commit: 0 })],
    ['heartbeat', (from) => heartbeat(from, 1)],
    [
      'installSnapshot',
      (from) => ({
        type: 'installSnapshot',
        from,
        to: 1,
        term: 1,
        snapshot: { index: 9, term: 1, membership: { voters: [1, 2, 3], learners: [] } },
      }),
    ],
    ['timeoutNow', (from) => ({ type: 'timeoutNow', from, to: 1, term: 1 })],
  ])(
    'a follower that hears a second leader of its term (%s) does not go on, also when the first one is silent',
    (_, message) => {
      // It entered the term by a vote, before it heard who leads in it.
      const node = new LoneReplica({ term: 1, vote: 3 });
      node.receive(append({ from: 2, term: 1, prevIndex: 0, prevTerm: 0, terms: [1], commit: 0 }));
      node.raft.forgetLeader();
      node.receive(heartbeat(2, 1));
      node.raft.forgetLeader();
      expect(() => node.receive(message(3))).toThrow('two leaders in term 1: 2 and 3');
      expect([node.raft.lastIndex, node.raft.term]).toEqual([1, 1]);
    },
  );

  test.each([
    ['who voted for nobody', 0],
    ['who voted for another candidate', 3],
  ])(
    'a replica that remembers the leader (%s) knows it after a restart, and votes no more in its term',
    (_, vote) => {
      const node = new LoneReplica({ term: 1, vote, remembersLeader: true });
      node.receive(heartbeat(2, 1));
      expect(node.disk.hardState.vote).toBe(vote);
      node.receive(append({ from: 2, term: 1, prevIndex: 0, prevTerm: 0, terms: [1], commit: 0 }));
      expect(node.disk.hardState).toMatchObject({ term: 1, vote: 2 });
      for (const logTerms of [[1], []]) {
        const restarted = new LoneReplica({ term: 1, vote: 2, logTerms, remembersLeader: true });
        // A vote alone does not say who was elected.
        expect(restarted.raft.leaderOfTerm).toBe(logTerms.length > 0 ? 2 : 0);
      }
      const again = node.receive({
        type: 'vote',
        from: 2,
        to: 1,
        term: 1,
        lastIndex: 9,
        lastTerm: 1,
        isTransfer: false,
      });
      expect(again).toMatchObject([{ type: 'voteResponse', granted: false }]);
    },
  );

  test('nor does a leader that stepped down, where another one leads in its term', () => {
    const node = roles[2]!.make({ checkQuorum: true });
    for (let i = 0; i < 3 * ELECTION_TICKS && node.raft.role === 'leader'; i++) node.raft.tick();
    expect([node.raft.role, node.raft.term]).toEqual(['follower', 1]);
    expect(() =>
      node.receive(append({ from: 2, term: 1, prevIndex: 0, prevTerm: 0, terms: [1], commit: 0 })),
    ).toThrow('two leaders in term 1: 1 and 2');
  });
});

describe('5.4 Safety', () => {
  test('5.4.1: a request for votes carries where the log of the candidate ends', () => {
    const node = new LoneReplica({ logTerms: [1, 2, 2] });
    expect(sorted(node.tick(ELECTION_TICKS))).toEqual([
      '1->2 vote term=3 log=3/2',
      '1->3 vote term=3 log=3/2',
    ]);
  });

  test.each([
    { logTerms: [1], last: '1/1', lastIndex: 1, lastTerm: 1, granted: true },
    { logTerms: [1], last: '2/1', lastIndex: 2, lastTerm: 1, granted: true },
    { logTerms: [1, 1], last: '1/1', lastIndex: 1, lastTerm: 1, granted: false },
    { logTerms: [1], last: '1/2', lastIndex: 1, lastTerm: 2, granted: true },
    { logTerms: [1, 1], last: '1/2', lastIndex: 1, lastTerm: 2, granted: true },
    { logTerms: [2], last: '1/1', lastIndex: 1, lastTerm: 1, granted: false },
    { logTerms: [2], last: '2/1', lastIndex: 2, lastTerm: 1, granted: false },
    { logTerms: [1, 2], last: '9/1', lastIndex: 9, lastTerm: 1, granted: false },
  ])('5.4.1: a log of terms $logTerms votes for one that ends at $last: $granted', (row) => {
    const node = new LoneReplica({ logTerms: row.logTerms });
    const sent = node.receive(voteRequest(2, 5, row.lastIndex, row.lastTerm));
    expect(sorted(sent)).toEqual([`1->2 voteResponse term=5 ${row.granted ? 'granted' : 'refused'}`]);
  });

  test('5.4.2, figure 8: entries of an earlier term are not committed by counting, but with one of this term', () => {
    const node = new LoneReplica({ logTerms: [1, 2], term: 2 });
    node.win();
    // A majority has entries 1 and 2, which another leader could still replace.
    node.receive(matched(2, 3, 1));
    node.receive(matched(2, 3, 2), matched(3, 3, 2));
    expect(node.raft.commitIndex).toBe(0);
    node.receive(matched(2, 3, 3));
    expect(node.raft.commitIndex).toBe(3);
  });
});
