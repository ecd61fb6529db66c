import { createServer, type Http2Server, type ServerHttp2Stream } from 'node:http2';
import type { AddressInfo } from 'node:net';
import type { ShardLoad } from '@coxswain/node';
import { maintenance, mvcc, regatta, replication } from '@coxswain/protocol';
import { FrameDecompressor, readSnapshotRecords } from '@coxswain/stream';
import { CommandKind, MemoryStoreDirectory, Table, writeSnapshot } from '@coxswain/table';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { GrpcLeaderLink } from '../../src/adapters/grpc-leader-link.js';
import {
  encodeCommands,
  encodeError,
  encodeTerminal,
  readReplicateMessage,
} from '../../src/replicate-message.js';
import { encodeSequence } from '../../src/sequence.js';
import { ShardFiller } from '../../src/shard-filler.js';
import { recordedBytes, recordedMessages } from './recorded.js';

const { PUT, DELETE, DUMMY, PUT_BATCH, TXN, SEQUENCE } = mvcc.Command_CommandType;
const { USE_SNAPSHOT, LEADER_BEHIND } = replication.ReplicateError;

const text = (value: string): Buffer => Buffer.from(value);
const [a, b, c, t] = ['a', 'b', 'c', 't'].map(text) as [Buffer, Buffer, Buffer, Buffer];

interface Codec<T> {
  encode(message: T): { finish(): Uint8Array };
  decode(bytes: Uint8Array): T;
  fromPartial(partial: never): T;
}

/** Every message of a recorded stream, with what it must be decoded to. */
type Recorded = readonly [name: string, codec: Codec<unknown>, messages: readonly unknown[]];

function recorded<T>(
  name: string,
  codec: { fromPartial(partial: never): T },
  ...messages: object[]
): Recorded {
  const expected = messages.map((message) => codec.fromPartial(message as never));
  return [name, codec as unknown as Codec<unknown>, expected];
}

const putA = { table: t, kv: { key: a, value: text('1') } };
const deleteB = { table: t, type: DELETE, kv: { key: b }, rangeEnd: c };
const header = (revision: bigint) => ({
  shardId: 10_001n,
  replicaId: 1n,
  revision,
  raftTerm: 2n,
  raftLeaderId: 1n,
});

/** Those that every encoder that goes by the numbers of fields writes alike. */
const exact: readonly Recorded[] = [
  recorded('metadata-request', replication.MetadataRequest, {}),
  recorded('metadata-response-stock', replication.MetadataResponse, {
    tables: [{ name: 'default' }, { name: 'own', type: replication.Table_Type.LOCAL }],
  }),
  recorded('metadata-response-ours', replication.MetadataResponse, {
    tables: [{ name: 't', shardId: 10_001n }],
    clusterId: 'c',
  }),
  recorded('snapshot-request-stock', replication.SnapshotRequest, { table: t }),
  recorded('snapshot-request-ours', replication.SnapshotRequest, { table: t, clusterId: 'c' }),
  recorded('replicate-request-stock', replication.ReplicateRequest, { table: t, leaderIndex: 8n }),
  recorded('replicate-request-ours', replication.ReplicateRequest, {
    table: t,
    leaderIndex: 300n,
    waitMs: 30_000,
    clusterId: 'c',
    shardId: 10_001n,
    capabilities: 1n,
    follower: 'f',
  }),
  recorded(
    'replicate-response-stock',
    replication.ReplicateResponse,
    {
      response: {
        $case: 'commandsResponse',
        value: {
          commands: [
            { leaderIndex: 8n, command: { ...putA, leaderIndex: 8n } },
            { leaderIndex: 9n, command: { ...deleteB, leaderIndex: 9n } },
            { leaderIndex: 10n, command: { table: t, type: DUMMY, leaderIndex: 10n } },
          ],
        },
      },
      leaderIndex: 12n,
    },
    {
      response: {
        $case: 'commandsResponse',
        value: {
          commands: [
            {
              leaderIndex: 11n,
              command: { table: t, type: PUT_BATCH, batch: [{ key: a, value: text('2') }, { key: b }] },
            },
            {
              leaderIndex: 12n,
              command: {
                table: t,
                type: TXN,
                txn: {
                  compare: [{ key: a, targetUnion: { $case: 'value', value: text('2') } }],
                  success: [{ request: { $case: 'requestPut', value: { key: a, value: text('3') } } }],
                  failure: [{ request: { $case: 'requestDeleteRange', value: { key: a } } }],
                },
              },
            },
          ],
        },
      },
      leaderIndex: 12n,
    },
    { leaderIndex: 12n },
  ),
  recorded('replicate-response-seed', replication.ReplicateResponse, {
    response: {
      $case: 'commandsResponse',
      value: { commands: [{ leaderIndex: 8n, command: { ...putA, leaderIndex: 8n } }] },
    },
  }),
  recorded('replicate-response-use-snapshot', replication.ReplicateResponse, {
    response: { $case: 'errorResponse', value: { error: USE_SNAPSHOT } },
    leaderIndex: 12n,
  }),
  recorded('replicate-response-leader-behind', replication.ReplicateResponse, {
    response: { $case: 'errorResponse', value: { error: LEADER_BEHIND } },
    leaderIndex: 5n,
  }),
];

