import { errors, systemClock, systemRandom } from '@coxswain/node';
import { moco, mvcc, replication } from '@coxswain/protocol';
import { type LeaderLink, LinkError, RateLimit } from '@coxswain/replication';
import { compressToFrames, FrameDecompressor, STREAM_IDENTIFIER } from '@coxswain/table';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { Clones } from '../../../src/agents/moco/clones.js';
import { OneAtATime } from '../../../src/agents/moco/one-at-a-time.js';
import { MemoryNode } from '../../support/memory-node.js';

const { PUT, DUMMY } = mvcc.Command_CommandType;
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

/** A donor as a test wants it: what it sends at each attempt. */
class FakeDonor {
  tables = ['t'];
  /** The chunks of each snapshot that is asked for, or what it breaks off with. */
  snapshots: (readonly (Buffer | Error)[])[] = [];
  logs: (readonly replication.ReplicateResponse[])[] = [];
  readonly asked: replication.ReplicateRequest[] = [];
  closed = 0;

  readonly link = {
    address: 'donor:1',
    metadata: async () =>
      replication.MetadataResponse.fromPartial({
        clusterId: 'c',
        tables: this.tables.map((name) => ({ name, shardId: 10_001n })),
      }),
    snapshot: (): AsyncIterable<replication.SnapshotChunk> => this.#snapshot(this.snapshots.shift()!),
    replicate: (request: replication.ReplicateRequest): AsyncIterable<Buffer> => {
      this.asked.push(request);
      return this.#log(this.logs.shift()!);
    },
    close: () => {
      this.closed++;
    },
  } as unknown as LeaderLink;

  async *#snapshot(chunks: readonly (Buffer | Error)[]): AsyncGenerator<replication.SnapshotChunk> {
    for (const chunk of chunks) {
      if (chunk instanceof Error) throw chunk;
      yield replication.SnapshotChunk.fromPartial({ data: chunk });
    }
  }

  async *#log(messages: readonly replication.ReplicateResponse[]): AsyncGenerator<Buffer> {
    for (const message of messages) yield replication.ReplicateResponse.encode(message).finish() as Buffer;
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

beforeEach(() => {
  node = new MemoryNode();
  donor = new FakeDonor();
  restored = new Map();
  clones = new Clones(node, {
    clock: systemClock,
    random: { ...systemRandom, next: () => 0 },
    log: () => undefined,
    requests: new OneAtATime(),
    connect: async () => donor.link,
    external: { address: 'donor:1', token: '' },
    rate: new RateLimit(systemClock, 0),
    restorer: {
      restore: async (name, stream) => {
        const decompressor = new FrameDecompressor();
        const plain: Buffer[] = [];
        for await (const data of stream) plain.push(decompressor.update(data));
        decompressor.end();
        restored.set(name, keysOf(Buffer.concat(plain)));
        return { shardId: 1, revision: 1, keyCount: 1 };
      },
    },
  });
});

afterEach(() => clones.stop());

function keysOf(plain: Buffer): string[] {
  const keys: string[] = [];
  for (let at = 0; at < plain.length; ) {
    const stop = at + 8 + Number(plain.readBigUInt64LE(at));
    const { type, kv } = mvcc.Command.decode(plain.subarray(at + 8, stop));
    keys.push(type === PUT ? kv!.key.toString() : 'DUMMY');
    at = stop;
  }
  return keys;
}

async function run(): Promise<void> {
  const request = moco.CloneRequest.fromPartial({ external: true });
  await clones.begin(request, '', { deadlineMs: systemClock.monotonicMs() + 600_000 });
  while (clones.isRunning) await new Promise((resolve) => setTimeout(resolve, 5));
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
      // R3: whoever does not say that it can do more gets what runs anywhere.
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

test('only an empty cluster is cloned into, and only a leader cluster', async () => {
  const request = moco.CloneRequest.fromPartial({ external: true });
  const begin = () => clones.begin(request, '', { deadlineMs: systemClock.monotonicMs() + 600_000 });
  await (await node.createTable('full')).put('a', '1');
  await expect(begin()).rejects.toEqual(errors.recipientNotEmpty('full', 1));
  node.role = 'follower';
  await expect(begin()).rejects.toEqual(errors.notForThisRole('Clone'));
});
