import { errors, systemClock, systemRandom } from '@coxswain/node';
import { MemoryNode } from '@coxswain/node/testing';
import { moco, mvcc, replication } from '@coxswain/protocol';
import { type LeaderLink, LinkError } from '@coxswain/replication';
import { RateLimit } from '@coxswain/runtime';
import { compressToFrames, STREAM_IDENTIFIER } from '@coxswain/stream';
import { until } from '@coxswain/testing';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { Clones } from '../../src/moco/clones.js';
import { OneAtATime } from '../../src/moco/one-at-a-time.js';

const { PUT, DUMMY } = mvcc.Command_CommandType;
const INVALID_ARGUMENT = 3;
const UNIMPLEMENTED = 12;
const UNAVAILABLE = 14;
const UNAUTHENTICATED = 16;

function record(command: Partial<mvcc.Command>): Buffer {
  const bytes = mvcc.Command.encode(mvcc.Command.fromPartial(command)).finish();
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(bytes.length));
  return Buffer.concat([length, bytes]);
}

const putOf = (key: string): Partial<mvcc.Command> => ({
  type: PUT,
  kv: mvcc.KeyValue.fromPartial({ key: Buffer.from(key), value: Buffer.from('v') }),
});

/** A donor that sends what a test has set, attempt by attempt. */
class FakeDonor {
  tables = ['t'];
  /** The chunks of each snapshot that is asked for, and the error with which it breaks off. */
  snapshots: (readonly (Buffer | Error)[])[] = [];
  logs: (readonly replication.ReplicateResponse[])[] = [];
  clusterId = 'c';
  /** The answer to the question whether the log may be read at all. */
  access: Error = new LinkError(INVALID_ARGUMENT, 'invalid leaderIndex', true, false);
  readonly asked: replication.ReplicateRequest[] = [];
  closed = 0;

  readonly link = {
    address: 'donor:1',
    metadata: async () =>
      replication.MetadataResponse.fromPartial({
        clusterId: this.clusterId,
        tables: this.tables.map((name) => ({ name, shardId: 10_001n })),
      }),
    snapshot: (): AsyncIterable<replication.SnapshotChunk> => this.#snapshot(this.snapshots.shift()!),
    replicate: (request: replication.ReplicateRequest): AsyncIterable<Buffer> => {
      if (request.leaderIndex === 0n) return this.#refuse();
      this.asked.push(request);
      return this.#log(this.logs.shift()!);
    },
    close: () => {
      this.closed++;
    },
  } as unknown as LeaderLink;

  #refuse(): AsyncIterable<Buffer> {
    return this.#log(Promise.reject(this.access));
  }

  async *#snapshot(chunks: readonly (Buffer | Error)[]): AsyncGenerator<replication.SnapshotChunk> {
    for (const chunk of chunks) {
      if (chunk instanceof Error) throw chunk;
      yield replication.SnapshotChunk.fromPartial({ data: chunk });
    }
  }

  async *#log(messages: readonly replication.ReplicateResponse[] | Promise<never>): AsyncGenerator<Buffer> {
    for (const message of await messages)
      yield replication.ReplicateResponse.encode(message).finish() as Buffer;
  }
}

/** A snapshot of some keys in pieces of some bytes. */
function snapshot(keys: readonly string[], leaderIndex: number | undefined, pieceBytes = 1000): Buffer[] {
  const end = leaderIndex === undefined ? [] : [record({ type: DUMMY, leaderIndex: BigInt(leaderIndex) })];
  const plain = Buffer.concat([...keys.map((key) => record(putOf(key))), ...end]);
  const stream = Buffer.concat([STREAM_IDENTIFIER, compressToFrames(plain)]);
  return Array.from({ length: Math.ceil(stream.length / pieceBytes) }, (_, place) =>
    stream.subarray(place * pieceBytes, (place + 1) * pieceBytes),
  );
}

const commands = (leaderIndex: number, ...keys: string[]): replication.ReplicateResponse =>
  replication.ReplicateResponse.fromPartial({
    response: {
      $case: 'commandsResponse',
      value: {
        commands: keys.map((key, place) => ({
          leaderIndex: BigInt(leaderIndex + place),
          command: putOf(key),
        })),
      },
    },
    leaderIndex: 99n,
  });
const end = replication.ReplicateResponse.fromPartial({ leaderIndex: 99n });
const useSnapshot = replication.ReplicateResponse.fromPartial({
  response: { $case: 'errorResponse', value: { error: replication.ReplicateError.USE_SNAPSHOT } },
});

