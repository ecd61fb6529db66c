import { mvcc } from '@coxswain/protocol';
import { compressToFrames, STREAM_IDENTIFIER } from '@coxswain/stream';
import { afterEach, describe, expect, test } from '@jest/globals';
import type { FollowerOptions, LinkCall } from '../src/index.js';
import { broken, lost, silence } from './support/fake-link.js';
import { followerHarness } from './support/follower-harness.js';
import { settled } from './support/manual-clock.js';

let it = followerHarness();
afterEach(async () => {
  await it.follower.stop();
  expect(it.clock.waiting).toBe(0);
  expect(it.fatal).toEqual([]);
});

/** A table whose snapshot is wanted; the stream is what the leader cluster gives. */
async function recover(
  stream: (call: LinkCall) => AsyncIterable<Buffer>,
  options: Partial<FollowerOptions> = {},
) {
  it = followerHarness(options);
  it.lead(3, { isResetWanted: true });
  it.link.snapshotAnswer = stream;
  it.follower.start();
  await it.clock.advance(0);
  return it;
}

function record(command: Parameters<typeof mvcc.Command.fromPartial>[0]): Buffer {
  const bytes = mvcc.Command.encode(mvcc.Command.fromPartial(command)).finish();
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(bytes.length));
  return Buffer.concat([length, bytes]);
}

const pair = (key: string, modRevision = 5n) =>
  record({
    kv: { key: Buffer.from(key), value: Buffer.from('v'), createRevision: 1n, modRevision, version: 1n },
  });
const keyOf = (length: number) => 'k'.repeat(length);
const MIB = 1024 * 1024;
const sized = (key: string, valueSizeBytes: number) =>
  record({ kv: { key: Buffer.from(key), value: Buffer.alloc(valueSizeBytes) } });
const end = (leaderIndex: bigint) => record({ type: mvcc.Command_CommandType.DUMMY, leaderIndex });