describe('recorded streams, written by hand from the document: decoders and encoders agree to the byte', () => {
  test.each(exact)('%s', (name, codec, expected) => {
    const messages = recordedMessages(name);
    expect(messages.map((bytes) => codec.decode(bytes))).toEqual(expected);
    expect(messages).toEqual(expected.map((message) => Buffer.from(codec.encode(message).finish())));
  });

  test('kv-requests', () => {
    const expected = [
      regatta.PutRequest.fromPartial({ table: t, key: a, value: text('1'), prevKv: true }),
      regatta.DeleteRangeRequest.fromPartial({ table: t, key: a, rangeEnd: c, prevKv: true, count: true }),
      regatta.TxnRequest.fromPartial({
        table: t,
        compare: [
          {
            result: mvcc.Compare_CompareResult.NOT_EQUAL,
            key: a,
            targetUnion: { $case: 'value', value: text('2') },
          },
          {
            target: mvcc.Compare_CompareTarget.MOD,
            key: a,
            targetUnion: { $case: 'modRevision', value: 12n },
          },
        ],
        success: [{ request: { $case: 'requestPut', value: { key: a, value: text('3') } } }, {}],
        failure: [{ request: { $case: 'requestRange', value: { key: a, countOnly: true } } }],
      }),
      regatta.RangeRequest.fromPartial({ table: t, key: a, linearizable: true }),
    ];
    const codecs = [regatta.PutRequest, regatta.DeleteRangeRequest, regatta.TxnRequest, regatta.RangeRequest];
    expectAgreement('kv-requests', codecs, expected);
  });

  test('kv-responses', () => {
    const expected = [
      regatta.PutResponse.fromPartial({ header: header(12n), prevKv: { key: a, value: text('0') } }),
      regatta.DeleteRangeResponse.fromPartial({
        header: header(13n),
        deleted: 1n,
        prevKvs: [{ key: a, value: text('1'), modRevision: 12n, version: 1n }],
      }),
      regatta.TxnResponse.fromPartial({
        header: header(14n),
        succeeded: true,
        responses: [{ response: { $case: 'responsePut', value: {} } }],
      }),
      regatta.RangeResponse.fromPartial({
        header: header(14n),
        kvs: [{ key: a, value: text('3') }],
        count: 1n,
      }),
    ];
    const codecs = [
      regatta.PutResponse,
      regatta.DeleteRangeResponse,
      regatta.TxnResponse,
      regatta.RangeResponse,
    ];
    expectAgreement('kv-responses', codecs, expected);
  });

  test('reset', () => {
    const { ResetRequest, ResetResponse } = maintenance;
    const expected = [
      ResetRequest.fromPartial({ table: t }),
      ResetRequest.fromPartial({ resetAll: true }),
      ResetResponse.fromPartial({}),
    ];
    expectAgreement('reset', [ResetRequest, ResetRequest, ResetResponse], expected);
  });
});

function expectAgreement(name: string, codecs: readonly object[], expected: readonly unknown[]): void {
  const messages = recordedMessages(name);
  expect(messages.length).toBe(expected.length);
  messages.forEach((bytes, index) => {
    const codec = codecs[index] as Codec<unknown>;
    expect(codec.decode(bytes)).toEqual(expected[index]);
    expect(Buffer.from(codec.encode(expected[index]).finish())).toEqual(bytes);
  });
}

const encoded = (partial: Parameters<typeof mvcc.Command.fromPartial>[0]): Buffer<ArrayBuffer> =>
  Buffer.from(mvcc.Command.encode(mvcc.Command.fromPartial(partial)).finish());

