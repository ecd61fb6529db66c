import { strict as assert } from 'node:assert/strict';
import { wolfRaft } from '@coxswain/protocol';
import type { Entry, Message } from '@coxswain/raft';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import {
  type Decided,
  receiveAppendEntries,
  receiveSnapshotChunk,
  receiveVote,
  type Stepped,
  toRaftEntry,
  type WolfAppendEntries,
  type WolfEntry,
  writeAppendEntries,
} from '../src/index.js';
import { type ReplicaOptions, TestReplica } from './replica.js';

const { ErrorCode } = wolfRaft;

const normal = (index: number, term: number, status = `${index}/${term}`): WolfEntry => ({
  index,
  term,
  payload: { type: 'normal', data: { client: 'c', serial: index, status, command: undefined } },
});

/** A log whose entry at each place has the term given for it. */
const logOf = (terms: readonly number[]): Entry[] =>
  terms.map((term, place) => toRaftEntry(normal(place + 1, term)));

/** Member 0 of 0, 1 and 2, with this log. */
const replicaWith = (terms: readonly number[], commit: number, more: ReplicaOptions = {}) =>
  new TestReplica({ entries: logOf(terms), commit, ...more });

const request = (fields: Partial<WolfAppendEntries>): WolfAppendEntries => ({
  term: 1,
  leaderId: 1,
  prevLogIndex: 0,
  prevLogTerm: 0,
  entries: [],
  leaderCommit: 0,
  ...fields,
});

/** The whole way of a call: what the core answered, or what it left unanswered, as the RPC's answer. */
function decide<M extends Message, R>(
  replica: TestReplica,
  received: Decided<R> | Stepped<M, R>,
): R | undefined {
  if (received.kind === 'decided') return received.response;
  replica.raft.step(received.message);
  for (const message of replica.take()) {
    const response = received.settle(message, replica);
    if (response !== undefined) return response;
  }
  return received.unanswered(replica);
}

const append = (replica: TestReplica, fields: Partial<WolfAppendEntries>) => {
  const req = writeAppendEntries(request(fields));
  return decide(replica, receiveAppendEntries({ msgId: 'id', req }, replica))?.response;
};

const ok = (term: number, success: boolean, conflict?: { index: number; term: number }) => ({
  $case: 'okRes',
  value: {
    msgId: 'id',
    term: BigInt(term),
    success,
    conflictOpt: conflict && { index: BigInt(conflict.index), term: BigInt(conflict.term) },
  },
});

const errorCodeOf = (response: { $case: string; value: object } | undefined) =>
  response?.$case === 'errorRes' ? (response.value as wolfRaft.RaftErrorRes).code : undefined;

const statusesOf = (entries: readonly Entry[]) => entries.map(({ index, term }) => `${index}/${term}`);

