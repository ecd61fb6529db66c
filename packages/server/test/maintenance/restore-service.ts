import { randomBytes } from 'node:crypto';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { META_SHARD } from '@coxswain/node';
import { maintenance, mvcc, regatta, replication } from '@coxswain/protocol';
import { compressToFrames, STREAM_IDENTIFIER } from '@coxswain/stream';
import { turns, until } from '@coxswain/testing';
import { status } from '@grpc/grpc-js';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { OneNode } from '../support/one-node.js';
import { collect, type Failure, failureOf, type Rpc } from '../support/rpc.js';

// Registers the tests of ../maintenance.test.ts.
export function restoreService(): void {
  const { backup, restore, reset } = maintenance.MaintenanceService;
  const { put, range } = regatta.KVService;
  const { PUT, DELETE, DUMMY, SEQUENCE } = mvcc.Command_CommandType;
  const authorized = { metadata: { authorization: 'Bearer s3cret' } };
  const end = Buffer.from([0]);

  let node: OneNode;
  let rpc: Rpc;

  beforeAll(async () => {
    node = await OneNode.start({ 'tables.names': 'served', 'maintenance.token': 's3cret' });
    rpc = node.rpc();
    await rpc.call(put, { table: Buffer.from('served'), key: Buffer.from('old'), value: Buffer.from('old') });
  });

  afterAll(async () => {
    rpc.close();
    await node.stop();
  });

  // ---- streams

  function record(command: mvcc.Command): Buffer {
    const bytes = Buffer.from(mvcc.Command.encode(command).finish());
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(bytes.length));
    return Buffer.concat([length, bytes]);
  }

  const command = (type: mvcc.Command_CommandType, more: Partial<mvcc.Command> = {}): mvcc.Command =>
    mvcc.Command.fromPartial({ type, ...more });

  const putOf = (
    key: string | Buffer,
    value: string | Buffer,
    more: Partial<mvcc.KeyValue> = {},
  ): mvcc.Command =>
    command(PUT, {
      kv: mvcc.KeyValue.fromPartial({ key: Buffer.from(key), value: Buffer.from(value), ...more }),
    });

  const framed = (...commands: mvcc.Command[]): Buffer =>
    Buffer.concat([STREAM_IDENTIFIER, compressToFrames(Buffer.concat(commands.map(record)))]);

  const infoOf = (table: string, sizeBytes = 0): maintenance.RestoreMessage => ({
    data: {
      $case: 'info',
      value: { table: Buffer.from(table), baseRevision: 0n, sizeBytes: BigInt(sizeBytes) },
    },
  });

  const chunkOf = (data: Buffer): maintenance.RestoreMessage => ({
    data: {
      $case: 'chunk',
      value: replication.SnapshotChunk.fromPartial({ data, len: BigInt(data.length) }),
    },
  });

  /** A stream in pieces of a size. */
  function messagesOf(table: string, stream: Buffer, pieceBytes = 1 << 20): maintenance.RestoreMessage[] {
    const messages = [infoOf(table)];
    for (let at = 0; at < stream.length; at += pieceBytes) {
      messages.push(chunkOf(stream.subarray(at, at + pieceBytes)));
    }
    return messages;
  }

  const restored = (
    table: string,
    stream: Buffer,
    pieceBytes?: number,
  ): Promise<maintenance.RestoreResponse> =>
    rpc.upload(restore, messagesOf(table, stream, pieceBytes), authorized);

  // ---- tables

  async function pairsOf(table: string): Promise<mvcc.KeyValue[]> {
    const { kvs } = await rpc.call(range, {
      table: Buffer.from(table),
      key: end,
      rangeEnd: end,
      linearizable: true,
    });
    return kvs;
  }

  const contentOf = async (table: string): Promise<string[]> =>
    (await pairsOf(table)).map(({ key, value, version }) => `${key}=${value}/${version}`);

  const directories = (of: Pick<OneNode, 'directory'> = node): string[] =>
    readdirSync(join(of.directory, 'tables'))
      .filter((name) => name.startsWith('shard-'))
      .sort();

  /** Resolves when every shard that has a directory is a table's. */
  async function untilNoLitter(of = node, client = rpc): Promise<void> {
    await until("every shard on the disk is a table's", async () => {
      const { tables } = await client.call(regatta.ClusterService.status, {});
      const shards = [META_SHARD, ...[...tables.values()].map(({ shardId }) => shardId)];
      const expected = shards.map((shardId) => `shard-${shardId}`).sort();
      return directories(of).join() === expected.join();
    });
  }

  /** Resolves when a restore has begun to fill a shard. */
  async function untilBegun(before: readonly string[], of = node): Promise<void> {
    await until('a restore fills a shard', () => directories(of).some((name) => !before.includes(name)));
  }

  const servedAsBefore = ['old=old/1'];

  describe('Restore', () => {
    test('makes the table, each key stamped anew (T3), and answers what it is now', async () => {
      const stream = framed(
        putOf('a', '1', { createRevision: 5n, modRevision: 77n, version: 9n }),
        putOf(Buffer.from([0]), Buffer.alloc(0)),
      );
      expect(await failureOf(restored('disordered', stream))).toMatchObject({
        code: status.INVALID_ARGUMENT,
      });
      const { shardId, revision, keyCount } = await restored(
        'made',
        framed(putOf(Buffer.from([0]), Buffer.alloc(0)), putOf('a', '1', { modRevision: 77n, version: 9n })),
      );
      const { header, kvs } = await rpc.call(range, {
        table: Buffer.from('made'),
        key: end,
        rangeEnd: end,
        linearizable: true,
      });
      expect(header).toMatchObject({ shardId, revision });
      expect(keyCount).toBe(2n);
      expect(kvs.map(({ key, value, version }) => [key.toString('hex'), value.toString(), version])).toEqual([
        ['00', '', 1n],
        ['61', '1', 1n],
      ]);
      expect(kvs.every(({ modRevision, createRevision }) => modRevision === createRevision)).toBe(true);
    });

    test('takes what Backup gives, in pieces of any size, and an empty table by the header of its stream', async () => {
      const table = Buffer.from('source');
      await node.createTable(rpc, 'source');
      for (let i = 0; i < 60; i++) {
        const key = Buffer.from(`k${String(i).padStart(3, '0')}`);
        await rpc.call(put, { table, key, value: Buffer.alloc(i * 100, `${i} `) });
      }
      const chunks = await collect(rpc.stream(backup, { table }, authorized));
      const stream = Buffer.concat(chunks.map(({ data }) => data));
      const expected = await contentOf('source');
      for (const pieceBytes of [97, 9_973, 2 * 1024 * 1024]) {
        const { keyCount } = await restored('copy', stream, pieceBytes);
        expect(keyCount).toBe(60n);
        expect(await contentOf('copy')).toEqual(expected);
      }
      expect((await restored('copy', STREAM_IDENTIFIER)).keyCount).toBe(0n);
      expect(await contentOf('copy')).toEqual([]);
    });

    test('replaces a table in one step, above all revisions that it had (T1)', async () => {
      const table = Buffer.from('replaced');
      await node.createTable(rpc, 'replaced');
      const { header } = await rpc.call(put, { table, key: Buffer.from('before'), value: Buffer.from('1') });
      const { shardId, revision } = await rpc.upload(
        restore,
        (async function* () {
          const [info, ...chunks] = messagesOf('replaced', framed(putOf('after', '2')), 10);
          yield info!;
          yield chunks[0]!;
          // The old shard takes writes until all has come; they are no part of the backup.
          await rpc.call(put, { table, key: Buffer.from('meanwhile'), value: Buffer.from('1') });
          expect(await contentOf('replaced')).toEqual(['before=1/1', 'meanwhile=1/1']);
          yield* chunks.slice(1);
        })(),
        authorized,
      );
      expect(await contentOf('replaced')).toEqual(['after=2/1']);
      expect(shardId).not.toBe(header!.shardId);
      expect(revision).toBeGreaterThan(header!.revision + 1_000_000_000n);
      await untilNoLitter();
    });

    test('runs the commands again that stand behind a DUMMY, in order', async () => {
      const remove = command(DELETE, { kv: mvcc.KeyValue.fromPartial({ key: Buffer.from('b') }) });
      const first = framed(putOf('a', '1'), putOf('b', '1'));
      const second = framed(
        command(DUMMY),
        command(SEQUENCE, { sequence: [putOf('c', '1'), command(DUMMY), remove], leaderIndex: 12n }),
        putOf('c', '2', {}),
      );
      const third = framed(
        command(DUMMY),
        ...Array.from({ length: 3 }, (_, i) => putOf('large', Buffer.alloc(300_000, `${i}`))),
      );
      const { keyCount } = await restored('again', Buffer.concat([first, second, third]));
      expect(keyCount).toBe(3n);
      expect(
        (await pairsOf('again')).map(({ key, value, version }) => [
          `${key}`,
          `${value.subarray(0, 1)}`,
          version,
        ]),
      ).toEqual([
        ['a', '1', 1n],
        ['c', '2', 2n],
        ['large', '2', 3n],
      ]);
    });

    test('of two at a time the later one holds, and the other one is told', async () => {
      let began = (): void => undefined;
      const hasBegun = new Promise<void>((resolve) => {
        began = resolve;
      });
      let goOn = (): void => undefined;
      const mayGoOn = new Promise<void>((resolve) => {
        goOn = resolve;
      });
      const before = directories();
      const first = failureOf(
        rpc.upload(
          restore,
          (async function* () {
            yield infoOf('twice');
            began();
            await mayGoOn;
            yield chunkOf(framed(putOf('a', 'first')));
          })(),
          authorized,
        ),
      );
      await hasBegun;
      await untilBegun(before);
      await restored('twice', framed(putOf('a', 'second')));
      goOn();
      expect((await first).code).toBe(status.FAILED_PRECONDITION);
      expect((await first).details).toContain('came first');
      expect(await contentOf('twice')).toEqual(['a=second/1']);
    });
  });

  describe('an upload that cannot be restored leaves the table as it is, and nothing else', () => {
    const whole = framed(
      ...Array.from({ length: 100 }, (_, i) => putOf(`k${100 + i}`, Buffer.alloc(100, `${i}`))),
    );
    const flipped = (at: number): Buffer => {
      const copy = Buffer.from(whole);
      copy[at]! ^= 1;
      return copy;
    };
    const damaged = (detail: string): Failure => ({
      code: status.INVALID_ARGUMENT,
      details: `the backup is damaged, and nothing was changed by it: ${detail}: restore from another copy`,
    });
    const invalid = (details: string): Failure => ({ code: status.INVALID_ARGUMENT, details });

    const withoutSnapshot: Failure = {
      code: status.INVALID_ARGUMENT,
      details:
        'a restore without a snapshot is refused: send the backup in chunks after the info; one of an empty table has at least the header of its stream',
    };

    const cases: [what: string, messages: maintenance.RestoreMessage[], failure: Failure][] = [
      ['that is empty', [], invalid('first message should contain info')],
      ['that begins with a chunk', [chunkOf(whole)], invalid('first message should contain info')],
      ['that begins with nothing', [{ data: undefined }], invalid('first message should contain info')],
      ['with a second info', [infoOf('served'), infoOf('served')], invalid('chunk expected')],
      [
        'with nothing behind chunks',
        [...messagesOf('served', whole), { data: undefined }],
        invalid('chunk expected'),
      ],
      ['without a snapshot', [infoOf('served')], withoutSnapshot],
      ['without a snapshot of a table that is not there', [infoOf('absent')], withoutSnapshot],
      ['whose chunks are all empty', [infoOf('served'), chunkOf(Buffer.alloc(0))], withoutSnapshot],
      [
        'that is cut within the header of its stream',
        [infoOf('served'), chunkOf(STREAM_IDENTIFIER.subarray(0, 7))],
        damaged('it cannot be decompressed'),
      ],
      [
        'that names no table',
        [infoOf(''), chunkOf(whole)],
        { code: status.INVALID_ARGUMENT, details: 'table must be set' },
      ],
      [
        'that names what no table may be called',
        [infoOf('a/b')],
        {
          code: status.INVALID_ARGUMENT,
          details: 'name must be 1 to 255 bytes of UTF-8 without "/", NUL or control characters',
        },
      ],
      [
        'that is no snappy',
        messagesOf('served', Buffer.from('key\tvalue\n'.repeat(9))),
        damaged('it cannot be decompressed'),
      ],
      [
        'with a bit flipped',
        messagesOf('served', flipped(whole.length >> 1)),
        damaged('it cannot be decompressed'),
      ],
      [
        'that is cut',
        messagesOf('served', whole.subarray(0, whole.length - 1)),
        damaged('it cannot be decompressed'),
      ],
      [
        'that is cut within a record',
        messagesOf(
          'served',
          Buffer.concat([STREAM_IDENTIFIER, compressToFrames(record(putOf('a', '1')).subarray(0, 9))]),
        ),
        damaged('it ends within a record'),
      ],
      [
        'that is shorter than it was announced',
        [infoOf('served', whole.length + 1), chunkOf(whole)],
        damaged(`it has ${whole.length} bytes, and not the ${whole.length + 1} that were announced`),
      ],
      [
        'with keys in disorder',
        messagesOf('served', framed(putOf('b', '1'), putOf('a', '1'))),
        damaged('its keys are not in order'),
      ],
      [
        'with commands where pairs should be',
        messagesOf(
          'served',
          framed(command(DELETE, { kv: mvcc.KeyValue.fromPartial({ key: Buffer.from('a') }) })),
        ),
        damaged('it holds a command of type 1'),
      ],
      [
        'with a command that nobody knows',
        messagesOf(
          'served',
          framed(putOf('a', '1'), command(DUMMY), command(99 as mvcc.Command_CommandType)),
        ),
        damaged('a command is of type 99, which this release does not know (it knows types 0 to 7)'),
      ],
    ];

    test.each(cases)('%s', async (_what, messages, failure) => {
      expect(await failureOf(rpc.upload(restore, messages, authorized))).toEqual(failure);
      expect(await contentOf('served')).toEqual(servedAsBefore);
      await untilNoLitter();
    });

    test('that is broken off, or takes longer than its caller waits', async () => {
      const before = directories();
      const begins = async function* (then: () => Promise<void>): AsyncGenerator<maintenance.RestoreMessage> {
        yield* messagesOf('served', whole);
        await untilBegun(before);
        await then();
      };
      const brokenOff = begins(() => Promise.reject(new Error('the client was killed')));
      await expect(rpc.upload(restore, brokenOff, authorized)).rejects.toThrow('the client was killed');
      await untilNoLitter();
      // Longer each time, until the caller's time passes when the upload has begun and not before, however slow the machine.
      let hasBegun = false;
      for (let timeoutMs = 500; !hasBegun; timeoutMs *= 2) {
        const late = async function* (): AsyncGenerator<maintenance.RestoreMessage> {
          const overMs = performance.now() + timeoutMs;
          yield* messagesOf('served', whole);
          while (!hasBegun && performance.now() < overMs) {
            await turns(1);
            hasBegun = directories().some((name) => !before.includes(name));
          }
          // Time itself is what is tested: the caller's is over by then.
          await new Promise((resolve) => setTimeout(resolve, timeoutMs));
        };
        const { code } = await failureOf(rpc.upload(restore, late(), { ...authorized, timeoutMs }));
        // Its time passed while it began: nothing was changed.
        if (code === status.UNAVAILABLE) hasBegun = false;
        else if (hasBegun) expect(code).toBe(status.DEADLINE_EXCEEDED);
        await untilNoLitter();
      }
      expect(await contentOf('served')).toEqual(servedAsBefore);
      await untilNoLitter();
    });

    test('from nobody without the token', async () => {
      const wrong = { metadata: { authorization: 'Bearer wrong' } };
      expect(await failureOf(rpc.upload(restore, messagesOf('served', whole), wrong))).toEqual({
        code: status.UNAUTHENTICATED,
        details: 'Invalid token',
      });
      expect(await contentOf('served')).toEqual(servedAsBefore);
    });

    test('beyond a few at a time', async () => {
      const leave = new AbortController();
      const gone = new Promise<never>((_, reject) => {
        leave.signal.addEventListener('abort', () => reject(new Error('left')));
      });
      gone.catch(() => undefined);
      const clients = Array.from({ length: 8 }, (_, place) =>
        rpc.upload(
          restore,
          (async function* () {
            yield infoOf(`busy-${place}`);
            await gone;
          })(),
          authorized,
        ),
      );
      const ended = Promise.allSettled(clients);
      let failure: Failure;
      do failure = await failureOf(rpc.upload(restore, [], authorized));
      while (failure.code !== status.UNAVAILABLE);
      expect(failure.details).toBe('system is too busy try again later');
      leave.abort();
      await ended;
      while ((await failureOf(rpc.upload(restore, [], authorized))).code === status.UNAVAILABLE);
    });
  });

  test('is told in the metrics', async () => {
    let text: string;
    do text = (await node.get('/metrics')).text;
    while (!/^coxswain_restores_under_way 0$/m.test(text));
    expect(text).toMatch(/^coxswain_restores_total\{outcome="succeeded"\} [1-9]/m);
    expect(text).toMatch(/^coxswain_restores_total\{outcome="failed"\} [1-9]/m);
    expect(text).toMatch(/^coxswain_restore_keys_total [1-9]/m);
    expect(text).toMatch(/^coxswain_backup_bytes_total [1-9]/m);
  });

  test('both are held to the rate that is configured', async () => {
    const bytesPerSecond = 100_000;
    const one = await OneNode.start({
      'tables.names': 'served',
      'maintenance.backup-bytes-per-second': String(bytesPerSecond),
      'maintenance.restore-bytes-per-second': String(bytesPerSecond),
    });
    const client = one.rpc();
    const stream = framed(
      putOf('a', randomBytes(bytesPerSecond / 4)),
      putOf('b', randomBytes(bytesPerSecond / 4)),
    );
    const secondsOf = async (work: () => Promise<unknown>): Promise<number> => {
      const beganAtMs = performance.now();
      await work();
      return (performance.now() - beganAtMs) / 1000;
    };
    const table = Buffer.from('served');
    // Half a second's worth, less what timers and clocks may differ by.
    const least = 0.45;
    expect(
      await secondsOf(() => client.upload(restore, messagesOf('served', stream, 10_000))),
    ).toBeGreaterThan(least);
    expect(await secondsOf(() => collect(client.stream(backup, { table })))).toBeGreaterThan(least);
    client.close();
    await one.stop();
  });

  test('a node that stops in the middle leaves nothing behind', async () => {
    const one = await OneNode.start({ 'tables.names': 'served' });
    const client = one.rpc();
    const before = directories(one);
    let ended: Promise<void> = Promise.resolve();
    const upload = client.upload(
      restore,
      (async function* () {
        yield* messagesOf('served', framed(putOf('a', '1')));
        await untilBegun(before, one);
        ended = one.server.stop();
        throw new Error('the client leaves');
      })(),
    );
    await expect(upload).rejects.toThrow('the client leaves');
    await ended;
    client.close();
    const again = await OneNode.start({ 'data-dir': one.directory });
    const other = again.rpc();
    await untilNoLitter(one, other);
    other.close();
    await again.stop();
    await one.stop();
  });

  test('a follower cluster serves neither backups nor restores, and a leader cluster no resets', async () => {
    const follower = await OneNode.start(
      { 'replication.leader-address': '127.0.0.1:1' },
      { role: 'follower', waitsUntilReady: false },
    );
    const client = follower.rpc();
    const begin = async (): Promise<Failure> => {
      for (;;) {
        const failure = await failureOf(client.upload(restore, messagesOf('t', STREAM_IDENTIFIER)));
        // Until it knows what its cluster is.
        if (failure.code !== status.UNAVAILABLE) return failure;
      }
    };
    expect(await begin()).toEqual({ code: status.UNIMPLEMENTED, details: 'method Restore not implemented' });
    expect(await failureOf(collect(client.stream(backup, { table: Buffer.from('t') })))).toEqual({
      code: status.UNIMPLEMENTED,
      details: 'method Backup not implemented',
    });
    client.close();
    await follower.stop();
    expect(await rpc.failure(reset, { resetAll: true }, authorized)).toEqual({
      code: status.UNIMPLEMENTED,
      details: 'method Reset not implemented',
    });
  });
}
