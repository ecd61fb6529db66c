import { describe, expect, test } from '@jest/globals';
import {
  type AppendRequest,
  type AppendResponse,
  type HeartbeatResponse,
  type InstallSnapshot,
  type Message,
  type NodeId,
  RaftInvariantError,
} from '../src/index.js';
import * as text from './support/describe.js';
import { ELECTION_TICKS, LoneReplica } from './support/lone-replica.js';

/* What neither a scenario nor the paper's rules show. Node 1 is real; the test plays the others. */

function matched(from: NodeId, term: number, index: number): AppendResponse {
  return { type: 'appendResponse', from, to: 1, term, index, rejected: false, hintIndex: 0, hintTerm: 0 };
}

function heartbeatResponse(from: NodeId, term: number): HeartbeatResponse {
  return { type: 'heartbeatResponse', from, to: 1, term, context: '', commit: 0 };
}

function snapshotAt(index: number, term: number, voters: readonly NodeId[] = [1, 2, 3]): InstallSnapshot {
  return {
    type: 'installSnapshot',
    from: 2,
    to: 1,
    term,
    snapshot: { index, term, membership: { voters, learners: [] } },
  };
}

const lines = (messages: readonly Message[]): string[] => messages.map(text.message);

describe('a turn', () => {
  test('a thousand proposals of a turn are one append per follower, and followers in step share its entries', () => {
    const node = new LoneReplica();
    node.win();
    node.receive(matched(2, 1, 1), matched(3, 1, 1));
    for (let i = 0; i < 1000; i++) node.raft.propose([Buffer.from('x')]);
    const appends = node.take().messages as AppendRequest[];
    expect(appends.map(({ to }) => to)).toEqual([2, 3]);
    expect(appends[0]!.entries).toHaveLength(1000);
    expect(appends[1]!.entries).toBe(appends[0]!.entries);
  });

  test('an append holds no more entries than the limit, and the rest follows', () => {
    const node = new LoneReplica({ maxMessageEntries: 3, maxInflightMessages: 1 });
    node.win();
    node.receive(matched(2, 1, 1), matched(3, 1, 1));
    for (let i = 0; i < 5; i++) node.raft.propose([Buffer.from('x')]);
    const sizes = (sent: readonly Message[]) =>
      sent.flatMap((message) =>
        message.type === 'append' && message.to === 2 ? [message.entries.length] : [],
      );
    expect(sizes(node.settle())).toEqual([3]);
    expect(sizes(node.receive(matched(2, 1, 4)))).toEqual([2]);
  });

  test('what a member had acknowledged counts no more when it has lost it (T4)', () => {
    const node = new LoneReplica({ voters: [1, 2, 3, 4, 5] });
    node.win();
    node.receive(matched(2, 1, 1), matched(3, 1, 1));
    node.raft.propose([Buffer.from('x')]);
    node.settle();
    node.receive(matched(2, 1, 2));
    expect(node.raft.commitIndex).toBe(1);
    node.raft.reportLost(2);
    // Two others would make three with node 2, and are one short without it.
    node.receive(matched(3, 1, 2));
    expect(node.raft.commitIndex).toBe(1);
    expect(node.raft.peerStatuses().find(({ id }) => id === 2)).toMatchObject({ state: 'probe', match: 0 });
    // It comes back by what it is sent anew.
    node.receive(matched(2, 1, 2));
    expect(node.raft.commitIndex).toBe(2);
  });

  test('a proposal of several entries is appended whole or not at all', () => {
    const node = new LoneReplica({ maxUncommittedBytes: 10 });
    node.win();
    node.raft.propose([Buffer.from('12345')]);
    expect(node.raft.propose([Buffer.from('1'), Buffer.from('67890')])).toBe('tooManyUncommitted');
    expect(node.raft.lastIndex).toBe(2);
  });

  test('a commit index alone is not worth a write', () => {
    const node = new LoneReplica();
    node.receive({
      type: 'append',
      from: 2,
      to: 1,
      term: 1,
      prevIndex: 0,
      prevTerm: 0,
      entries: [{ index: 1, term: 1, type: 1, data: Buffer.from('x') }],
      commit: 0,
      isToAnswer: true,
    });
    node.raft.step({ type: 'heartbeat', from: 2, to: 1, term: 1, commit: 1, context: '' });
    const { append, committed } = node.take();
    expect(append).toBeUndefined();
    expect(committed).toHaveLength(1);
  });
});

describe('strangers', () => {
  test('the responses of a node that is no member change nothing, and its vote does not count', () => {
    const node = new LoneReplica();
    node.raft.campaign();
    node.settle();
    node.receive({ type: 'voteResponse', from: 9, to: 1, term: 1, granted: true });
    expect(node.raft.role).toBe('candidate');
    node.receive({ type: 'voteResponse', from: 2, to: 1, term: 1, granted: true });
    node.receive(matched(9, 1, 1), heartbeatResponse(9, 1));
    expect(node.raft.commitIndex).toBe(0);
    expect(node.raft.peerStatuses().map(({ isRecentlyActive }) => isRecentlyActive)).toEqual([false, false]);
  });

  test('the requests of a node that is no member are answered: this node may not have heard of its addition', () => {
    const node = new LoneReplica();
    const sent = node.receive({
      type: 'vote',
      from: 9,
      to: 1,
      term: 1,
      lastIndex: 0,
      lastTerm: 0,
      isTransfer: false,
    });
    expect(lines(sent)).toEqual(['1->9 voteResponse term=1 granted']);
  });
});

