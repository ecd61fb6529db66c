import { mvcc } from '@coxswain/protocol';
import { CommandKind, MemoryStoreDirectory, Table } from '@coxswain/table';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { compareNames } from '../src/meta/compare-names.js';
import { type RecordKind, records, type SingleRecord, single } from '../src/meta/records.js';
import { Registry } from '../src/meta/registry.js';
import { RegistryCommands } from '../src/meta/registry-commands.js';

const memberOf = (id: number, name: string) => ({
  id,
  name,
  raftAddress: `node-${id}:5012`,
  clientUrls: [],
  restAddress: '',
});

async function openMeta(): Promise<{ meta: Table; apply: (command: mvcc.Command) => Promise<void> }> {
  const meta = await Table.open({
    directory: new MemoryStoreDirectory(),
    name: 'meta',
    create: true,
    initialIndex: 0,
    writeBufferSizeBytes: 0,
  });
  let index = 0;
  const apply = async (command: mvcc.Command): Promise<void> => {
    index += 1;
    const payload = Buffer.from(mvcc.Command.encode(command).finish());
    const kind = CommandKind.Command;
    await meta.apply([
      { index, term: 1, timeMs: index, kind, payload, cursor: undefined, wantsResult: false },
    ]);
  };
  return { meta, apply };
}

const removal = (id: number): mvcc.Command =>
  mvcc.Command.fromPartial({
    table: Buffer.from('meta'),
    type: mvcc.Command_CommandType.DELETE,
    kv: { key: Buffer.from(`members/${id}`) },
  });

/** One record of each kind, or two where its shape has changed, with the bytes that builds before the table of kinds wrote. */
const WRITTEN_BEFORE: readonly (readonly [key: string, valueHex: string])[] = [
  ['archived/10002', 'cb41f2a05f20000000'],
  [
    'clone',
    'de0004a26964a26331a666696c6c6572de0002a46e6f646501a4626f6f74a26162a5646f6e6f72a3643a31a56572726f72a4676f6e65',
  ],
  [
    'cluster',
    'de0003a4726f6c65a970726f6d6f74696e67ab77617350726f6d6f746564c3af6c6561646572436c75737465724964a46c656164',
  ],
  ['genesis', 'a47b226d7d'],
  [
    'loading/keep',
    'de0005a773686172644964cd2719a462617365ce3b9aca03ac69735265706c696361746564c2a66c6f61646572de0002a46e6f646501a4626f6f74a26162a9737769746368696e67c0',
  ],
  [
    'members/2',
    'de0007a2696402a46e616d65a26e32ab7261667441646472657373a3683a31aa636c69656e7455726c7391aa687474703a2f2f683a32ab7265737441646472657373a0a776657273696f6ea131b264657363726970746f727353686f72744f66cd0100',
  ],
  ['names/t1', 'de0001a96c617374496e646578ce773594c8'],
  ['next-shard', 'cd271a'],
  [
    'quarantine/10006',
    'de0004a46e616d65a27431a462617365ce7735944dab6c6f61646564496e646578ce7735947ba7756e74696c4d73cb427a3185c5000000',
  ],
  ['replication/t0', 'de0002a773746f70706564c0ad6973526573657457616e746564c3'],
  ['states/2', 'a770617573696e67'],
  ['tables/t0', 'de0003a773686172644964cd2711a46261736500a6636f6e666967c0'],
  [
    'tables/t2',
    'de0004a773686172644964cd2718a462617365ce3b9aca0ca6636f6e666967c0ac69735265706c696361746564c2',
  ],
];

const singles: readonly SingleRecord<unknown>[] = Object.values(single);
const kinds: readonly RecordKind<unknown, string | number>[] = Object.values(records);

const put = (key: string, value: Buffer): mvcc.Command =>
  mvcc.Command.fromPartial({
    table: Buffer.from('meta'),
    type: mvcc.Command_CommandType.PUT,
    kv: { key: Buffer.from(key), value },
  });

const membersOf = (registry: Registry): unknown => [...registry.members()].sort((a, b) => a.id - b.id);

