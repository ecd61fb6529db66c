import { errors } from '@coxswain/node';
import { mvcc, replication } from '@coxswain/protocol';
import { afterEach, describe, expect, test } from '@jest/globals';
import type { Follower, LinkCall } from '../src/index.js';
import { encodeCommands, encodeError, encodeTerminal } from '../src/replicate-message.js';
import { broken, messages, refusal, silence } from './support/fake-link.js';
import { FakeNode } from './support/fake-node.js';
import { followerHarness, SHARD } from './support/follower-harness.js';
import type { ManualClock } from './support/manual-clock.js';

const { USE_SNAPSHOT, LEADER_BEHIND } = replication.ReplicateError;
const NOT_FOUND = 5;
const FAILED_PRECONDITION = 9;

let running: { follower: Follower; clock: ManualClock } | undefined;

/** The follower, which starts with the first that it leads; it is stopped, and must leave no timer, after the test. */
function started(harness: ReturnType<typeof followerHarness>) {
  running = harness;
  const lead: typeof harness.lead = (...given) => {
    harness.lead(...given);
    harness.follower.start();
  };
  return { ...harness, lead };
}

afterEach(async () => {
  await running?.follower.stop();
  expect(running?.clock.waiting ?? 0).toBe(0);
  running = undefined;
});

function put(leaderIndex: number, valueLength = 1) {
  const kv = { key: Buffer.from(`k${leaderIndex}`), value: Buffer.alloc(valueLength) };
  const command = mvcc.Command.encode(mvcc.Command.fromPartial({ table: Buffer.from('t'), kv })).finish();
  return { leaderIndex, timeMs: 1, command: Buffer.from(command) };
}

const range = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, at) => from + at);
const puts = (from: number, to: number) =>
  encodeCommands(
    range(from, to).map((at) => put(at)),
    to,
  );

/** Answers each request in turn, and then nothing comes any more. */
function inTurn(...answers: ((request: replication.ReplicateRequest) => AsyncIterable<Buffer>)[]) {
  return (request: replication.ReplicateRequest, call: LinkCall) =>
    answers.shift()?.(request) ?? silence(call);
}

const asked = (requests: readonly replication.ReplicateRequest[]) =>
  requests.map(({ leaderIndex }) => Number(leaderIndex));
const appliedIndices = (applied: readonly { indices: readonly number[] }[]) =>
  applied.flatMap(({ indices }) => indices);