describe('pre-votes (thesis 9.6)', () => {
  test('a grant counts only for the question that is open now', () => {
    const node = new LoneReplica({ preVote: true, term: 4 });
    node.raft.campaign();
    node.settle();
    node.receive({ type: 'preVoteResponse', from: 2, to: 1, term: 4, granted: true });
    expect(node.raft.role).toBe('preCandidate');
    node.receive({ type: 'preVoteResponse', from: 2, to: 1, term: 5, granted: true });
    expect([node.raft.role, node.raft.term]).toEqual(['candidate', 5]);
  });

  test('a refusal from a later term ends the campaign', () => {
    const node = new LoneReplica({ preVote: true });
    node.raft.campaign();
    node.settle();
    node.receive({ type: 'preVoteResponse', from: 2, to: 1, term: 7, granted: false });
    expect([node.raft.role, node.raft.term]).toEqual(['follower', 7]);
  });
});

describe('snapshots (§7)', () => {
  test('no transfer begins to a peer that was not heard from since the last quorum check', () => {
    const node = new LoneReplica({ checkQuorum: true });
    node.win();
    node.receive(matched(2, 1, 1), matched(3, 1, 1));
    node.tick(ELECTION_TICKS);
    node.raft.propose([Buffer.from('x')]);
    node.settle();
    node.receive(matched(2, 1, 2));
    node.disk.saveSnapshot({ index: 2, term: 1, membership: node.raft.membership });
    node.disk.compact(2);
    node.raft.reportUnreachable(3);
    node.raft.propose([Buffer.from('y')]);
    expect(node.settle().map(({ to, type }) => `${to} ${type}`)).toEqual(['2 append']);
    expect(lines(node.receive(heartbeatResponse(3, 1)))).toEqual([
      '1->3 installSnapshot term=1 2/1 voters=(1,2,3)',
    ]);
  });

  test('while one is being installed a replica hands nothing out and does not campaign', () => {
    const node = new LoneReplica({ logTerms: [1, 1] });
    node.raft.step(snapshotAt(5, 2));
    const install = node.take().append!;
    expect(text.snapshot(install.snapshot!)).toBe('5/2 voters=(1,2,3)');
    node.raft.step({
      type: 'append',
      from: 2,
      to: 1,
      term: 2,
      prevIndex: 5,
      prevTerm: 2,
      entries: [{ index: 6, term: 2, type: 1, data: Buffer.from('x') }],
      commit: 6,
      isToAnswer: true,
    });
    const { append, committed } = node.take();
    expect(node.raft.commitIndex).toBe(6);
    expect(committed).toEqual([]);
    node.raft.campaign();
    for (let i = 0; i < 2 * ELECTION_TICKS; i++) node.raft.tick();
    expect(node.raft.role).toBe('follower');
    node.raft.appended(install);
    expect(node.take().committed).toEqual([]);
    node.raft.appended(append!);
    expect(text.entries(node.take().committed)).toBe('[6/2 "x"]');
    expect(node.raft.appliedIndex).toBe(5);
  });

  test('it brings the membership of its index', () => {
    const node = new LoneReplica();
    node.receive(snapshotAt(5, 2, [1, 2, 3, 4, 5]));
    expect(node.raft.membership.voters).toEqual([1, 2, 3, 4, 5]);
  });

  test('one of a group that this node is no member of is refused', () => {
    const node = new LoneReplica();
    expect(lines(node.receive(snapshotAt(5, 2, [2, 3])))).toEqual(['1->2 appendResponse term=2 match=0']);
    expect(node.raft.lastIndex).toBe(0);
  });
});

describe('the host', () => {
  test('may not acknowledge writes out of order', () => {
    const node = new LoneReplica({ voters: [1] });
    node.win([]);
    node.raft.propose([Buffer.from('x')]);
    const first = node.take();
    node.raft.propose([Buffer.from('y')]);
    const second = node.take();
    expect(() => node.raft.appended(second.append!)).toThrow('storage was acknowledged out of order');
    expect(first.append).toBeDefined();
  });

  test('may not apply what was not handed out', () => {
    const node = new LoneReplica();
    expect(() => node.raft.applied(1)).toThrow('index 1 was applied before it was handed out');
  });

  test('may not deliver a message to the wrong node', () => {
    const node = new LoneReplica();
    expect(() => node.raft.step({ ...heartbeatResponse(2, 1), to: 3 })).toThrow(
      'a message for node 3 came to node 1',
    );
  });

  test.each([
    { what: 'an applied index past the log', scene: { applied: 3 }, message: 'applied 3 is past the log' },
    {
      what: 'a hard state older than the log',
      scene: { logTerms: [2], term: 1 },
      message: 'the log holds entries of a term later than the hard state',
    },
    { what: 'no node id', scene: { id: 0 }, message: 'a replica needs a node id' },
    {
      what: 'heartbeats as rare as elections',
      scene: { heartbeatTicks: 10 },
      message: 'electionTicks must be more',
    },
  ])('may not start a replica with $what', ({ scene, message }) => {
    expect(() => new LoneReplica(scene)).toThrow(RaftInvariantError);
    expect(() => new LoneReplica(scene)).toThrow(message);
  });
});