describe('what travels marshalled, from log to log', () => {
  test('our leader sends stored commands as recorded', () => {
    const commands = [
      { leaderIndex: 8, timeMs: 1500, command: encoded(putA) },
      { leaderIndex: 300, timeMs: 0, command: encoded(deleteB) },
    ];
    const [message, terminal] = recordedMessages('replicate-response-ours');
    expect(encodeCommands(commands, 300)).toEqual(message);
    expect(encodeTerminal(300)).toEqual(terminal);
    expect([encodeError(USE_SNAPSHOT, 12)]).toEqual(recordedMessages('replicate-response-use-snapshot'));
    expect([encodeError(LEADER_BEHIND, 5)]).toEqual(recordedMessages('replicate-response-leader-behind'));
  });

  test('our follower reads what a leader of 0.5 sends, with and without inner leader_index', () => {
    const messages = recordedMessages('replicate-response-stock').map((bytes) => readReplicateMessage(bytes));
    expect(messages.map(({ leaderIndex }) => leaderIndex)).toEqual([12, 12, 12]);
    expect(messages.map(({ isTerminal }) => isTerminal)).toEqual([false, false, true]);
    const commands = messages.flatMap((message) => message.commands);
    expect(commands.map(({ leaderIndex, timeMs, type }) => [leaderIndex, timeMs, type])).toEqual([
      [8, 0, PUT],
      [9, 0, DELETE],
      [10, 0, DUMMY],
      [11, 0, PUT_BATCH],
      [12, 0, TXN],
    ]);
    // What is proposed has its index inside, whether or not it came so.
    expect(commands.map(({ command }) => mvcc.Command.decode(command).leaderIndex)).toEqual([
      8n,
      9n,
      10n,
      11n,
      12n,
    ]);
  });

  test('our follower reads what a leader of the seed\u2019s days and what ours sends', () => {
    const [seed] = recordedMessages('replicate-response-seed').map((bytes) => readReplicateMessage(bytes));
    expect(seed).toMatchObject({
      leaderIndex: 0,
      isTerminal: false,
      commands: [{ leaderIndex: 8, timeMs: 0 }],
    });
    const [ours, end] = recordedMessages('replicate-response-ours').map((bytes) =>
      readReplicateMessage(bytes),
    );
    expect(ours!.commands.map(({ leaderIndex, timeMs }) => [leaderIndex, timeMs])).toEqual([
      [8, 1500],
      [300, 0],
    ]);
    expect(end).toMatchObject({ leaderIndex: 300, isTerminal: true, commands: [], error: undefined });
  });

  test.each([
    ['replicate-response-use-snapshot', USE_SNAPSHOT, 12],
    ['replicate-response-leader-behind', LEADER_BEHIND, 5],
  ])('our follower reads %s', (name, error, leaderIndex) => {
    const [message] = recordedMessages(name).map((bytes) => readReplicateMessage(bytes));
    expect(message).toEqual({ leaderIndex, leaderTimeMs: 0, commands: [], error, isTerminal: false });
  });

  test('a sequence of commands is packed as recorded, and read back', () => {
    const [message] = recordedMessages('replicate-response-ours').map((bytes) => readReplicateMessage(bytes));
    // A leader cluster that tells no times; one of ours does, and they are in the sequence too.
    const untimed = message!.commands.map((command) => ({ ...command, timeMs: 0 }));
    expect(encodeSequence(untimed)).toEqual(recordedBytes('sequence'));
    const timed = mvcc.Command.decode(encodeSequence(message!.commands));
    expect(timed.sequence.map(({ timeMs }) => Number(timeMs ?? 0n))).toEqual(
      message!.commands.map(({ timeMs }) => timeMs),
    );
    expect(mvcc.Command.decode(recordedBytes('sequence'))).toEqual(
      mvcc.Command.fromPartial({
        type: SEQUENCE,
        leaderIndex: 300n,
        sequence: [
          { ...putA, leaderIndex: 8n },
          { ...deleteB, leaderIndex: 300n },
        ],
      }),
    );
  });
});

/** Framed snappy as the format's page has it, with a checksum of its own: a second opinion on what ours writes. */
function blocksOf(stream: Buffer): { type: number; checksum: number; body: Buffer }[] {
  const blocks = [];
  for (let at = 0; at < stream.length; ) {
    const end = at + 4 + stream.readUIntLE(at + 1, 3);
    const type = stream[at]!;
    if (type < 0x80) {
      blocks.push({ type, checksum: stream.readUInt32LE(at + 4), body: stream.subarray(at + 8, end) });
    }
    at = end;
  }
  return blocks;
}

function maskedCrc32c(bytes: Buffer): number {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ ((crc & 1) * 0x82f63b78);
  }
  crc = ~crc >>> 0;
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
}