describe('AppendEntries', () => {
  test('entries that follow the log are taken, committed as far as the leader says, and acknowledged when durable (D1)', () => {
    const replica = replicaWith([], 0);
    replica.isDiskSlow = true;
    const req = writeAppendEntries(request({ entries: [normal(1, 1), normal(2, 1)], leaderCommit: 9 }));
    const received = receiveAppendEntries({ msgId: 'id', req }, replica);
    assert(received.kind === 'stepped');
    replica.raft.step(received.message);
    const settle = (messages: Message[]) =>
      messages.map((message) => received.settle(message, replica)).filter((answer) => answer !== undefined);
    expect(settle(replica.take())).toEqual([]);
    expect(settle(replica.flush())).toEqual([{ response: ok(1, true) }]);
    expect(replica.commitIndex).toBe(2);
    assert.deepEqual(statusesOf(replica.committed), ['1/1', '2/1']);
  });

  test('an earlier term is refused without conflict_opt, in this node’s term', () => {
    const replica = replicaWith([1, 2], 1);
    assert.deepEqual(append(replica, { term: 1, entries: [normal(1, 1)] }), ok(2, false));
    assert.deepEqual(append(replica, { term: 0 }), ok(2, false));
  });

  test('trap 1: a log that does not match is answered with the commit index and its term, never with the last index', () => {
    // The log goes on to 5 with entries of a deposed leader; only 2 are committed.
    const replica = replicaWith([1, 1, 2, 2, 2], 2);
    assert.deepEqual(
      append(replica, { term: 3, prevLogIndex: 4, prevLogTerm: 3, entries: [normal(5, 3)] }),
      ok(3, false, { index: 2, term: 1 }),
    );
    assert.deepEqual(
      append(replica, { term: 3, prevLogIndex: 9, prevLogTerm: 3, entries: [normal(10, 3)] }),
      ok(3, false, { index: 2, term: 1 }),
    );
    // From there a leader goes on, and the rest is replaced.
    assert.deepEqual(
      append(replica, { term: 3, prevLogIndex: 2, prevLogTerm: 1, entries: [normal(3, 3)] }),
      ok(3, true),
    );
    expect(replica.log.lastIndex()).toBe(3);
  });

  test('trap 2: a heartbeat whose log does not match is refused with conflict_opt, and commits nothing', () => {
    const replica = replicaWith([1, 1, 2], 1);
    assert.deepEqual(
      append(replica, { term: 3, prevLogIndex: 3, prevLogTerm: 3, leaderCommit: 3 }),
      ok(3, false, { index: 1, term: 1 }),
    );
    assert.deepEqual(
      append(replica, { term: 3, prevLogIndex: 7, prevLogTerm: 3, leaderCommit: 7 }),
      ok(3, false, { index: 1, term: 1 }),
    );
    expect(replica.commitIndex).toBe(1);
    assert.deepEqual(
      append(replica, { term: 3, prevLogIndex: 3, prevLogTerm: 2, leaderCommit: 3 }),
      ok(3, true),
    );
    expect(replica.commitIndex).toBe(3);
  });

  test('trap 2: so is one that names what is committed here with another term', () => {
    const replica = replicaWith([1, 1, 2], 2);
    assert.deepEqual(
      append(replica, { term: 3, prevLogIndex: 1, prevLogTerm: 3 }),
      ok(2, false, { index: 2, term: 1 }),
    );
    assert.deepEqual(append(replica, { term: 3, prevLogIndex: 1, prevLogTerm: 1 }), ok(3, true));
  });

  test('of two calls that wait, the answer to the shorter one settles only that', () => {
    const replica = replicaWith([], 0);
    replica.isDiskSlow = true;
    const receive = (entries: readonly WolfEntry[]) => {
      const req = writeAppendEntries(request({ entries }));
      const received = receiveAppendEntries({ msgId: 'id', req }, replica);
      assert(received.kind === 'stepped');
      replica.raft.step(received.message);
      replica.take();
      return received;
    };
    const short = receive([normal(1, 1)]);
    const long = receive([normal(1, 1), normal(2, 1)]);
    const answers = replica.flush();
    expect(answers).toHaveLength(2);
    assert.deepEqual(
      answers.map((answer) => short.settle(answer, replica) !== undefined),
      [true, true],
    );
    assert.deepEqual(
      answers.map((answer) => long.settle(answer, replica) !== undefined),
      [false, true],
    );
  });

  test('trap 2: an empty log refuses a heartbeat with a conflict_opt of index 0', () => {
    assert.deepEqual(
      append(replicaWith([], 0), { prevLogIndex: 4, prevLogTerm: 1 }),
      ok(1, false, { index: 0, term: 0 }),
    );
  });

  test('trap 3: a leader with the id 0 is taken like any other', () => {
    const replica = replicaWith([], 0, { id: 2 });
    assert.deepEqual(append(replica, { leaderId: 0, entries: [normal(1, 1)] }), ok(1, true));
    expect(replica.raft.leader).toBe(1);
  });

  test('trap 6: prev_log_index 0 does not cut off what is committed', () => {
    const replica = replicaWith([1, 1, 1, 1], 3);
    const before = statusesOf(replica.log.stored);
    assert.deepEqual(
      append(replica, { term: 2, entries: [normal(1, 2)], leaderCommit: 1 }),
      ok(1, false, { index: 3, term: 1 }),
    );
    assert.deepEqual(
      append(replica, { term: 2, prevLogIndex: 2, prevLogTerm: 2, entries: [normal(3, 2)] }),
      ok(1, false, { index: 3, term: 1 }),
    );
    assert.deepEqual(statusesOf(replica.log.stored), before);
    // What is the same comes to nothing, and what follows is taken.
    assert.deepEqual(append(replica, { term: 2, entries: [normal(1, 1), normal(2, 1)] }), ok(2, true));
    assert.deepEqual(
      append(replica, { term: 2, entries: [normal(1, 1), normal(2, 1), normal(3, 1), normal(4, 2)] }),
      ok(2, true),
    );
    assert.deepEqual(statusesOf(replica.log.stored), ['1/1', '2/1', '3/1', '4/2']);
  });

  test('a repeat of entries that are there is success, and changes nothing', () => {
    const replica = replicaWith([1, 1, 1], 1);
    for (let i = 0; i < 3; i++)
      assert.deepEqual(
        append(replica, { prevLogIndex: 1, prevLogTerm: 1, entries: [normal(2, 1), normal(3, 1)] }),
        ok(1, true),
      );
    expect(replica.log.lastIndex()).toBe(3);
  });

  test.each<[string, Partial<WolfAppendEntries>]>([
    ['a leader that is no member', { leaderId: 7 }],
    ['a leader with this node’s id', { leaderId: 0 }],
    ['entries with a gap', { entries: [normal(1, 1), normal(3, 1)] }],
    [
      'entries that do not follow prev_log_index',
      { prevLogIndex: 1, prevLogTerm: 1, entries: [normal(3, 1)] },
    ],
    ['an entry of a term after the leader’s', { entries: [normal(1, 2)] }],
    ['an entry of term 0', { entries: [normal(1, 0)] }],
    ['entries whose terms fall', { term: 3, entries: [normal(1, 3), normal(2, 2)] }],
    ['prev_log_term after term', { prevLogIndex: 1, prevLogTerm: 2 }],
    [
      'a SnapshotPointer',
      {
        entries: [
          {
            index: 1,
            term: 1,
            payload: {
              type: 'snapshotPointer',
              id: '',
              membership: { members: [0, 1, 2], membersAfterConsensus: undefined },
            },
          },
        ],
      },
    ],
    [
      'a ConfigChange to other members',
      {
        entries: [
          {
            index: 1,
            term: 1,
            payload: {
              type: 'configChange',
              membership: { members: [0, 1, 2, 3], membersAfterConsensus: undefined },
            },
          },
        ],
      },
    ],
    [
      'a ConfigChange on its way to other members',
      {
        entries: [
          {
            index: 1,
            term: 1,
            payload: { type: 'configChange', membership: { members: [0], membersAfterConsensus: [0, 1, 2] } },
          },
        ],
      },
    ],
    ['a term that leaves no later one', { term: 2 ** 53 - 1 }],
    [
      'a command that is cut short',
      {
        entries: [
          {
            index: 1,
            term: 1,
            payload: {
              type: 'normal',
              data: { client: '', serial: 1, status: '', command: Buffer.alloc(25) },
            },
          },
        ],
      },
    ],
  ])('%s is RAFT_APPEND_ENTRIES_FAILED, and nothing is taken', (_, fields) => {
    const replica = replicaWith([], 0);
    expect(errorCodeOf(append(replica, fields))).toBe(ErrorCode.RAFT_APPEND_ENTRIES_FAILED);
    assert.deepEqual([replica.term, replica.log.lastIndex(), replica.take().length], [0, 0, 0]);
  });

  test('a ConfigChange that names the members, in any order and more than once, is taken', () => {
    const replica = replicaWith([], 0);
    const payload = {
      type: 'configChange',
      membership: { members: [1, 0, 2], membersAfterConsensus: undefined },
    } as const;
    assert.deepEqual(append(replica, { entries: [{ index: 1, term: 1, payload }] }), ok(1, true));
  });

  test('a leader of this node’s own term is an error, and no broken invariant', () => {
    const replica = new TestReplica({ members: [1] });
    replica.raft.campaign();
    replica.take();
    expect(replica.leaderOfTerm).toBe(replica.id);
    const twin = { ...view(replica), members: [1, 2] };
    const req = writeAppendEntries(request({ term: replica.term }));
    const received = receiveAppendEntries({ msgId: '', req }, twin);
    assert(received.kind === 'decided');
    expect(errorCodeOf(received.response.response)).toBe(ErrorCode.RAFT_APPEND_ENTRIES_FAILED);
    expect(received.secondLeader).toMatchObject({ term: replica.term, claimant: 1 });
  });

  test.each([
    ['a heartbeat', []],
    ['an entry', [normal(2, 2)]],
  ])('a second leader of a term is refused %s, and not heard (§5.2)', (_, entries) => {
    const replica = replicaWith([], 0);
    assert.deepEqual(append(replica, { term: 2, leaderId: 1, entries: [normal(1, 2)] }), ok(2, true));
    const second = { term: 2, leaderId: 2, prevLogIndex: 1, prevLogTerm: 2, entries, leaderCommit: 1 };
    // Also when the first one is silent: its term is the same.
    for (const forget of [() => undefined, () => replica.raft.forgetLeader()]) {
      forget();
      const { leader } = replica.raft;
      const received = receiveAppendEntries({ msgId: 'id', req: writeAppendEntries(second) }, replica);
      assert(received.kind === 'decided');
      assert.deepEqual(received.response.response, {
        $case: 'errorRes',
        value: {
          msgId: 'id',
          code: ErrorCode.RAFT_APPEND_ENTRIES_FAILED,
          msg: 'member 1 leads in term 2, and member 2 cannot: two nodes have the same id, or one lost its disk',
        },
      });
      expect(received.secondLeader).toMatchObject({ term: 2, claimant: 2 });
      expect([replica.raft.leader, replica.commitIndex, replica.log.lastIndex()]).toEqual([leader, 0, 1]);
    }
    // The first one goes on, and in a later term the other may lead.
    assert.deepEqual(append(replica, { ...second, leaderId: 1 }), ok(2, true));
    assert.deepEqual(append(replica, { ...second, term: 3, entries: [] }), ok(3, true));
  });

  test('what is no JSON of a request is code 2, with msg_id as it came and nothing of the data in the text', () => {
    const req = '{"term":1,"leader_id":1,"secret-value":';
    const received = receiveAppendEntries({ msgId: 'as it came', req }, replicaWith([], 0));
    assert(received.kind === 'decided' && received.response.response?.$case === 'errorRes');
    const { msgId, code, msg } = received.response.response.value;
    assert.deepEqual([msgId, code], ['as it came', ErrorCode.RAFT_APPEND_ENTRIES_JSON_OF_REQ_IS_NOT_VALID]);
    expect(msg).not.toContain('secret');
  });
});