let node: MemoryNode;
let donor: FakeDonor;
let clones: Clones;
let restored: Map<string, string[]>;
let beforeRestore: (name: string) => Promise<void>;

beforeEach(() => {
  node = new MemoryNode();
  donor = new FakeDonor();
  restored = new Map();
  beforeRestore = () => Promise.resolve();
  clones = new Clones(node.parts, {
    clock: systemClock,
    random: { ...systemRandom, next: () => 0 },
    log: () => undefined,
    requests: new OneAtATime(() => false),
    connect: async () => donor.link,
    external: { address: 'donor:1', token: '' },
    rate: new RateLimit(systemClock, 0),
    restorer: {
      restore: async (name, { records }, { signal }) => {
        await beforeRestore(name);
        // The real restorer, too, gives up what it has begun.
        signal.throwIfAborted();
        const keys: string[] = [];
        for await (const some of records) for (const record of some) keys.push(keyOf(record));
        restored.set(name, keys);
        return { shardId: 1, revision: 1, keyCount: 1 };
      },
    },
  });
});

afterEach(() => clones.stop());

function keyOf(record: Buffer): string {
  const { type, kv } = mvcc.Command.decode(record);
  return type === PUT ? kv!.key.toString() : 'DUMMY';
}

function begin(): Promise<void> {
  const request = moco.CloneRequest.fromPartial({ external: true });
  return clones.begin(request, '', { deadlineMs: systemClock.monotonicMs() + 600_000 });
}

async function run(): Promise<void> {
  await begin();
  await until('the clone has ended', () => !clones.isRunning);
  expect(donor.closed).toBe(1);
}

describe('a clone of a table', () => {
  test.each([1, 3, 1000])(
    'is its snapshot, and the log where that ends, in pieces of %i bytes',
    async (pieceBytes) => {
      donor.snapshots = [snapshot(['a', 'b'], 7, pieceBytes)];
      donor.logs = [[commands(8, 'c', 'd'), commands(10, 'e'), end, commands(11, 'never')]];
      await run();
      expect(clones.status).toMatchObject({ state: 'done', tables: 1, tablesDone: 1, error: undefined });
      expect(restored.get('t')).toEqual(['a', 'b', 'DUMMY', 'c', 'd', 'e']);
      expect(donor.asked).toMatchObject([{ leaderIndex: 8n, clusterId: 'c', shardId: 10_001n }]);
      // It replicates nothing, so the donor must wait for nothing from it.
      expect(donor.asked).toMatchObject([{ once: true, follower: '', followerClusterId: '' }]);
      // R3: a follower that does not announce what it understands gets the form that runs anywhere.
      expect(donor.asked[0]!.capabilities).toBe(0n);
    },
  );

  test('begins again where the donor breaks off, ends too early, or has compacted its log', async () => {
    donor.snapshots = [
      [...snapshot(['a'], 7).slice(0, 1), new LinkError(UNAVAILABLE, 'gone', false, false)],
      snapshot(['a'], undefined),
      snapshot(['a'], 9),
    ];
    donor.logs = [[end]];
    await run();
    expect(clones.status.state).toBe('done');
    expect(restored.get('t')).toEqual(['a', 'DUMMY']);
    expect(donor.asked).toMatchObject([{ leaderIndex: 10n }]);
  });

  test('does with the snapshot where the log is always gone by then', async () => {
    donor.snapshots = [snapshot(['a'], 1), snapshot(['a', 'b'], 2), snapshot(['a', 'b', 'c'], 3)];
    donor.logs = [[useSnapshot], [useSnapshot], [useSnapshot]];
    await run();
    expect(clones.status.state).toBe('done');
    expect(restored.get('t')).toEqual(['a', 'b', 'c', 'DUMMY']);
  });

  test('fails for good where the donor refuses, and another clone may begin', async () => {
    donor.tables = ['t', 'u', 'v', 'w'];
    const refused = [new LinkError(UNAUTHENTICATED, 'Invalid token', true, false)];
    donor.snapshots = [refused, refused, refused, refused];
    await run();
    expect(clones.status).toMatchObject({
      state: 'failed',
      tablesDone: 0,
      error: 'table "t": Invalid token',
    });
    expect(restored.size).toBe(0);
    donor = new FakeDonor();
    donor.tables = [];
    await run();
    expect(clones.status).toMatchObject({ state: 'done', tables: 0, error: undefined });
  });
});

