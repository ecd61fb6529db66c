import { randomBytes } from 'node:crypto';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { maintenance, mvcc, regatta, replication } from '@coxswain/protocol';
import { FrameDecompressor, readSnapshotRecords, STREAM_IDENTIFIER } from '@coxswain/stream';
import { until } from '@coxswain/testing';
import { status } from '@grpc/grpc-js';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { OneNode } from '../support/one-node.js';
import { collect, type Failure, type Rpc } from '../support/rpc.js';

// Registers the tests of ../maintenance.test.ts.
export function backupService(): void {
  const { backup, restore } = maintenance.MaintenanceService;
  const { put, deleteRange } = regatta.KVService;
  const large = Buffer.from('large');
  /** Beyond what a stock loader takes before it drops a record. */
  const largePairs = 40;

  let node: OneNode;
  let rpc: Rpc;

  beforeAll(async () => {
    node = await OneNode.start({ 'tables.names': 'large,empty', 'maintenance.token': 's3cret' });
    rpc = node.rpc();
    for (let i = 0; i < largePairs; i++) {
      await rpc.call(put, { table: large, key: keyOf(i), value: Buffer.alloc(100_000, `${i} `) });
    }
  });

  afterAll(async () => {
    rpc.close();
    await node.stop();
  });

  const authorized = { metadata: { authorization: 'Bearer s3cret' } };
  const keyOf = (place: number): Buffer => Buffer.from(`k${String(place).padStart(3, '0')}`);

  function chunksOf(request: Partial<maintenance.BackupRequest>): Promise<replication.SnapshotChunk[]> {
    return collect(rpc.stream(backup, request, authorized));
  }

  async function failureOf(
    request: Partial<maintenance.BackupRequest>,
    options = authorized,
  ): Promise<Failure> {
    try {
      await collect(rpc.stream(backup, request, options));
    } catch (error) {
      const { code, details } = error as Failure;
      return { code, details };
    }
    throw new Error('the call succeeded');
  }

  function plainOf(chunks: readonly replication.SnapshotChunk[]): Buffer {
    const decompressor = new FrameDecompressor();
    const plain = chunks.map(({ data }) => decompressor.update(data));
    decompressor.end();
    return Buffer.concat(plain);
  }

  async function commandsOf(chunks: readonly replication.SnapshotChunk[]): Promise<mvcc.Command[]> {
    const commands: mvcc.Command[] = [];
    const data = (async function* () {
      for (const chunk of chunks) yield chunk.data;
    })();
    for await (const records of readSnapshotRecords(data)) {
      for (const record of records) commands.push(mvcc.Command.decode(record));
    }
    return commands;
  }

  describe('Backup', () => {
    test('is every pair in key order, as PUTs, without a DUMMY behind them', async () => {
      const chunks = await chunksOf({ table: large });
      const commands = await commandsOf(chunks);
      expect(
        commands.every(({ type, table }) => type === mvcc.Command_CommandType.PUT && table.equals(large)),
      ).toBe(true);
      const keys = commands.map(({ kv }) => kv!.key.toString());
      expect([...new Set(keys)]).toEqual(
        Array.from({ length: largePairs }, (_, place) => keyOf(place).toString()),
      );
      // A stock loader drops the record that brings its sum to 3 MiB.
      expect(keys).toHaveLength(largePairs + 1);
      expect(chunks.every(({ data, len }) => Number(len) === data.length && data.length <= 1024 * 1024)).toBe(
        true,
      );
    });

    test('tells on its first chunk what it is of, and on others how far it is', async () => {
      const { header } = await rpc.call(put, {
        table: large,
        key: keyOf(0),
        value: Buffer.alloc(100_000, 'new'),
      });
      const [first, ...others] = await chunksOf({ table: large });
      expect(first!.point).toMatchObject({
        shardId: header!.shardId,
        revision: header!.revision,
        keyCount: BigInt(largePairs),
        clusterId: expect.stringMatching(/^[0-9a-f]{32}$/),
      });
      expect(Number(first!.point!.timeMs)).toBeGreaterThan(Date.now() - 600_000);
      expect(others.every(({ point }) => point === undefined)).toBe(true);
      expect(others.at(-1)).toMatchObject({ lastKey: keyOf(largePairs - 1), keyCount: BigInt(largePairs) });
    });

    test('of an empty table is a bare snappy header', async () => {
      const chunks = await chunksOf({ table: Buffer.from('empty') });
      expect(Buffer.concat(chunks.map(({ data }) => data)).toString('latin1')).toBe('\xff\x06\x00\x00sNaPpY');
      expect(chunks[0]!.point!.keyCount).toBe(0n);
    });

    test('goes on behind any place, as it would have, whatever was written since', async () => {
      const whole = await chunksOf({ table: large });
      const { revision, shardId } = whole[0]!.point!;
      await rpc.call(put, { table: large, key: keyOf(30), value: Buffer.from('later') });
      await rpc.call(put, { table: large, key: Buffer.from('k0301'), value: Buffer.from('later') });
      await rpc.call(deleteRange, { table: large, key: keyOf(35) });
      const places = whole.flatMap(({ lastKey }, place) => (lastKey.length === 0 ? [] : [place]));
      expect(places.length).toBeGreaterThan(3);
      for (const place of places) {
        const { lastKey: afterKey, recordBytes } = whole[place]!;
        const rest = await chunksOf({ table: large, revision, shardId, afterKey, recordBytes });
        expect(plainOf([...whole.slice(0, place + 1), ...rest]).equals(plainOf(whole))).toBe(true);
      }
    });

    test('cannot go on in another shard, or at a revision that is not there', async () => {
      const { revision, shardId } = (await chunksOf({ table: large }))[0]!.point!;
      const afterKey = keyOf(3);
      expect(await failureOf({ table: large, revision, shardId: shardId + 1n, afterKey })).toEqual({
        code: status.FAILED_PRECONDITION,
        details: 'the table was replaced since the backup began: back it up anew',
      });
      expect((await failureOf({ table: large, revision: revision + 1n, shardId, afterKey })).code).toBe(
        status.OUT_OF_RANGE,
      );
    });

    test('is given back to nobody without the token, of no unknown table, and of no table', async () => {
      expect(await failureOf({ table: large }, { metadata: { authorization: 'Bearer wrong' } })).toEqual({
        code: status.UNAUTHENTICATED,
        details: 'Invalid token',
      });
      expect(await failureOf({ table: Buffer.from('nowhere') })).toEqual({
        code: status.NOT_FOUND,
        details: 'table not found',
      });
      expect(await failureOf({})).toEqual({ code: status.INVALID_ARGUMENT, details: 'table must be set' });
    });

    test('is sent to a few at a time, and one that leaves makes room', async () => {
      const streams = Array.from({ length: 8 }, () => rpc.stream(backup, { table: large }, authorized));
      for (const stream of streams) await new Promise((resolve) => stream.once('readable', resolve));
      expect(await failureOf({ table: large })).toEqual({
        code: status.UNAVAILABLE,
        details: 'system is too busy try again later',
      });
      for (const stream of streams) {
        stream.on('error', () => undefined);
        stream.cancel();
      }
      for (;;) {
        const outcome = await chunksOf({ table: large }).then(
          () => 'served',
          ({ code }: Failure) => code,
        );
        if (outcome === 'served') break;
        expect(outcome).toBe(status.UNAVAILABLE);
      }
    });

    test('of a table that is replaced meanwhile goes on to its end', async () => {
      const shards = (): string[] => readdirSync(join(node.directory, 'tables'));
      const replace = async (table: Buffer): Promise<void> => {
        const info = maintenance.RestoreInfo.fromPartial({ table });
        const empty = replication.SnapshotChunk.fromPartial({ data: STREAM_IDENTIFIER });
        const messages: maintenance.RestoreMessage[] = [
          { data: { $case: 'info', value: info } },
          { data: { $case: 'chunk', value: empty } },
        ];
        await rpc.upload(restore, messages, authorized);
      };
      const random = Buffer.from('random');
      const shardId = await node.createTable(rpc, 'random');
      // So much that no buffer on the way holds it.
      for (let i = 0; i < 10; i++) {
        await rpc.call(put, { table: random, key: keyOf(i), value: randomBytes(1_000_000) });
      }
      const { shardId: emptyId } = (await chunksOf({ table: Buffer.from('empty') }))[0]!.point!;
      const stream = rpc.stream(backup, { table: random }, authorized);
      await new Promise((resolve) => stream.once('readable', resolve));
      await replace(random);
      await replace(Buffer.from('empty'));
      // Of two shards without a table that one goes which nobody reads.
      await until('the empty shard is removed', () => !shards().includes(`shard-${emptyId}`));
      expect(shards()).toContain(`shard-${shardId}`);
      const keys = (await commandsOf(await collect(stream))).map(({ kv }) => kv!.key.toString());
      expect(new Set(keys).size).toBe(10);
      await until('the shard that was read is removed', () => !shards().includes(`shard-${shardId}`));
      expect(await commandsOf(await chunksOf({ table: random }))).toEqual([]);
    });
  });
}