const view = (replica: TestReplica) => ({
  id: replica.id,
  members: replica.members,
  term: replica.term,
  leaderOfTerm: replica.leaderOfTerm,
  commitIndex: replica.commitIndex,
  termAt: (index: number) => replica.termAt(index),
});

describe('whatever comes', () => {
  /** Terms that never fall, as those of a log. */
  const terms = fc.array(fc.nat(2), { maxLength: 8 }).map((steps) => {
    let term = 1;
    return steps.map((step) => (term += step));
  });
  const call = fc.record({
    term: fc.nat(16),
    leaderId: fc.nat(3),
    prevLogIndex: fc.nat(9),
    prevLogTerm: fc.nat(16),
    terms: fc.array(fc.nat(16), { maxLength: 4 }),
    gap: fc.constantFrom(0, 0, 0, 0, 1),
    leaderCommit: fc.nat(12),
  });

  test('conflict_opt is the commit index and its term, what is committed stays, and success means that all is there', () => {
    fc.assert(
      fc.property(terms, fc.nat(8), fc.array(call, { minLength: 1, maxLength: 6 }), (log, commit, calls) => {
        const replica = replicaWith(log, Math.min(commit, log.length));
        for (const { terms: sent, gap, ...fields } of calls) {
          const entries = sent.map((term, place) => normal(fields.prevLogIndex + 1 + place + gap, term));
          const before = statusesOf(replica.log.stored).slice(0, replica.commitIndex);
          const response = append(replica, { ...fields, entries });
          assert(response !== undefined, 'every call is answered');
          const { commitIndex } = replica;
          assert.deepEqual(statusesOf(replica.log.stored).slice(0, before.length), before);
          if (response.$case === 'errorRes') continue;
          const { success, conflictOpt, term } = response.value;
          assert.equal(term, BigInt(replica.term));
          if (conflictOpt !== undefined) {
            assert.equal(success, false);
            assert(conflictOpt.index <= BigInt(commitIndex));
            assert.deepEqual(conflictOpt, {
              index: BigInt(commitIndex),
              term: BigInt(replica.termAt(commitIndex) ?? 0),
            });
          }
          if (success) for (const entry of entries) assert.equal(replica.log.term(entry.index), entry.term);
        }
      }),
      { numRuns: 1000 },
    );
  });

  test('logs that come from leaders of a legal history end up equal, from any beginning', () => {
    fc.assert(
      fc.property(terms, fc.nat(8), fc.nat(8), terms, (log, cut, commit, tail) => {
        // The leader has what is committed, then entries of terms that this log does not have.
        const shared = log.slice(0, cut);
        const leaderLog = logOf([...shared, ...tail.map((term) => term + 30)]);
        const term = 64;
        const replica = replicaWith(log, Math.min(commit, shared.length));
        let next = leaderLog.length + 1;
        for (let calls = 0; calls < 3 && next > 0; calls++) {
          const prev = leaderLog[next - 2];
          const entries = leaderLog.slice(next - 1).map((entry) => normal(entry.index, entry.term));
          const response = append(replica, {
            term,
            prevLogIndex: next - 1,
            prevLogTerm: prev?.term ?? 0,
            entries,
          });
          assert(response?.$case === 'okRes');
          if (response.value.success) break;
          next = Number(response.value.conflictOpt!.index) + 1;
        }
        // As a real leader does it: from conflict_opt on, unseen. What it takes for a match is one.
        assert.deepEqual(statusesOf(replica.log.stored.slice(0, leaderLog.length)), statusesOf(leaderLog));
      }),
      { numRuns: 1000 },
    );
  });
});