describe('what can be known before the answer is an error of the call, and nothing has begun', () => {
  const unimplemented = new LinkError(UNIMPLEMENTED, 'unknown method', true, false);
  const away = new LinkError(UNAVAILABLE, 'no connection to donor:1', false, false);

  test.each([
    [
      'another token',
      new LinkError(UNAUTHENTICATED, 'Invalid token', true, false),
      errors.externalDonorRefusesToken('donor:1'),
    ],
    ['no such service', unimplemented, errors.donorWithoutMaintenance('donor:1')],
    ['nobody there any more', away, errors.donorFailed('donor:1', 'no connection to donor:1')],
  ])('%s', async (_what, access, refusal) => {
    donor.access = access;
    for (const tables of [['t'], []]) {
      donor.tables = tables;
      await expect(begin()).rejects.toEqual(refusal);
    }
    expect(clones.status.state).toBe('none');
    expect(node.clone.unfinished).toBeUndefined();
    // Nothing is held.
    donor.access = new LinkError(INVALID_ARGUMENT, 'invalid leaderIndex', true, false);
    donor.tables = [];
    await begin();
  });

  test.each([
    ['no list of tables', unimplemented, errors.donorIsNone('donor:1')],
    ['nobody there', away, errors.donorFailed('donor:1', 'no connection to donor:1')],
  ])('%s', async (_what, failure, refusal) => {
    donor.link.metadata = () => Promise.reject(failure);
    await expect(begin()).rejects.toEqual(refusal);
    expect(donor.closed).toBe(1);
  });

  test('a donor that the request names, with what helps there: clone.token is not shown to it', async () => {
    donor.access = new LinkError(UNAUTHENTICATED, 'Invalid token', true, false);
    const request = moco.CloneRequest.fromPartial({ donorHost: 'donor', donorPort: 1 });
    const named = clones.begin(request, 'mine', { deadlineMs: systemClock.monotonicMs() + 600_000 });
    await expect(named).rejects.toEqual(errors.donorRefusesToken('donor:1'));
  });

  test('a donor that is this cluster itself', async () => {
    donor.clusterId = 'c1';
    await expect(begin()).rejects.toEqual(errors.donorIsThisCluster('donor:1'));
  });
});

describe('the cluster', () => {
  test('knows that it is being cloned until the clone has succeeded', async () => {
    donor.snapshots = [snapshot(['a'], 7)];
    donor.logs = [[end]];
    await begin();
    expect(node.clone.isRunning).toBe(true);
    await expect(begin()).rejects.toEqual(errors.anotherRequest());
    await until('the clone has ended', () => !clones.isRunning);
    expect(node.clone.unfinished).toBeUndefined();
  });

  test('knows that it failed, and why, until the next one succeeds', async () => {
    donor.snapshots = [[new LinkError(UNAUTHENTICATED, 'Invalid token', true, false)]];
    await run();
    expect(node.clone.unfinished).toMatchObject({ donor: 'donor:1', error: 'table "t": Invalid token' });
    donor = new FakeDonor();
    donor.tables = [];
    await run();
    expect(node.clone.unfinished).toBeUndefined();
  });

  test('that waits for it no more gets nothing more of it', async () => {
    donor.tables = ['t', 'u', 'v'];
    let forget = (): void => undefined;
    donor.snapshots = [snapshot(['a'], 7), snapshot(['a'], 7), snapshot(['a'], 7)];
    donor.logs = [[end], [end], [end]];
    beforeRestore = async (name) => {
      if (name === 't') forget();
    };
    forget = () => node.forgetClone();
    await run();
    expect(clones.status).toMatchObject({ state: 'failed' });
    expect(clones.status.tablesDone).toBeLessThan(3);
    expect(restored.has('v')).toBe(false);
  });
});

test('what is written while a clone begins is not lost by it: it does not begin (T2)', async () => {
  const table = await node.createTable('t');
  let opened = 0;
  node.beforeOpen = async () => {
    if (++opened === 2) await table.put('late', '1');
  };
  await expect(begin()).rejects.toEqual(errors.recipientNotEmpty('t', 1));
  expect(node.clone.unfinished).toBeUndefined();
  expect(donor.closed).toBe(1);
  expect(clones.status.state).toBe('none');
});

test('only an empty cluster is cloned into, and only a leader cluster', async () => {
  await (await node.createTable('full')).put('a', '1');
  await expect(begin()).rejects.toEqual(errors.recipientNotEmpty('full', 1));
  node.role = 'follower';
  await expect(begin()).rejects.toEqual(errors.notForThisRole('Clone'));
});