async function* inOrder(chunks: readonly Buffer[]): AsyncGenerator<Buffer> {
  yield* chunks;
}

const chunksOf = (messages: readonly Buffer[]): Buffer[] =>
  messages.map((bytes) => replication.SnapshotChunk.decode(bytes).data);

describe('the snapshot stream', () => {
  test('the recorded chunks say how long they are, and agree to the byte', () => {
    for (const bytes of recordedMessages('snapshot-stream')) {
      const chunk = replication.SnapshotChunk.decode(bytes);
      expect(chunk).toMatchObject({ len: BigInt(chunk.data.length), index: 0n });
      expect(Buffer.from(replication.SnapshotChunk.encode(chunk).finish())).toEqual(bytes);
    }
  });

  test('the recorded stream holds uncompressed, compressed and padding blocks, whose checksums are right', () => {
    const blocks = blocksOf(Buffer.concat(chunksOf(recordedMessages('snapshot-stream'))));
    expect(blocks.map(({ type }) => type)).toEqual([1, 0, 1]);
    for (const { type, checksum, body } of blocks) if (type === 1) expect(maskedCrc32c(body)).toBe(checksum);
  });

  test('our reader takes it, wherever its chunks end', async () => {
    const stream = Buffer.concat(chunksOf(recordedMessages('snapshot-stream')));
    const expected = [
      { table: t, kv: {} },
      { table: t, kv: { key: a, value: text('1'), createRevision: 3n, modRevision: 5n, version: 2n } },
      { kv: { key: c, value: text('x'.repeat(20)) } },
      { table: t, type: DUMMY, leaderIndex: 12n },
    ].map((partial) => mvcc.Command.fromPartial(partial));
    for (const size of [1, 2, 3, 7, 20, stream.length]) {
      const pieces = [];
      for (let at = 0; at < stream.length; at += size) pieces.push(stream.subarray(at, at + size));
      const records = [];
      for await (const some of readSnapshotRecords(inOrder(pieces))) records.push(...some);
      expect(records.map((record) => mvcc.Command.decode(record))).toEqual(expected);
    }
  });

  test('our follower loads it: without the empty key, without a table name, without revisions', async () => {
    const loaded: Buffer[] = [];
    const shard = { load: (records: Buffer[]) => Promise.resolve(void loaded.push(...records)) };
    const clock = { monotonicMs: () => 0 };
    const filler = new ShardFiller(shard as unknown as ShardLoad, clock as never);
    const filled = await filler.fill(inOrder(chunksOf(recordedMessages('snapshot-stream'))));
    expect(filled).toEqual({ keyCount: 2, hasUnstamped: true, leaderIndex: 12 });
    expect(Buffer.concat(loaded).length).toBe(26 + 35);
  });

  test('our leader writes records as recorded, in blocks whose checksums are right', async () => {
    const table = await Table.open({
      directory: new MemoryStoreDirectory(),
      name: 'shard',
      create: true,
      initialIndex: 2,
      writeBufferSizeBytes: 1 << 20,
    });
    const entry = (index: number, kind: CommandKind, payload: Buffer = Buffer.alloc(0)) => ({
      index,
      term: 1,
      timeMs: kind === CommandKind.None ? 0 : index,
      kind,
      payload,
      cursor: undefined,
      wantsResult: false,
    });
    await table.apply([
      entry(3, CommandKind.Command, encoded({ table: t, kv: { key: a, value: text('0') } })),
      entry(4, CommandKind.Command, encoded({ table: t, kv: { key: b, value: text('2') } })),
      entry(5, CommandKind.Command, encoded(putA)),
      ...[6, 7, 8, 9, 10, 11, 12].map((index) => entry(index, CommandKind.None)),
    ]);
    const view = table.view();
    const chunks = [];
    for await (const chunk of writeSnapshot(view, {
      table: t,
      leaderIndex: view.state.appliedIndex,
      repeatsForStockLoader: true,
    })) {
      chunks.push(chunk);
    }
    view.close();
    await table.close();
    const stream = Buffer.concat(chunks);
    const plain = recordedBytes('snapshot-records-ours');
    expect(stream.subarray(0, 10)).toEqual(Buffer.from('ff060000734e61507059', 'hex'));
    expect(new FrameDecompressor().update(stream)).toEqual(plain);
    const [block, ...others] = blocksOf(stream);
    expect(others).toEqual([]);
    expect(block!.checksum).toBe(maskedCrc32c(plain));
  });
});

