import { ApiError, Status } from '@coxswain/node';
import type { replication } from '@coxswain/protocol';
import { afterEach, describe, expect, test } from '@jest/globals';
import { lost } from './support/fake-link.js';
import { followerHarness } from './support/follower-harness.js';

const MINUTE_MS = 60_000;

let it = followerHarness();
afterEach(async () => {
  await it.follower.stop();
  expect(it.clock.waiting).toBe(0);
  expect(it.fatal).toEqual([]);
});

/** A follower cluster with these tables, before a leader cluster with those. */
function begin(ours: readonly string[], theirs: readonly string[], clusterId = 'L') {
  it = followerHarness();
  for (const [at, name] of ours.entries()) it.node.tables.set(name, 10_001 + at);
  answer(theirs, clusterId);
  it.follower.start();
  return it;
}

function answer(names: readonly string[], clusterId = 'L', type = 0): void {
  const tables = names.map((name): replication.Table => ({ name, type, shardId: 1n }));
  it.link.metadataAnswer = () => Promise.resolve({ tables, clusterId, nodes: [] });
}

describe("the leader cluster's list of tables", () => {
  test('brings tables here at once, and again with the next look', async () => {
    const { node, clock } = begin(['a'], ['a', 'b']);
    await clock.advance(0);
    expect(node.created).toEqual(['b']);
    answer(['a', 'b', 'c']);
    await clock.advance(30_000);
    expect(node.created).toEqual(['b', 'c']);
  });

  test('shows a node that replicates nothing that the leader cluster is lost, with its next look, and that it is back', async () => {
    const { clock, follower, link } = begin(['a'], ['a']);
    await clock.advance(0);
    expect(follower.status()).toMatchObject({ isReached: true, tables: [{ state: 'elsewhere' }] });
    link.metadataAnswer = () => Promise.reject(lost());
    await clock.advance(30_000);
    expect(follower.status()).toMatchObject({ isReached: false, isBroken: false });
    await clock.advance(MINUTE_MS);
    expect(follower.status()).toMatchObject({ isReached: false, isBroken: true });
    answer(['a']);
    await clock.advance(30_000);
    expect(follower.status()).toMatchObject({ isReached: true, isBroken: false });
  });

  test('takes a table away only when three lists over five minutes lack it (R4)', async () => {
    const { node, clock } = begin(['a', 'b'], ['a']);
    await clock.advance(5 * MINUTE_MS - 30_000);
    expect(node.quarantined).toEqual([]);
    await clock.advance(2 * 30_000);
    expect(node.quarantined).toEqual(['10002/b']);
  });

  test('takes nothing away after two lists only, however much time lies between them (R4)', async () => {
    const { node, clock, link } = begin(['a', 'b'], ['a']);
    await clock.advance(0);
    link.metadataAnswer = () => Promise.reject(lost());
    await clock.advance(20 * MINUTE_MS);
    answer(['a']);
    await clock.advance(30_000);
    expect(node.quarantined).toEqual([]);
    await clock.advance(30_000);
    expect(node.quarantined).toEqual(['10002/b']);
  });

  test('takes a table anew that a stock leader cluster lacked for a moment: it may be another one (R4)', async () => {
    for (const [clusterId, resets] of [
      ['', ['b']],
      ['L', []],
    ] as const) {
      const { node, clock, follower } = begin(['a', 'b'], ['a', 'b'], clusterId);
      node.leaderClusterId = clusterId;
      await clock.advance(0);
      answer(['a'], clusterId);
      await clock.advance(30_000);
      answer(['a', 'b'], clusterId);
      await clock.advance(90_000);
      expect(node.resets).toEqual(resets);
      await follower.stop();
    }
  });

  test('forgets an absence when the table is there again, or is another shard (R4)', async () => {
    const { node, clock } = begin(['a', 'b'], ['a']);
    await clock.advance(4 * MINUTE_MS);
    answer(['a', 'b']);
    await clock.advance(30_000);
    answer(['a']);
    await clock.advance(4 * MINUTE_MS);
    expect(node.quarantined).toEqual([]);
    node.tables.set('b', 77);
    await clock.advance(4 * MINUTE_MS);
    expect(node.quarantined).toEqual([]);
    await clock.advance(2 * MINUTE_MS);
    expect(node.quarantined).toEqual(['77/b']);
  });

  test('takes nothing away when it is empty, or when no answer comes (R4)', async () => {
    const { node, clock, link } = begin(['a'], []);
    await clock.advance(20 * MINUTE_MS);
    link.metadataAnswer = () => Promise.reject(lost());
    await clock.advance(20 * MINUTE_MS);
    expect(node.quarantined).toEqual([]);
  });

  test('of another leader cluster changes nothing, and is told with what to do (R4)', async () => {
    const { node, clock, follower } = begin(['a'], ['x'], 'M');
    await clock.advance(20 * MINUTE_MS);
    expect([node.created, node.quarantined]).toEqual([[], []]);
    expect(follower.status()).toMatchObject({ isBroken: true });
    expect(follower.status().error).toMatch(/the leader cluster is M.*belongs to L.*reset --all/);
    answer(['a', 'x'], 'L');
    await clock.advance(30_000);
    expect(node.created).toEqual(['x']);
    expect(follower.status()).toMatchObject({ isBroken: false, error: undefined });
  });

  test('of another leader cluster holds up every table here, and a reset of all lets it in (R4)', async () => {
    const { node, clock, link, lead } = begin(['t'], ['t'], 'M');
    lead(3);
    answer(['t'], 'M');
    await clock.advance(MINUTE_MS);
    expect(link.requests).toEqual([]);
    // What a reset of all does to the registry.
    node.leaderClusterId = undefined;
    node.changed();
    await clock.advance(0);
    expect(node.leaderClusterId).toBe('M');
    expect(link.requests.length).toBeGreaterThan(0);
  });

  test('binds a cluster that knows no leader cluster, also to one that tells no id (R4)', async () => {
    it = followerHarness();
    it.node.leaderClusterId = undefined;
    answer(['a'], '');
    it.follower.start();
    await it.clock.advance(0);
    expect(it.node.leaderClusterId).toBe('');
    answer(['a'], 'L');
    await it.clock.advance(30_000);
    expect(it.follower.status().isBroken).toBe(true);
  });

  test('is followed by the node that leads the meta group only, from when it does', async () => {
    it = followerHarness();
    it.node.leadsMeta = false;
    answer(['a']);
    it.follower.start();
    await it.clock.advance(MINUTE_MS);
    expect(it.node.created).toEqual([]);
    it.node.leadsMeta = true;
    it.node.changed();
    await it.clock.advance(0);
    expect(it.node.created).toEqual(['a']);
  });

  test('may hold local tables, which are none of ours, and names that are refused, which are told', async () => {
    const { node, clock, follower } = begin([], []);
    answer(['local'], 'L', 1);
    await clock.advance(30_000);
    expect(node.created).toEqual([]);
    const create = node.createReplicated.bind(node);
    node.createReplicated = (name) =>
      name === 'a/b' ? Promise.reject(new ApiError(Status.InvalidArgument, 'no such name')) : create(name);
    answer(['a/b', 'c']);
    await clock.advance(30_000);
    expect(node.created).toEqual(['c']);
    expect(follower.status().error).toContain('a/b: no such name');
  });
});