describe('a table of a follower cluster', () => {
  test('goes on behind its cursor, packs what comes, and asks again at once while it is behind', async () => {
    const it = started(followerHarness());
    it.lead(4);
    it.link.replicateAnswer = inTurn(
      () => messages(puts(5, 8), puts(9, 9), encodeTerminal(9)),
      () => messages(puts(10, 10), encodeTerminal(10)),
    );
    await it.clock.advance(0);
    expect(it.node.applied.map(({ cursor, indices }) => [cursor, indices])).toEqual([
      [4, range(5, 9)],
      [9, [10]],
    ]);
    expect(asked(it.link.requests)).toEqual([5, 10, 11]);
    expect(it.link.requests[0]).toMatchObject({
      clusterId: 'L',
      capabilities: 3n,
      follower: 'node-1',
      shardId: 0n,
    });
    // Nobody waits to learn how far the leader cluster is, and then for what it writes.
    expect(it.link.requests.map(({ waitMs }) => waitMs > 0)).toEqual([false, true, true]);
    expect(it.follower.status().tables[0]).toMatchObject({
      state: 'replicating',
      leaderIndex: 10,
      lagEntries: 0,
    });
  });

  test('proposes a batch when its end has come, though the stream goes on', async () => {
    const it = started(followerHarness());
    it.lead(0);
    it.link.replicateAnswer = async function* (_request, call) {
      yield puts(1, 2);
      yield encodeTerminal(2);
      yield* silence(call);
    };
    await it.clock.advance(0);
    expect(it.node.applied.map(({ cursor, indices }) => [cursor, indices])).toEqual([[0, [1, 2]]]);
    expect(asked(it.link.requests)).toEqual([1]);
  });

  test('packs what comes while many proposals are under way, and proposes it when one has ended', async () => {
    for (const { sequenceBytesMax, underWay, count, rest } of [
      { sequenceBytesMax: 1024 * 1024, underWay: 16, count: 19, rest: [[16, [17, 18, 19]]] },
      // Of the largest size four.
      {
        sequenceBytesMax: 100,
        underWay: 4,
        count: 6,
        rest: [
          [4, [5]],
          [5, [6]],
        ],
      },
    ]) {
      const it = started(followerHarness({ sequenceBytesMax }));
      it.lead(0);
      const ends: (() => void)[] = [];
      it.node.beforeApply = () => new Promise((resolve) => ends.push(resolve));
      it.link.replicateAnswer = async function* (_request, call) {
        for (const at of range(1, count)) {
          yield encodeCommands([put(at, sequenceBytesMax === 100 ? 75 : 1)], at);
          yield encodeTerminal(at);
        }
        yield* silence(call);
      };
      await it.clock.advance(0);
      const underWayCount = ends.length;
      for (let at = 0; at < ends.length; at++) {
        ends[at]!();
        await it.clock.advance(0);
      }
      expect(it.node.applied.map(({ cursor, indices }) => [cursor, indices])).toEqual([
        ...range(1, underWay).map((at) => [at - 1, [at]]),
        ...rest,
      ]);
      expect(underWayCount).toBe(underWay);
      await it.follower.stop();
    }
  });

  test('keeps sequences to their limit, and sends what is larger alone (P4)', async () => {
    const it = started(followerHarness({ sequenceBytesMax: 1000 }));
    it.lead(0);
    const large = [put(1, 400), put(2, 400), put(3, 400), put(4, 5000), put(5)];
    it.link.replicateAnswer = inTurn(() => messages(encodeCommands(large, 5), encodeTerminal(5)));
    await it.clock.advance(0);
    expect(it.node.applied.map(({ indices }) => indices)).toEqual([[1, 2], [3], [4], [5]]);
  });

  test('starts over from the stored cursor when another proposal came first: no hole, nothing twice (R1)', async () => {
    const it = started(followerHarness({ sequenceBytesMax: 1 }));
    it.lead(0);
    let disturbed = false;
    it.node.beforeApply = (cursor) => {
      if (cursor !== 2 || disturbed) return undefined;
      disturbed = true;
      // Another worker has applied 3 and 4 meanwhile.
      it.node.cursors.set(SHARD, 4);
      return undefined;
    };
    it.link.replicateAnswer = inTurn(
      () => messages(puts(1, 6), encodeTerminal(6)),
      ({ leaderIndex }) => messages(puts(Number(leaderIndex), 6), encodeTerminal(6)),
    );
    await it.clock.advance(2_000);
    expect(asked(it.link.requests)).toEqual([1, 5, 7]);
    expect(appliedIndices(it.node.applied)).toEqual([1, 2, 5, 6]);
    expect(it.node.cursors.get(SHARD)).toBe(6);
  });

  test('asks the stored cursor after a proposal whose outcome nobody knows (R1, P1)', async () => {
    const it = started(followerHarness());
    it.lead(0);
    let attempts = 0;
    it.node.beforeApply = () => {
      if (++attempts > 1) return undefined;
      // It was applied all the same.
      it.node.cursors.set(SHARD, 3);
      return Promise.reject(errors.outcomeUnknown());
    };
    it.link.replicateAnswer = inTurn(
      () => messages(puts(1, 3), encodeTerminal(3)),
      () => messages(puts(4, 5), encodeTerminal(5)),
    );
    await it.clock.advance(2_000);
    expect(asked(it.link.requests).slice(0, 2)).toEqual([1, 4]);
    expect(appliedIndices(it.node.applied)).toEqual([4, 5]);
  });

  test('takes no entry behind a gap, and drops what comes twice', async () => {
    const it = started(followerHarness());
    it.lead(0);
    it.link.replicateAnswer = inTurn(
      () => messages(puts(1, 2), puts(2, 3), puts(5, 6)),
      ({ leaderIndex }) => messages(puts(Number(leaderIndex), 6), encodeTerminal(6)),
    );
    await it.clock.advance(2_000);
    expect(appliedIndices(it.node.applied)).toEqual(range(1, 6));
  });

  test("takes streams of the seed's days: no last message, no index of the leader cluster", async () => {
    const it = started(followerHarness());
    it.lead(0);
    it.link.replicateAnswer = inTurn(() => messages(encodeCommands([put(1), put(2)], 0)));
    await it.clock.advance(0);
    expect(appliedIndices(it.node.applied)).toEqual([1, 2]);
    expect(it.follower.status().tables[0]).toMatchObject({ leaderAppliedIndex: 2, lagEntries: 0 });
  });

  test('polls a leader cluster that knows no long poll, faster while something comes', async () => {
    const it = started(followerHarness());
    it.lead(0);
    const times: number[] = [];
    it.link.replicateAnswer = () => {
      times.push(it.clock.monotonicMs());
      return messages(encodeTerminal(0));
    };
    await it.clock.advance(10_000);
    const gaps = times.slice(1).map((time, at) => time - times[at]!);
    expect(gaps[0]).toBeLessThan(10);
    expect(gaps.at(-1)).toBeCloseTo(750, 0);
    expect(gaps.every((gap, at) => at === 0 || gap >= gaps[at - 1]!)).toBe(true);
  });

  test('stops for good when the leader cluster is behind twice, and says what to do (LEADER_BEHIND)', async () => {
    const it = started(followerHarness());
    it.lead(9);
    it.link.replicateAnswer = () => messages(encodeError(LEADER_BEHIND, 3));
    await it.clock.advance(5_000);
    expect(it.node.stopped).toHaveLength(1);
    expect(it.node.stopped[0]![1]).toContain('coxswain reset --table t');
    expect(it.follower.status()).toMatchObject({ isBroken: true });
    expect(it.follower.status().tables[0]).toMatchObject({ state: 'stopped' });
    expect(it.link.requests).toHaveLength(2);
  });

  test('stays stopped as the registry says, without asking', async () => {
    const it = started(followerHarness());
    it.lead(9, { stopped: 'because' });
    await it.clock.advance(5_000);
    expect(it.link.requests).toEqual([]);
    expect(it.follower.status().tables[0]).toMatchObject({ state: 'stopped', error: 'because' });
  });

  test('backs off ten intervals after FAILED_PRECONDITION, and less after anything else', async () => {
    for (const [status, least, greatest] of [
      [FAILED_PRECONDITION, 7_000, 10_000],
      [NOT_FOUND, 1, 1_000],
    ] as const) {
      const it = started(followerHarness());
      it.lead(0);
      const times: number[] = [];
      it.link.replicateAnswer = () => {
        times.push(it.clock.monotonicMs());
        return broken(refusal(status, 'no'));
      };
      await it.clock.advance(9_000);
      expect(times[1]! - times[0]!).toBeGreaterThanOrEqual(least);
      expect(times[1]! - times[0]!).toBeLessThanOrEqual(greatest);
      expect(it.follower.status().tables[0]).toMatchObject({ state: 'retrying', error: 'no' });
      await it.follower.stop();
    }
  });

  test('is stopped by an entry that cannot be applied, before it is proposed (A3, A8)', async () => {
    const it = started(followerHarness());
    it.lead(0);
    const strange = mvcc.Command.encode(
      mvcc.Command.fromPartial({ type: 9 as mvcc.Command_CommandType }),
    ).finish();
    it.link.replicateAnswer = () =>
      messages(encodeCommands([put(1), { leaderIndex: 2, timeMs: 0, command: Buffer.from(strange) }], 2));
    await it.clock.advance(1_000);
    expect(it.node.stopped).toHaveLength(1);
    expect(it.node.stopped[0]![0]).toBe('t');
    expect(it.node.stopped[0]![1]).toMatch(
      /^entry 2 of the leader cluster is of type 9, .*types 0 to 7.*: start every node .* with a release .* knows type 9, then run "coxswain reset --table t"$/,
    );
    expect(appliedIndices(it.node.applied)).not.toContain(2);
  });

  test('takes a GC of an Armada leader for an entry without effect, and passes it on (A8)', async () => {
    const it = started(followerHarness());
    it.lead(0);
    const collect = { type: 7 as mvcc.Command_CommandType, leaderIndex: 1n };
    const gc = Buffer.from(mvcc.Command.encode(mvcc.Command.fromPartial(collect)).finish());
    it.link.replicateAnswer = () =>
      messages(encodeCommands([put(1), { leaderIndex: 2, timeMs: 0, command: gc }, put(3)], 3));
    await it.clock.advance(1_000);
    expect(it.node.stopped).toEqual([]);
    expect(appliedIndices(it.node.applied)).toEqual([1, 2, 3]);
  });

  test('takes a snapshot where the log is gone, and one that was asked for without asking the log', async () => {
    const gone = started(followerHarness());
    gone.lead(3);
    gone.link.replicateAnswer = () => messages(encodeError(USE_SNAPSHOT, 9));
    await gone.clock.advance(0);
    expect(gone.node.loads.map(({ name }) => name)).toEqual(['t']);
    expect(gone.follower.status().tables[0]).toMatchObject({ state: 'recovering' });
    await gone.follower.stop();

    const wanted = started(followerHarness());
    wanted.lead(3, { isResetWanted: true });
    await wanted.clock.advance(0);
    expect(wanted.node.loads).toHaveLength(1);
    expect(wanted.link.requests).toEqual([]);
    expect(wanted.follower.status().tables[0]).toMatchObject({ state: 'resetting' });
  });

  test('counts as broken when the leader cluster is out of reach for a minute, and not before', async () => {
    const it = started(followerHarness());
    it.lead(3);
    it.link.replicateAnswer = () => broken();
    await it.clock.advance(30_000);
    it.link.metadataAnswer = () => Promise.reject(refusal(14, 'away'));
    expect(it.follower.status()).toMatchObject({ isBroken: false, isReached: false });
    await it.clock.advance(62_000);
    expect(it.follower.status().isBroken).toBe(true);
    // A lag that is not known grows from the last contact on.
    expect(it.follower.status().tables[0]!.lagMs).toBeGreaterThan(60_000);
  });

  test('is as old as the last contact while the leader cluster is out of reach, on every node', async () => {
    const it = started(followerHarness());
    expect(it.follower.status().isReached).toBe(false);
    it.lead(3);
    // A long poll that nothing ends, until the leader cluster is killed.
    let kill = (): void => undefined;
    it.link.replicateAnswer = async function* () {
      await new Promise<void>((resolve) => {
        kill = resolve;
      });
      yield* broken();
    };
    it.node.tables.set('led by another node', SHARD + 1);
    await it.clock.advance(0);
    expect(it.follower.status()).toMatchObject({ isReached: true });
    it.link.metadataAnswer = () => Promise.reject(refusal(14, 'away'));
    it.link.replicateAnswer = () => broken();
    await it.clock.advance(20_000);
    const lags = () => it.follower.status().tables.map(({ lagMs }) => lagMs);
    // Nothing has failed yet.
    expect(lags()).toEqual([0, 0]);
    kill();
    await it.clock.advance(1_000);
    expect(it.follower.status()).toMatchObject({ isReached: false, isBroken: false });
    expect(lags()).toEqual([21_000, 21_000]);
    await it.clock.advance(4_000);
    expect(lags()).toEqual([25_000, 25_000]);
  });

  test('is as old as what came of it last while the leader cluster is there, and gives nothing of it', async () => {
    const it = started(followerHarness());
    it.lead(4);
    // Metadata is answered all the time, as by nodes that are paused.
    it.link.replicateAnswer = inTurn(() => messages(puts(5, 5), encodeTerminal(5)));
    await it.clock.advance(0);
    const figures = () => {
      const { isReached, isFailing, isBroken, tables } = it.follower.status();
      return { isReached, isFailing, isBroken, lagMs: tables[0]!.lagMs };
    };
    expect(figures()).toEqual({ isReached: true, isFailing: false, isBroken: false, lagMs: 0 });
    it.link.replicateAnswer = () => broken(refusal(14, 'replication from this node is paused'));
    // Led anew here: what was heard before counts all the same.
    it.node.led = it.node.led.map((table) => ({ ...table, term: 2 }));
    it.node.changed();
    await it.clock.advance(50_000);
    expect(figures()).toEqual({ isReached: true, isFailing: true, isBroken: false, lagMs: 50_000 });
    await it.clock.advance(20_000);
    expect(figures()).toEqual({ isReached: true, isFailing: true, isBroken: true, lagMs: 70_000 });
    // An idle table: whether it is over is known from an answer that does not wait.
    const from = it.link.requests.length;
    it.link.replicateAnswer = ({ waitMs }, call) =>
      waitMs === 0 ? messages(encodeTerminal(5)) : silence(call);
    await it.clock.advance(2_000);
    expect(figures()).toEqual({ isReached: true, isFailing: false, isBroken: false, lagMs: 0 });
    expect(it.link.requests.slice(from).map(({ waitMs }) => waitMs > 0)).toEqual([false, true]);
  });

  test('grows old while a snapshot of it is refused, and not while one comes', async () => {
    const it = started(followerHarness());
    it.lead(4, { isResetWanted: true });
    it.link.snapshotAnswer = () => broken(refusal(14, 'replication from this node is paused'));
    await it.clock.advance(30_000);
    const { tables, isFailing } = it.follower.status();
    expect([tables[0]!.state, tables[0]!.lagMs, isFailing]).toEqual(['resetting', 30_000, true]);
    it.link.snapshotAnswer = async function* (call) {
      yield Buffer.from('some of it');
      yield* silence(call);
    };
    await it.clock.advance(2_000);
    expect(it.follower.status()).toMatchObject({ isFailing: false, tables: [{ lagMs: 0 }] });
  });

  test('has the same figures on every node: the one that replicates it is asked', async () => {
    const puller = started(followerHarness());
    puller.lead(3);
    puller.link.replicateAnswer = inTurn(() => messages(encodeCommands([put(4), put(5)], 9)));
    await puller.clock.advance(2_000);
    const other = followerHarness();
    other.node.tables.set('t', SHARD);
    const lonely = { state: 'elsewhere', lagEntries: 0, replicatedBy: undefined };
    expect((await other.follower.statusEverywhere()).tables).toMatchObject([lonely]);
    other.node.members.set(7, puller.node);
    // A member that knows nothing of it, and one that says what is no answer.
    other.node.members.set(8, new FakeNode());
    const damaged = new FakeNode();
    for (const topic of puller.node.answerers.keys()) damaged.answerMembers(topic, () => Buffer.from('{"'));
    other.node.members.set(9, damaged);
    const [table] = (await other.follower.statusEverywhere()).tables;
    // Its own cursor is at 0, and 9 is the last index of the leader cluster.
    expect(table).toMatchObject({ state: 'replicating', lagEntries: 9, replicatedBy: 7, error: undefined });
    expect(table!.lagMs).toBe(puller.follower.status().tables[0]!.lagMs);
  });

  test('is replicated no more when its group is led elsewhere, or the cluster was promoted (R5)', async () => {
    const it = started(followerHarness());
    it.lead(0);
    await it.clock.advance(0);
    expect(it.follower.status().tables[0]!.state).not.toBe('elsewhere');
    it.node.led = [];
    it.node.changed();
    expect(it.follower.status().tables[0]!.state).toBe('elsewhere');
    const before = it.link.requests.length;
    it.node.role = 'leader';
    it.node.changed();
    await it.clock.advance(60_000);
    expect(it.link.requests.length).toBe(before);
    expect(it.fatal).toEqual([]);
  });
});
