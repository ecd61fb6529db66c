import { expect, test } from '@jest/globals';
import { AgentRequestError } from '../../src/xtrabackup/key-value-block.js';
import {
  clusterMark,
  formatSessionId,
  parseSessionId,
  SESSION_ID_LENGTH_MAX,
} from '../../src/xtrabackup/session-id.js';

const cluster = clusterMark('cluster');

test('a session id tells up to where each shard was backed up', () => {
  for (const revisions of [
    new Map<number, number>(),
    new Map([[10_001, 0]]),
    new Map([
      [1, 127],
      [10_001, 128],
      [10_002, 1_000_000_042],
      [Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER],
    ]),
  ]) {
    const sid = formatSessionId({ cluster, revisions })!;
    expect(sid).toMatch(/^cx1-[A-Za-z0-9_-]+$/);
    expect(parseSessionId(sid)).toEqual({ cluster, revisions });
  }
});

test('a session id that was not copied whole, or changed, is refused', () => {
  const sid = formatSessionId({ cluster, revisions: new Map([[10_001, 77]]) })!;
  const others = [
    'x',
    sid.slice(0, -1),
    `cx2${sid.slice(3)}`,
    'cx1-',
    `${sid.slice(0, -6)}AAAAAA`,
    sid.slice(4),
  ];
  for (const other of others) {
    expect(() => parseSessionId(other)).toThrow(
      new AgentRequestError('the sid is not one that an agent gave out, or was not copied whole'),
    );
  }
});

test('there is none where a line of the protocol could not hold it', () => {
  const revisions = (count: number) =>
    new Map(Array.from({ length: count }, (_, place) => [10_001 + place, 1_000_000_000_000 + place]));
  expect(formatSessionId({ cluster, revisions: revisions(5_000) })!.length).toBeLessThan(
    SESSION_ID_LENGTH_MAX,
  );
  expect(formatSessionId({ cluster, revisions: revisions(10_000) })).toBeUndefined();
});