const vote = (replica: TestReplica, fields: Partial<wolfRaft.RaftVoteReq>) =>
  decide(
    replica,
    receiveVote(
      {
        msgId: 'id',
        term: 1n,
        candidateId: 1n,
        lastLogIndex: 0n,
        lastLogTerm: 0n,
        ...fields,
      },
      replica,
    ),
  )?.response;

const voted = (term: number, voteGranted: boolean) => ({
  $case: 'okRes',
  value: { msgId: 'id', term: BigInt(term), voteGranted },
});

describe('Vote', () => {
  test('one vote in a term, to the first whose log is as far: last term first, then index', () => {
    const replica = replicaWith([1, 1, 2], 3);
    assert.deepEqual(vote(replica, { term: 3n, lastLogIndex: 9n, lastLogTerm: 1n }), voted(3, false));
    // The real one refuses it for its lower index.
    assert.deepEqual(vote(replica, { term: 4n, lastLogIndex: 2n, lastLogTerm: 3n }), voted(4, true));
    assert.deepEqual(
      vote(replica, { term: 4n, candidateId: 2n, lastLogIndex: 9n, lastLogTerm: 4n }),
      voted(4, false),
    );
    assert.deepEqual(vote(replica, { term: 4n, lastLogIndex: 2n, lastLogTerm: 3n }), voted(4, true));
    assert.deepEqual(vote(replica, { term: 3n, candidateId: 2n }), voted(4, false));
  });

  test('a vote leaves when it is durable (D1)', () => {
    const replica = replicaWith([], 0);
    replica.isDiskSlow = true;
    const received = receiveVote(
      { msgId: 'id', term: 1n, candidateId: 1n, lastLogIndex: 0n, lastLogTerm: 0n },
      replica,
    );
    assert(received.kind === 'stepped');
    replica.raft.step(received.message);
    expect(replica.take().map((message) => received.settle(message, replica))).toEqual([]);
    expect(replica.flush().map((message) => received.settle(message, replica)?.response)).toEqual([
      voted(1, true),
    ]);
  });

  test('within an election timeout of a heartbeat it refuses, and does not take the term over', () => {
    const replica = replicaWith([1], 1);
    append(replica, { term: 2, prevLogIndex: 1, prevLogTerm: 1 });
    const asked = { term: 9n, candidateId: 2n, lastLogIndex: 5n, lastLogTerm: 5n };
    assert.deepEqual(vote(replica, asked), voted(2, false));
    expect(replica.term).toBe(2);
    // It hears nothing more, and campaigns itself.
    for (let tick = 0; tick < 30; tick++) replica.raft.tick();
    replica.take();
    assert.deepEqual(vote(replica, asked), voted(9, true));
  });

  test('a candidate with the id 0 is one (trap 3)', () => {
    assert.deepEqual(vote(replicaWith([], 0, { id: 2 }), { candidateId: 0n }), voted(1, true));
  });

  test.each<[string, Partial<wolfRaft.RaftVoteReq>]>([
    ['a candidate that is no member', { candidateId: 3n }],
    ['this node itself', { candidateId: 0n }],
    ['a term above 2^53-1', { term: 2n ** 53n }],
    ['a term that leaves no later one', { term: 2n ** 53n - 1n }],
    ['a term that no member gets to', { term: 2n ** 40n + 1n }],
    ['an index of 2^64-1', { lastLogIndex: 2n ** 64n - 1n }],
    ['a last term after the term', { lastLogTerm: 2n }],
  ])('%s is RAFT_VOTE_FAILED, and the term stays', (_, fields) => {
    const replica = replicaWith([], 0);
    expect(errorCodeOf(vote(replica, fields))).toBe(ErrorCode.RAFT_VOTE_FAILED);
    expect(replica.term).toBe(0);
  });
});

