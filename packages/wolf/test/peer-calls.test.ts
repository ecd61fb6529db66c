import { strict as assert } from 'node:assert/strict';
import { wolfRaft } from '@coxswain/protocol';
import type { AppendRequest, Heartbeat, Message } from '@coxswain/raft';
import { describe, expect, test } from '@jest/globals';
import {
  type Call,
  PeerCalls,
  readAppendEntries,
  receiveAppendEntries,
  receiveVote,
  type WolfAppendEntries,
} from '../src/index.js';
import { TestReplica } from './replica.js';

type AppendAnswer = wolfRaft.RaftAppendEntriesRes;

const okAppend = (
  term: number,
  success: boolean,
  conflict?: { index: bigint; term: bigint },
): AppendAnswer => ({
  response: { $case: 'okRes', value: { msgId: '', term: BigInt(term), success, conflictOpt: conflict } },
});

/** A follower as async-raft 0.6.1 has it, as far as its answers to AppendEntries go: its log is a list of terms. */
class RealFollower {
  term = 0;
  log: number[] = [];

  append({ term, prevLogIndex, prevLogTerm, entries }: WolfAppendEntries): AppendAnswer {
    if (term < this.term) return okAppend(this.term, false);
    this.term = term;
    // It looks at the log only where there are entries.
    if (entries.length === 0) return okAppend(term, true);
    if (prevLogIndex > 0 && this.log[prevLogIndex - 1] !== prevLogTerm) {
      const last = this.log.length;
      return okAppend(term, false, { index: BigInt(last), term: BigInt(this.log[last - 1] ?? 0) });
    }
    this.log = [...this.log.slice(0, prevLogIndex), ...entries.map((entry) => entry.term)];
    return okAppend(term, true);
  }
}

/** A leader of three that made `count` proposals, in term 1; nobody has answered yet. */
function leaderWith(count: number): TestReplica {
  const leader = new TestReplica();
  leader.raft.campaign();
  leader.take();
  leader.raft.step({ type: 'voteResponse', from: 2, to: 1, term: 1, granted: true });
  leader.raft.propose(Array.from({ length: count }, () => Buffer.alloc(26, 1)));
  return leader;
}

const isSent = (message: Message): message is AppendRequest | Heartbeat =>
  message.type === 'append' || message.type === 'heartbeat';

function askAppend(call: Call, answer: (request: WolfAppendEntries) => AppendAnswer): Message | undefined {
  assert(call.method === 'AppendEntries');
  return call.answered(answer(readAppendEntries(call.request.req)));
}

