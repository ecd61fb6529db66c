import { mvcc } from '@coxswain/protocol';
import { CommandKind, MemoryStoreDirectory, Table } from '@coxswain/table';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { compareNames } from '../src/meta/compare-names.js';
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
});