describe('InstallSnapshot', () => {
  const chunk = (fields: Partial<wolfRaft.RaftInstallSnapshotReq> = {}) => ({
    msgId: 'id',
    term: 2n,
    leaderId: 1n,
    lastIncludedIndex: 9n,
    lastIncludedTerm: 1n,
    offset: 0n,
    done: false,
    data: Buffer.alloc(0),
    ...fields,
  });

  test('an earlier term gets this node’s, and a snapshot of what is committed here is known as such', () => {
    const replica = replicaWith([1, 1, 3], 2);
    const stale = receiveSnapshotChunk(chunk(), replica);
    assert.deepEqual(stale, {
      kind: 'decided',
      response: { response: { $case: 'okRes', value: { msgId: 'id', term: 3n } } },
    });
    const known = receiveSnapshotChunk(chunk({ term: 4n, lastIncludedIndex: 2n }), replica);
    assert(known.kind === 'chunk');
    expect(known.isCommitted).toBe(true);
    const wanted = receiveSnapshotChunk(chunk({ term: 4n }), replica);
    assert(wanted.kind === 'chunk');
    expect([wanted.isCommitted, wanted.from, wanted.lastIndex]).toEqual([false, 2, 9]);
    replica.raft.step(wanted.contact);
    expect([replica.term, replica.raft.leader]).toEqual([4, 2]);
  });

  test('a chunk of a second leader of a term is refused (§5.2)', () => {
    const replica = replicaWith([], 0);
    append(replica, { term: 2, leaderId: 2 });
    const received = receiveSnapshotChunk(chunk(), replica);
    assert(received.kind === 'decided');
    expect(errorCodeOf(received.response.response)).toBe(ErrorCode.RAFT_INSTALL_SNAPSHOT_FAILED);
    expect(received.secondLeader).toMatchObject({ term: 2, claimant: 1 });
    assert(receiveSnapshotChunk(chunk({ leaderId: 2n }), replica).kind === 'chunk');
    assert(receiveSnapshotChunk(chunk({ term: 3n }), replica).kind === 'chunk');
  });

  test.each<[string, Partial<wolfRaft.RaftInstallSnapshotReq>]>([
    ['a leader that is no member', { leaderId: 5n }],
    ['index 0', { lastIncludedIndex: 0n }],
    ['a last term after the term', { lastIncludedTerm: 3n }],
    ['another term for what is committed', { lastIncludedIndex: 1n, lastIncludedTerm: 2n }],
    ['an index above 2^53-1', { lastIncludedIndex: 2n ** 63n }],
    ['a term that leaves no later one', { term: 2n ** 53n - 1n }],
  ])('%s is RAFT_INSTALL_SNAPSHOT_FAILED', (_, fields) => {
    const received = receiveSnapshotChunk(chunk(fields), replicaWith([1], 1));
    assert(received.kind === 'decided');
    expect(errorCodeOf(received.response.response)).toBe(ErrorCode.RAFT_INSTALL_SNAPSHOT_FAILED);
  });
});