describe('a leader of ours', () => {
  test('replicates to followers that are real ones, also where their logs differ', () => {
    const leader = leaderWith(5);
    const followers = new Map(
      [2, 3].map((id) => [id, { real: new RealFollower(), calls: new PeerCalls(1, id) }]),
    );
    followers.get(2)!.real.log = [1, 1, 1];
    followers.get(3)!.real.log = [];
    for (let round = 0; round < 20 && leader.commitIndex < 6; round++) {
      leader.raft.tick();
      for (const message of leader.take().filter(isSent)) {
        const { real, calls } = followers.get(message.to)!;
        const answer = askAppend(calls.call(message, leader, 'm'), (request) => real.append(request));
        if (answer !== undefined) leader.raft.step(answer);
      }
    }
    expect(leader.commitIndex).toBe(6);
    for (const { real } of followers.values()) assert.deepEqual(real.log, [1, 1, 1, 1, 1, 1]);
  });

  test('trap 2: what a real follower says to an empty append is never taken for a match', () => {
    const leader = leaderWith(3);
    const calls = new PeerCalls(1, 2);
    const real = new RealFollower();
    const empty: AppendRequest = {
      type: 'append',
      from: 1,
      to: 2,
      term: 1,
      prevIndex: 4,
      prevTerm: 1,
      entries: [],
      commit: 4,
      isToAnswer: true,
    };
    const answer = askAppend(calls.call(empty, leader, ''), (request) => {
      // Nor is it told that anything is committed which it may not have: it would apply what its log has there.
      expect(request.leaderCommit).toBe(0);
      return real.append(request);
    });
    expect(answer).toMatchObject({ type: 'appendResponse', rejected: true, index: 4, hintIndex: 0 });
    // Once entries were taken, an empty one after them says what it seems to.
    const [full] = leader.take().filter((message) => message.type === 'append');
    const taken = askAppend(calls.call(full as AppendRequest, leader, ''), (request) => real.append(request));
    expect(taken).toMatchObject({ type: 'appendResponse', rejected: false, index: 4 });
    expect(askAppend(calls.call(empty, leader, ''), (request) => real.append(request))).toMatchObject({
      rejected: false,
      index: 4,
    });
    // In a later term the follower may have lost it to another leader.
    const later = { ...empty, term: 2 };
    expect(askAppend(calls.call(later, leader, ''), (request) => real.append(request))).toMatchObject({
      rejected: true,
    });
  });

  test('trap 1: conflict_opt says where to probe and is never a match, however high', () => {
    const leader = leaderWith(3);
    const calls = new PeerCalls(1, 2);
    const [message] = leader.take().filter((sent) => sent.type === 'append');
    for (const index of [0n, 2n, 4n, 2n ** 64n - 1n]) {
      const answer = askAppend(calls.call(message as AppendRequest, leader, ''), () =>
        okAppend(1, false, { index, term: 1n }),
      );
      assert(answer?.type === 'appendResponse');
      expect(answer.rejected).toBe(true);
      expect(answer.hintIndex).toBeLessThanOrEqual((message as AppendRequest).prevIndex);
    }
  });

  test('a heartbeat names what the peer may take for committed, and its answer the round that it confirms', () => {
    const leader = leaderWith(1);
    const calls = new PeerCalls(1, 2);
    const heartbeat: Heartbeat = { type: 'heartbeat', from: 1, to: 2, term: 1, commit: 2, context: 'round' };
    const call = calls.call(heartbeat, leader, 'm');
    assert(call.method === 'AppendEntries');
    expect(call.request.req).toBe(
      '{"term":1,"leader_id":0,"prev_log_index":2,"prev_log_term":1,"entries":[],"leader_commit":2}',
    );
    const answered = { type: 'heartbeatResponse', from: 2, to: 1, term: 1, context: 'round' };
    assert.deepEqual(call.answered(okAppend(1, true)), { ...answered, commit: 2 });
    assert.deepEqual(call.answered(okAppend(1, false, { index: 0n, term: 0n })), { ...answered, commit: 0 });
    assert.deepEqual(call.answered(okAppend(5, false)), { ...answered, term: 5, commit: 0 });
  });

  test('steps down for a later term, and ignores errors, earlier terms and terms that no member gets to', () => {
    const leader = leaderWith(1);
    const calls = new PeerCalls(1, 2);
    const [message] = leader.take().filter(isSent);
    const call = calls.call(message!, leader, '');
    assert(call.method === 'AppendEntries');
    const value = { msgId: '', code: wolfRaft.ErrorCode.RAFT_APPEND_ENTRIES_FAILED, msg: '' };
    expect(call.answered({ response: { $case: 'errorRes', value } })).toBeUndefined();
    expect(call.answered({ response: undefined })).toBeUndefined();
    expect(call.answered(okAppend(0, true))).toBeUndefined();
    expect(call.answered(okAppend(2 ** 60, true))).toBeUndefined();
    expect(call.answered(okAppend(2 ** 53 - 1, false))).toBeUndefined();
    leader.raft.step(call.answered(okAppend(4, false))!);
    expect([leader.isLeader, leader.term]).toEqual([false, 4]);
  });

  test('an installed snapshot is a match up to its index', () => {
    const calls = new PeerCalls(1, 2);
    const snapshot = { index: 9, term: 1, membership: { voters: [1, 2], learners: [] } };
    const message = { type: 'installSnapshot', from: 1, to: 2, term: 3, snapshot } as const;
    const answer = (term: bigint) =>
      calls.installed(message, { response: { $case: 'okRes', value: { msgId: '', term } } });
    expect(answer(2n)).toBeUndefined();
    expect(answer(3n)).toMatchObject({ type: 'appendResponse', term: 3, index: 9, rejected: false });
    expect(answer(7n)).toMatchObject({ term: 7, index: 0 });
  });
});

test('three nodes elect a leader and replicate over nothing but these calls', () => {
  const replicas = new Map([1, 2, 3].map((id) => [id, new TestReplica({ id })]));
  const calls = new Map(
    [1, 2, 3].flatMap((from) => [1, 2, 3].map((to) => [`${from}>${to}`, new PeerCalls(from, to)] as const)),
  );
  /** Answers the call at once, as a host does, and gives the caller what it means. */
  const exchange = (message: Message): void => {
    const from = replicas.get(message.from)!;
    const to = replicas.get(message.to)!;
    if (!isSent(message) && message.type !== 'vote') return;
    const call = calls.get(`${message.from}>${message.to}`)!.call(message, from, 'id');
    const received =
      call.method === 'Vote' ? receiveVote(call.request, to) : receiveAppendEntries(call.request, to);
    let response = received.kind === 'decided' ? received.response : undefined;
    if (received.kind === 'stepped') {
      to.raft.step(received.message);
      for (const answer of to.take()) response ??= received.settle(answer, to);
      response ??= received.unanswered(to);
    }
    const meaning = call.answered(response as never);
    if (meaning !== undefined) from.raft.step(meaning);
  };
  const settle = (): void => {
    for (let turn = 0; turn < 100; turn++) {
      const messages = [...replicas.values()].flatMap((replica) => replica.take());
      if (messages.length === 0) return;
      for (const message of messages) exchange(message);
    }
    assert.fail('they do not come to rest');
  };
  const first = replicas.get(1)!;
  first.raft.campaign();
  settle();
  expect(first.isLeader).toBe(true);
  for (let i = 0; i < 100; i++) {
    first.raft.propose([Buffer.alloc(26, i)]);
    settle();
  }
  first.raft.tick();
  settle();
  for (const replica of replicas.values()) {
    expect(replica.commitIndex).toBe(101);
    assert.deepEqual(replica.committed, first.committed);
  }
});
