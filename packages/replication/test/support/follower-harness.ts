import { EventRecorder } from '@coxswain/testing';
import { defaultFollowerOptions, Follower, type FollowerOptions } from '../../src/index.js';
import { FakeLink } from './fake-link.js';
import { FakeNode } from './fake-node.js';
import { ManualClock } from './manual-clock.js';

export const SHARD = 10_001;

/** A Follower on a node and a leader cluster that a test plays. */
export function followerHarness(options: Partial<FollowerOptions> = {}) {
  const clock = new ManualClock();
  const node = new FakeNode();
  node.wallMs = () => clock.nowMs();
  const link = new FakeLink();
  const recorder = new EventRecorder();
  const fatal: unknown[] = [];
  const environment = {
    clock,
    random: { next: () => 0.5, bytes: (length: number) => Buffer.alloc(length) },
    log: recorder.log,
    link,
    fatal: (error: unknown) => fatal.push(error),
  };
  const whole = node.parts;
  const follower = new Follower(whole, environment, {
    ...defaultFollowerOptions,
    followerName: 'node-1',
    ...options,
  });
  /** This node leads the group of table `t`, whose cursor is there. */
  const lead = (cursor: number, also: { stopped?: string; isResetWanted?: boolean } = {}): void => {
    node.tables.set('t', SHARD);
    node.cursors.set(SHARD, cursor);
    const { stopped, isResetWanted = false } = also;
    node.led = [{ name: 't', shardId: SHARD, term: 1, stopped, isResetWanted }];
    link.metadataAnswer = () =>
      Promise.resolve({ tables: [{ name: 't', type: 0, shardId: 10_001n }], clusterId: 'L', nodes: [] });
  };
  return { clock, node, link, follower, fatal, environment, lead, recorder };
}
