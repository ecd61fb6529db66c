import type { NodeParts } from '@coxswain/node';
import { replication } from '@coxswain/protocol';
import { describe, expect, test } from '@jest/globals';
import { LeaderReplication } from '../src/index.js';
import { ManualClock } from './support/manual-clock.js';

type Answerer = (question: Buffer) => Buffer;

/** The nodes of a leader cluster, as far as they see who asks: what they would serve is left out. */
function leaderCluster(size: number) {
  const clock = new ManualClock();
  const answerers = Array.from({ length: size }, () => new Map<string, Answerer>());
  const told = { count: 0 };
  const listeners: (() => void)[] = [];
  const nodes = answerers.map((own, at) => {
    const parts = {
      cluster: {
        role: 'leader',
        onChange: (listener: () => void) => listeners.push(listener),
        answerMembers: (topic: string, answerer: Answerer) => own.set(topic, answerer),
        askMembers: (topic: string, question: Buffer) => {
          told.count++;
          for (const [other, those] of answerers.entries()) if (other !== at) those.get(topic)?.(question);
          return Promise.resolve(new Map());
        },
      },
      members: { isLogPaused: false },
      tables: { list: () => Promise.resolve([]) },
      reports: {
        status: () => ({
          clusterId: 'L',
          tables: [{ name: 't', appliedIndex: 100 }],
          members: [{ name: 'n' }],
        }),
      },
      logs: { open: () => Promise.resolve({}) },
    };
    return new LeaderReplication(parts as unknown as NodeParts, {
      clock,
      messageBytesMax: 1024,
      logCallsMax: 10,
      snapshotCallsMax: 10,
    });
  });
  const ask = async (node: number, from: Partial<replication.ReplicateRequest>): Promise<void> => {
    const request = replication.ReplicateRequest.fromPartial({ table: Buffer.from('t'), ...from });
    const call = { peer: '127.0.0.1:1', deadlineMs: 1, signal: new AbortController().signal };
    await nodes[node]!.replicate(request, call)
      .next()
      .catch(() => undefined);
  };
  const seen = () =>
    nodes.map((node) =>
      node.followers().map(({ follower, lagEntries }) => `${follower} lacks ${lagEntries}`),
    );
  return { ask, seen, clock, told };
}

describe('who replicates from a leader cluster', () => {
  test('is the node of a follower cluster that asked last, whichever node it asks', async () => {
    const { ask, seen, told } = leaderCluster(2);
    const from = { followerClusterId: 'F', leaderIndex: 91n };
    await ask(0, { ...from, follower: 'F/1' });
    await ask(0, { ...from, follower: 'F/1' });
    expect(seen()).toEqual([['F/1 lacks 10'], []]);
    // The other nodes hear of it once, and not with each request.
    expect(told.count).toBe(1);
    // Another node of it takes over, and asks the same node here: handed over is not behind.
    await ask(0, { ...from, follower: 'F/2', leaderIndex: 101n });
    expect(seen()).toEqual([['F/2 lacks 0'], []]);
    await ask(1, { ...from, follower: 'F/3', leaderIndex: 101n });
    expect(seen()).toEqual([[], ['F/3 lacks 0']]);
    await ask(0, { ...from, follower: 'F/1', leaderIndex: 101n });
    expect(seen()).toEqual([['F/1 lacks 0'], []]);
  });

  test('is told apart by follower cluster, and by name or address where none is given', async () => {
    const { ask, seen, clock } = leaderCluster(1);
    await ask(0, { followerClusterId: 'F', follower: 'same', leaderIndex: 91n });
    await ask(0, { followerClusterId: 'G', follower: 'same', leaderIndex: 81n });
    await ask(0, { follower: 'of an earlier release', leaderIndex: 101n });
    await ask(0, { leaderIndex: 1n });
    expect(seen()).toEqual([
      ['127.0.0.1:1 lacks 100', 'of an earlier release lacks 0', 'same lacks 10', 'same lacks 20'],
    ]);
    // Who takes a table once, as a clone does, is no follower cluster, whatever it is called.
    await ask(0, { follower: 'clone', followerClusterId: 'C', leaderIndex: 1n, once: true });
    expect(seen()[0]).toHaveLength(4);
    // One that is gone for good stays in sight for five minutes.
    await clock.advance(5 * 60_000 + 1);
    expect(seen()).toEqual([[]]);
  });
});
