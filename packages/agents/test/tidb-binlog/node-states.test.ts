import type { MemberState } from '@coxswain/node';
import { expect, test } from '@jest/globals';
import {
  TidbBinlog,
  type TidbBinlogNode,
  type TidbBinlogOptions,
} from '../../src/tidb-binlog/tidb-binlog.js';

test('a node that is closed while it begins closes: the state is not taken for what an earlier process left', async () => {
  let state: MemberState = 'online';
  let calls = 0;
  let answer = (): void => undefined;
  const first = new Promise<void>((resolve) => {
    answer = resolve;
  });
  const listeners = new Set<() => void>();
  const node = {
    reports: {
      status: () => ({ members: [{ id: 1, name: 'drainer', clientUrls: [] }], peers: [], tables: [] }),
    },
    members: {
      isReplicationPaused: false,
      state: () => state,
      states: async () => {
        // The node makes the first of these calls when it starts.
        if (++calls === 1) await first;
        return new Map([[1, state]]);
      },
      changeState: async (_id: number, { from, to }: { from: readonly MemberState[]; to: MemberState }) => {
        if (!from.includes(state)) return state;
        state = to;
        for (const listener of listeners) listener();
        return undefined;
      },
    },
    cluster: {
      nodeId: 1,
      role: 'follower',
      onChange: (listener: () => void) => {
        listeners.add(listener);
        return () => listeners.delete(listener);
      },
      answerMembers: () => undefined,
    },
  } as unknown as TidbBinlogNode;
  const clock = { monotonicMs: () => 0, nowMs: () => 0, schedule: () => () => undefined };
  const stopped = new Promise<void>((resolve) => {
    const options = { clock, log: () => undefined, startedAs: 'follower', stop: resolve };
    const binlog = new TidbBinlog(node, options as unknown as TidbBinlogOptions);
    binlog.start((error) => {
      throw error;
    });
    void binlog
      .applyAction('drainer', 'close')
      .then((answered) => expect(answered).toMatchObject({ code: 200 }));
    setImmediate(answer);
  });
  await stopped;
  expect(state).toBe('offline');
});