/**
 * A leader cluster that plays recorded streams: HTTP/2 by Node, no gRPC library, so that every byte of the messages is
 * the recorded one, and every byte that comes is seen.
 */
class RecordedLeader {
  readonly received = new Map<string, Buffer>();
  readonly #answers = new Map<string, Buffer>();
  readonly #server: Http2Server = createServer();

  constructor() {
    this.#server.on('stream', (stream, headers) => this.#serve(stream, String(headers[':path'])));
  }

  answer(path: string, bytes: Buffer): void {
    this.#answers.set(path, bytes);
  }

  async listen(): Promise<string> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async close(): Promise<void> {
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #serve(stream: ServerHttp2Stream, path: string): void {
    const parts: Buffer[] = [];
    stream.on('data', (part: Buffer) => parts.push(part));
    stream.on('end', () => {
      this.received.set(path, Buffer.concat(parts));
      stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
      stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
      // One byte at a time: messages end anywhere in what the network delivers.
      for (const byte of this.#answers.get(path)!) stream.write(Buffer.of(byte));
      stream.end();
    });
  }
}

describe('over a connection, every byte of the messages is the recorded one', () => {
  let leader: RecordedLeader;
  let link: GrpcLeaderLink;

  beforeEach(async () => {
    leader = new RecordedLeader();
    link = new GrpcLeaderLink({
      address: await leader.listen(),
      tls: undefined,
      messageBytesMax: 8 * 1024 * 1024,
      keepaliveTimeMs: 0,
      keepaliveTimeoutMs: 0,
      log: () => undefined,
      clock: { monotonicMs: () => 0 } as never,
    });
  });

  afterEach(async () => {
    link.close();
    await leader.close();
  });

  const call = { deadlineMs: 10_000 };

  async function all<T>(stream: AsyncIterable<T>): Promise<T[]> {
    const messages = [];
    for await (const message of stream) messages.push(message);
    return messages;
  }

  test('Metadata.Get', async () => {
    const path = '/replication.v1.Metadata/Get';
    leader.answer(path, recordedBytes('metadata-response-stock'));
    const response = await link.metadata({ follower: undefined }, call);
    expect(response.tables.map(({ name }) => name)).toEqual(['default', 'own']);
    expect(leader.received.get(path)).toEqual(recordedBytes('metadata-request'));
  });

  test('Log.Replicate', async () => {
    const path = '/replication.v1.Log/Replicate';
    leader.answer(path, recordedBytes('replicate-response-stock'));
    const request = replication.ReplicateRequest.fromPartial({ table: t, leaderIndex: 8n });
    expect(await all(link.replicate(request, call))).toEqual(recordedMessages('replicate-response-stock'));
    expect(leader.received.get(path)).toEqual(recordedBytes('replicate-request-stock'));
  });

  test('Snapshot.Stream', async () => {
    const path = '/replication.v1.Snapshot/Stream';
    leader.answer(path, recordedBytes('snapshot-stream'));
    const request = replication.SnapshotRequest.fromPartial({ table: t });
    const chunks = await all(link.snapshot(request, call));
    expect(chunks.map(({ data }) => data)).toEqual(chunksOf(recordedMessages('snapshot-stream')));
    expect(leader.received.get(path)).toEqual(recordedBytes('snapshot-request-stock'));
  });

  test('forwarded writes and reads', async () => {
    const requests = recordedMessages('kv-requests');
    const [put, deleteRange, txn, range] = requests;
    const [putAnswer, deleteAnswer, txnAnswer, rangeAnswer] = recordedMessages('kv-responses').map(framed);
    leader.answer('/regatta.v1.KV/Put', putAnswer!);
    leader.answer('/regatta.v1.KV/DeleteRange', deleteAnswer!);
    leader.answer('/regatta.v1.KV/Txn', txnAnswer!);
    leader.answer('/regatta.v1.KV/Range', rangeAnswer!);
    const responses = [
      await link.put(regatta.PutRequest.decode(put!), call),
      await link.deleteRange(regatta.DeleteRangeRequest.decode(deleteRange!), call),
      await link.txn(regatta.TxnRequest.decode(txn!), call),
      await link.range(regatta.RangeRequest.decode(range!), call),
    ];
    expect(responses.map(({ header }) => header!.revision)).toEqual([12n, 13n, 14n, 14n]);
    expect([...leader.received.values()]).toEqual(requests.map(framed));
  });
});

function framed(message: Buffer): Buffer<ArrayBuffer> {
  const prefix = Buffer.alloc(5);
  prefix.writeUInt32BE(message.length, 1);
  return Buffer.concat([prefix, message]);
}