describe('what a node knows of the meta group', () => {
  test('is the same whether it follows each change, some at once, or reads all of it', async () => {
    const step = fc.record({
      id: fc.integer({ min: 1, max: 5 }),
      name: fc.option(fc.constantFrom('a', 'b', 'c'), { nil: undefined }),
      looks: fc.boolean(),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 20 }), async (steps) => {
        const { meta, apply } = await openMeta();
        const following = new Registry();
        for (const { id, name, looks } of steps) {
          await apply(
            name === undefined
              ? removal(id)
              : new RegistryCommands(following).writeMember(memberOf(id, name)),
          );
          if (looks) await following.follow(meta);
        }
        await following.follow(meta);
        const anew = new Registry();
        await anew.follow(meta);
        expect(membersOf(following)).toEqual(membersOf(anew));
        await meta.close();
      }),
    );
  });

  test('names are in the order of their bytes', () => {
    const name = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.constantFrom('a', '\u{10000}', '\uffff', '\ue000'),
    );
    fc.assert(
      fc.property(name, name, (left, right) => {
        const order = Buffer.compare(Buffer.from(left), Buffer.from(right));
        expect(compareNames({ name: left }, { name: right })).toBe(order);
      }),
    );
  });

  test('costs what has changed: of a thousand keys one is read', async () => {
    const { meta, apply } = await openMeta();
    const registry = new Registry();
    for (let id = 1; id <= 1_000; id++)
      await apply(new RegistryCommands(registry).writeMember(memberOf(id, 'a')));
    await registry.follow(meta);
    await apply(new RegistryCommands(registry).writeMember(memberOf(7, 'b')));
    const view = meta.view.bind(meta);
    let readCount = 0;
    meta.view = (revision) => {
      const opened = view(revision);
      const pages = opened.pages.bind(opened);
      opened.pages = async function* (query) {
        for await (const page of pages(query)) {
          readCount += page.records.length;
          yield page;
        }
      };
      return opened;
    };
    await registry.follow(meta);
    expect([readCount, registry.member(7)?.name]).toEqual([1, 'b']);
    // One that is gone shows in their number alone: all are read.
    await apply(removal(7));
    await registry.follow(meta);
    expect([readCount, registry.member(7)]).toEqual([1 + 999, undefined]);
    await meta.close();
  });

  test('has the keys and the bytes that earlier builds wrote', () => {
    const met = new Set<unknown>();
    for (const [key, valueHex] of WRITTEN_BEFORE) {
      const bytes = Buffer.from(valueHex, 'hex');
      const one = singles.find((record) => record.key.toString() === key);
      const kind = kinds.find(({ prefix }) => key.startsWith(prefix));
      const record = one ?? kind;
      met.add(record);
      expect([key, record?.encode(record.decode(bytes)).toString('hex')]).toEqual([key, valueHex]);
      if (one === undefined) expect(kind?.key(kind.nameIn(key)).toString()).toBe(key);
    }
    expect(met).toEqual(new Set([...singles, ...kinds]));
  });

  test('is read from what earlier builds wrote', async () => {
    const { meta, apply } = await openMeta();
    for (const [key, valueHex] of WRITTEN_BEFORE) await apply(put(key, Buffer.from(valueHex, 'hex')));
    const registry = new Registry();
    await registry.follow(meta);
    expect(registry.tables()).toEqual([
      {
        name: 't0',
        shardId: 10_001,
        base: 0,
        isReplicated: false,
        loadedIndex: 0,
        config: undefined,
        modRevision: 12,
      },
      {
        name: 't2',
        shardId: 10_008,
        base: 1_000_000_012,
        isReplicated: false,
        loadedIndex: 0,
        config: undefined,
        modRevision: 13,
      },
    ]);
    expect(registry.loadingOf('keep')).toEqual({
      name: 'keep',
      shardId: 10_009,
      base: 1_000_000_003,
      isReplicated: false,
      loader: { node: 1, boot: 'ab' },
      switching: undefined,
      modRevision: 5,
    });
    expect([...registry.quarantined()]).toEqual([
      {
        name: 't1',
        shardId: 10_006,
        base: 2_000_000_077,
        loadedIndex: 2_000_000_123,
        untilMs: 1_800_000_000_000,
      },
    ]);
    expect(registry.clone).toEqual({
      id: 'c1',
      filler: { node: 1, boot: 'ab' },
      donor: 'd:1',
      error: 'gone',
      modRevision: 2,
    });
    expect(registry.member(2)).toEqual({
      id: 2,
      name: 'n2',
      raftAddress: 'h:1',
      clientUrls: ['http://h:2'],
      restAddress: '',
      version: '1',
      descriptorsShortOf: 256,
    });
    expect([registry.role, registry.wasPromoted, registry.leaderClusterId]).toEqual([
      'promoting',
      true,
      'lead',
    ]);
    expect([registry.hasGenesis, registry.nextShardId, registry.lastIndexOf('t1')]).toEqual([
      true,
      10_010,
      2_000_000_200,
    ]);
    expect([registry.stateOf(2), registry.archivedIndex(10_002)]).toEqual(['pausing', 5_000_000_000]);
    expect(registry.holdOf('t0')).toEqual({ stopped: undefined, isResetWanted: true });
    await meta.close();
  });
});
