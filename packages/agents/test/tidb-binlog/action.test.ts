import { describe, expect, test } from '@jest/globals';
import { judgeAction, refused, succeeded } from '../../src/tidb-binlog/action.js';

const own = { nodeId: 'node-1', ownId: 'node-1' };

describe('an action', () => {
  test('is refused by node id first, then by state, then as unknown', () => {
    const nodeId = { nodeId: 'x', ownId: 'node-1' };
    expect(judgeAction({ ...nodeId, state: undefined, action: 'nonsense' })).toEqual(
      refused("invalid nodeID x, this pump's nodeID is node-1"),
    );
    expect(judgeAction({ ...own, state: 'pausing', action: 'nonsense' })).toEqual(
      refused("this pump's state is pausing, apply nonsense failed!"),
    );
    expect(judgeAction({ ...own, state: 'online', action: 'nonsense' })).toEqual(
      refused('invalid action nonsense'),
    );
  });

  test.each(['pausing', 'paused', 'closing', 'offline'] as const)(
    'that a node which is %s cannot take',
    (state) => {
      for (const action of ['pause', 'close', 'stop']) {
        expect(judgeAction({ ...own, state, action })).toEqual(
          refused(`this pump's state is ${state}, apply ${action} failed!`),
        );
      }
    },
  );

  test('changes the state, and stop is close', () => {
    expect(judgeAction({ ...own, state: 'online', action: 'pause' })).toEqual({
      from: ['online'],
      to: 'pausing',
    });
    expect(judgeAction({ ...own, state: 'online', action: 'close' })).toEqual({
      from: ['online'],
      to: 'closing',
    });
    expect(judgeAction({ ...own, state: 'online', action: 'stop' })).toEqual({
      from: ['online'],
      to: 'closing',
    });
    for (const state of ['pausing', 'paused'] as const) {
      expect(judgeAction({ ...own, state, action: 'resume' })).toMatchObject({ to: 'online' });
    }
    for (const state of ['online', 'closing', 'offline'] as const) {
      expect(judgeAction({ ...own, state, action: 'resume' })).toEqual(
        refused(`this pump's state is ${state}, apply resume failed!`),
      );
    }
  });

  test('is answered in the shape of the real server', () => {
    expect(succeeded('stop')).toEqual({ message: 'apply action stop success!', code: 200, data: null });
    expect(refused('no')).toEqual({ message: 'no', code: 3, data: null });
  });
});
