import { gzipSync } from 'node:zlib';
import {
  type ArchivedShard,
  ArchiveError,
  encodeGap,
  LogObjectWriter,
  MemoryObjectStore,
} from '@coxswain/archive';
import { mvcc } from '@coxswain/protocol';
import { FrameDecompressor, STREAM_IDENTIFIER } from '@coxswain/stream';
import { beforeEach, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { BinlogBackupReader, type LogStart } from '../../src/moco/binlog-backup-reader.js';

const CLUSTER = 'c1';
const shard = (shardId: number, table: string, firstIndex = 1, clusterId = CLUSTER): ArchivedShard => ({
  clusterId,
  shardId,
  table,
  firstIndex,
});
const users = shard(10_001, 'users');

let store: MemoryObjectStore;

beforeEach(() => {
  store = new MemoryObjectStore();
});

/** An object of the archive; each entry puts its own index, every third is internal. */
async function log(of: ArchivedShard, first: number, last: number): Promise<Buffer> {
  const writer = new LogObjectWriter(of);
  for (let index = first; index <= last; index++) {
    const key = Buffer.from(`${of.table}/${index}`);
    const command = mvcc.Command.fromPartial({ kv: mvcc.KeyValue.fromPartial({ key }) });
    const bytes = index % 3 === 0 ? Buffer.alloc(0) : Buffer.from(mvcc.Command.encode(command).finish());
    writer.add({ index, term: 1, timeMs: index % 3 === 0 ? 0 : index, command: bytes });
  }
  return (await writer.finish()).content;
}

const pruned = (of: ArchivedShard, first: number, last: number): Buffer => {
  const { clusterId, shardId } = of;
  return Buffer.from(`${JSON.stringify({ format: 1, gap: 'pruned', clusterId, shardId, first, last })}\n`);
};

/** A backup as FlushAndBackupBinlog makes it. */
function backup(id: string, ...contents: readonly Buffer[]): void {
  const names = contents.map((content, place) => {
    const name = `${id}-${String(place).padStart(6, '0')}`;
    store.objects.set(name, gzipSync(content));
    return name;
  });
  store.objects.set(id, Buffer.from(names.join('\n')));
}

const open = (...ids: string[]) => BinlogBackupReader.open(store, ids);

/** The keys that a restore would put, in order. */
async function keysOf(reader: BinlogBackupReader, table: string, after?: LogStart): Promise<string[]> {
  const decompressor = new FrameDecompressor();
  const plain: Buffer[] = [decompressor.update(STREAM_IDENTIFIER)];
  for await (const bytes of reader.stream(reader.log(table, after)!)) plain.push(decompressor.update(bytes));
  decompressor.end();
  const bytes = Buffer.concat(plain);
  const keys: string[] = [];
  for (let at = 0; at < bytes.length; ) {
    const end = at + 8 + Number(bytes.readBigUInt64LE(at));
    const { type, kv } = mvcc.Command.decode(bytes.subarray(at + 8, end));
    keys.push(type === mvcc.Command_CommandType.DUMMY ? 'DUMMY' : kv!.key.toString());
    at = end;
  }
  return keys;
}

/** The stream of a log that continues a full backup: commands to replay. */
const replayed = (table: string, ...indices: number[]): string[] => [
  'DUMMY',
  ...indices.map((i) => `${table}/${i}`),
];

/** The stream of a log that makes the whole table, of commands that only write: pairs to load, in the order of their keys. */
const loaded = (table: string, ...indices: number[]): string[] => [
  ...indices.map((i) => `${table}/${i}`).sort(),
  'DUMMY',
];

describe('some backups, in their order', () => {
  test('make each table once, whatever is in two of them', async () => {
    const orders = shard(10_002, 'orders');
    backup('mon', await log(users, 1, 5), await log(users, 4, 8), await log(orders, 1, 2));
    backup('tue', await log(users, 8, 8), await log(users, 9, 10));
    backup('wed');
    const reader = await open('mon', 'tue', 'wed');
    expect(reader.tables).toEqual(['orders', 'users']);
    expect(reader.log('users')).toMatchObject({ isWhole: true, first: 1, last: 10, shard: users });
    expect(await keysOf(reader, 'users')).toEqual(loaded('users', 1, 2, 4, 5, 7, 8, 10));
    expect(await keysOf(reader, 'orders')).toEqual(loaded('orders', 1, 2));
    expect(reader.log('nobody')).toBeUndefined();
  });

  test('go on after a full backup of the same shard, also from the middle of an object', async () => {
    backup('tue', await log(users, 5, 8), await log(users, 9, 11));
    const reader = await open('tue');
    expect(() => reader.log('users')).toThrow(
      /its log begins with revision 5 of shard 10001, which is not its first/,
    );
    const moment = (revision: number) => ({ shardId: 10_001, revision });
    expect(reader.log('users', moment(6))).toMatchObject({ isWhole: false, first: 7, last: 11 });
    expect(await keysOf(reader, 'users', moment(6))).toEqual(replayed('users', 7, 8, 10, 11));
    expect(await keysOf(reader, 'users', moment(11))).toEqual(['DUMMY']);
    expect(() => reader.log('users', moment(3))).toThrow('entry 4 cannot be had');
  });

  test('take the shard that had the name last, and never mix two', async () => {
    const filled = shard(10_007, 'users', 0);
    const again = shard(10_009, 'users', 1_000_000_012);
    backup('mon', await log(users, 1, 5), await log(filled, 1_000_000_008, 1_000_000_009));
    const reader = await open('mon');
    // It was filled by a restore: what it began with is in no log.
    expect(() => reader.log('users')).toThrow(/of shard 10007, which is not its first/);
    expect(() => reader.log('users', { shardId: 10_001, revision: 2 })).toThrow(/of shard 10007/);
    expect(reader.log('users', { shardId: 10_007, revision: 1_000_000_008 })).toMatchObject({
      isWhole: false,
    });
    backup('tue', await log(again, 1_000_000_012, 1_000_000_013));
    const later = await open('mon', 'tue');
    expect(later.log('users')).toMatchObject({ isWhole: true, first: 1_000_000_012, shard: again });
    // The full backup is of a shard that took the name later still.
    expect(later.log('users', { shardId: 10_011, revision: 3 })).toBeUndefined();
  });

  test('of several clusters are not mixed either', async () => {
    // Whichever is read first.
    backup('mon', await log(shard(10_001, 'users', 1, 'c2'), 6, 9), await log(users, 1, 5));
    const reader = await open('mon');
    expect(() => reader.log('users')).toThrow(
      /several clusters archived a table "users": name one of c1, c2/,
    );
  });

  test.each([
    [
      'a backup that was left out',
      () => undefined,
      'entries 6 to 9 cannot be had: give the backups between these',
    ],
    ['what was pruned', () => pruned(users, 6, 9), 'entries 6 to 9 cannot be had: no backup took them'],
    [
      'a gap of the archive',
      () => encodeGap({ ...users, first: 6, last: 9, timeMs: 1 }),
      'entries 6 to 9 cannot be had: no backup took them',
    ],
  ])('never cross a hole: %s', async (_what, mark, text) => {
    const marked = mark();
    backup(
      'mon',
      await log(users, 1, 5),
      ...(marked === undefined ? [] : [marked]),
      await log(users, 10, 12),
    );
    const reader = await open('mon');
    expect(() => reader.log('users')).toThrow(text);
    // What comes after a full backup that was made later is whole.
    expect(await keysOf(reader, 'users', { shardId: 10_001, revision: 10 })).toEqual(replayed('users', 11));
  });

  test('never end before what is known to be missing', async () => {
    backup('mon', await log(users, 1, 5), pruned(users, 6, 9));
    const reader = await open('mon');
    expect(() => reader.log('users')).toThrow('entries 6 to 9 cannot be had: no backup took them');
    expect(reader.log('users', { shardId: 10_001, revision: 9 })).toMatchObject({ first: 10, last: 9 });
  });
});

describe('what is no backup, or is not as it was stored', () => {
  const codeOf = async (work: () => Promise<unknown>): Promise<string> => {
    try {
      await work();
    } catch (error) {
      if (error instanceof ArchiveError) return error.code;
      throw error;
    }
    return 'nothing';
  };

  test('has no list, since that is stored last', async () => {
    backup('mon', await log(users, 1, 5));
    store.objects.delete('mon');
    await expect(open('mon')).rejects.toThrow('there is no backup "mon", or it was not finished');
    await expect(open('../mon')).rejects.toThrow('there is no backup "../mon"');
  });

  test.each(['mon-000001', 'tue-000000', 'mon-000000\nmon-000002', 'mon-000000\n', '{}'])(
    'has a list of something else: %j',
    async (list) => {
      backup('mon', await log(users, 1, 5));
      store.objects.set('mon', Buffer.from(list));
      expect(await codeOf(() => open('mon'))).toBe('objectDamaged');
    },
  );

  test('lacks an object', async () => {
    backup('mon', await log(users, 1, 5), await log(users, 6, 7));
    store.objects.delete('mon-000001');
    expect(await codeOf(() => open('mon'))).toBe('objectMissing');
  });

  test('is anything else, byte by byte: an ArchiveError, and never another table', async () => {
    const whole = gzipSync(await log(users, 1, 30));
    const expected = loaded(
      'users',
      ...Array.from({ length: 30 }, (_, i) => i + 1).filter((i) => i % 3 !== 0),
    );
    const damages = fc.oneof(
      fc.record({ at: fc.nat(whole.length - 1), xor: fc.integer({ min: 1, max: 255 }) }),
      fc.record({ length: fc.nat(whole.length - 1) }),
      fc.record({ bytes: fc.uint8Array({ maxLength: 200 }) }),
      fc.record({ plain: fc.uint8Array({ maxLength: 200 }) }),
    );
    await fc.assert(
      fc.asyncProperty(damages, async (damage) => {
        let content = Buffer.from(whole);
        if ('at' in damage) content[damage.at]! ^= damage.xor;
        else if ('length' in damage) content = content.subarray(0, damage.length);
        else if ('bytes' in damage) content = Buffer.from(damage.bytes);
        else content = gzipSync(damage.plain);
        store.objects.set('mon', Buffer.from('mon-000000'));
        store.objects.set('mon-000000', content);
        let restored: string[] = expected;
        const code = await codeOf(async () => {
          const reader = await open('mon');
          if (reader.tables.includes('users')) restored = await keysOf(reader, 'users');
        });
        // Some bytes of gzip's header mean nothing.
        if (code === 'nothing') expect(restored).toEqual(expected);
        else expect(['objectDamaged', 'notReachable']).toContain(code);
      }),
      { numRuns: 300 },
    );
  });
});

test('a mark may be of a shard of which nothing else is there', async () => {
  backup('mon', pruned(shard(10_005, ''), 1, 9), await log(users, 1, 2));
  const reader = await open('mon');
  expect(reader.tables).toEqual(['users']);
  expect(await keysOf(reader, 'users')).toEqual(loaded('users', 1, 2));
});