/** A framed-snappy stream in chunks that end anywhere. */
async function* stream(...records: Buffer[]): AsyncGenerator<Buffer> {
  const bytes = Buffer.concat([STREAM_IDENTIFIER, compressToFrames(Buffer.concat(records))]);
  const size = bytes.length > 10_000 ? 10_007 : 7;
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

describe('a snapshot of the leader cluster', () => {
  test('of which nothing comes for a minute is asked for again, with twice the patience each time', async () => {
    const asked: number[] = [];
    const { node, clock, follower } = await recover((call) => {
      asked.push(it.clock.monotonicMs());
      return asked.length < 3 ? silence(call) : stream(pair('a'), end(9n));
    });
    await clock.advance(59_000);
    expect(asked).toHaveLength(1);
    await clock.advance(3_000);
    expect(asked).toHaveLength(2);
    expect(follower.status().tables[0]!.error).toContain('sent nothing for 60 s');
    await clock.advance(117_000);
    expect(asked).toHaveLength(2);
    await clock.advance(5_000);
    expect(asked).toHaveLength(3);
    expect(node.loads.map(({ isSwitched, isAbandoned }) => ({ isSwitched, isAbandoned }))).toEqual([
      { isSwitched: false, isAbandoned: true },
      { isSwitched: false, isAbandoned: true },
      { isSwitched: true, isAbandoned: false },
    ]);
  });

  test('fills a shard of its own, which takes over when it is whole (T2)', async () => {
    const { node } = await recover(() => stream(pair('a'), pair('b'), pair('c'), end(9n)));
    expect(node.loads[0]).toMatchObject({
      keys: ['a', 'b', 'c'],
      end: { leaderIndex: 9, keyCount: 3, hasUnstamped: false },
      isSwitched: true,
      isAbandoned: false,
    });
    expect(it.follower.status().snapshotsTaken).toBe(1);
  });

  test('of a stock leader has no revisions, pairs that come twice, and may have one with an empty key', async () => {
    const { node } = await recover(() =>
      stream(pair('', 0n), pair('a', 0n), pair('a', 0n), pair('b', 0n), end(9n)),
    );
    expect(node.loads[0]).toMatchObject({ keys: ['a', 'b'], end: { keyCount: 2, hasUnstamped: true } });
  });

  test.each([
    ['ends without a leader_index', () => stream(pair('a'))],
    ['has keys out of order', () => stream(pair('b'), pair('a'), end(9n))],
    ['holds anything but pairs', () => stream(record({ type: mvcc.Command_CommandType.TXN }), end(9n))],
    ['goes on behind its end', () => stream(end(9n), pair('a'))],
    [
      'is no snappy',
      async function* () {
        yield Buffer.from('nothing of the kind');
      },
    ],
    [
      'breaks off',
      async function* () {
        yield* stream(pair('a'));
        yield* broken(lost());
      },
    ],
  ])('that %s is given up, and taken anew', async (_, bad) => {
    let attempts = 0;
    const { node, clock } = await recover(() => (++attempts === 1 ? bad() : stream(pair('a'), end(9n))));
    expect(node.loads[0]).toMatchObject({ isAbandoned: true, isSwitched: false });
    await clock.advance(1_000);
    expect(node.loads).toHaveLength(2);
    expect(node.loads[1]).toMatchObject({ isAbandoned: false, isSwitched: true });
  });

  test.each([
    ['a pair that no log carries', sized(keyOf(1), 8 * MIB), end(9n)],
    ['a negative revision', pair('a', -1n), end(9n)],
    ['a revision above 2^52', pair('a', 2n ** 52n + 1n), end(9n)],
    ['a negative version', record({ kv: { key: Buffer.from('a'), version: -1n } }), end(9n)],
    ['a leader_index above 2^52', pair('a'), end(2n ** 52n + 1n)],
  ])('with %s is refused, before it is proposed (A3)', async (_, ...records) => {
    const { node } = await recover(() => stream(...records));
    expect(node.loads[0]).toMatchObject({ keys: [], isAbandoned: true, end: undefined });
    expect(it.follower.status().tables[0]!.error).toMatch(
      /^the snapshot is damaged: .* (larger|out of range)/,
    );
  });

  test('may hold what a Txn of a stock leader could write, though no Put (A3)', async () => {
    const { node } = await recover(() =>
      stream(sized(keyOf(5000), 10), sized(keyOf(5001), 4 * MIB), end(9n)),
    );
    expect(node.loads[0]).toMatchObject({ keys: [keyOf(5000), keyOf(5001)], isSwitched: true });
  });

  test('is taken one at a time, as replication.max-recovery-in-flight says', async () => {
    it = followerHarness({ recoveriesMax: 1 });
    it.lead(3, { isResetWanted: true });
    it.node.led.push({ name: 'u', shardId: 10_002, term: 1, stopped: undefined, isResetWanted: true });
    let release: () => void = () => undefined;
    it.link.snapshotAnswer = async function* () {
      await new Promise<void>((resolve) => {
        release = resolve;
      });
      yield* stream(pair('a'), end(9n));
    };
    it.follower.start();
    await it.clock.advance(0);
    expect(it.node.loads.map(({ name }) => name)).toEqual(['t']);
    release();
    await it.clock.advance(0);
    expect(it.node.loads.map(({ name }) => name)).toEqual(['t', 'u']);
    release();
    await settled();
  });

  test('is taken no faster than replication.max-snapshot-recv-bytes-per-second', async () => {
    const records = Array.from({ length: 20 }, (_, at) => pair(`key-${String(at).padStart(2, '0')}`));
    let sizeBytes = 0;
    for await (const chunk of stream(...records, end(9n))) sizeBytes += chunk.length;
    const { node, clock } = await recover(() => stream(...records, end(9n)), {
      snapshotBytesPerSecondMax: 100,
    });
    await clock.advance((sizeBytes / 100) * 900);
    expect(node.loads[0]!.isSwitched).toBe(false);
    await clock.advance((sizeBytes / 100) * 200);
    expect(node.loads[0]!.isSwitched).toBe(true);
  });
});
