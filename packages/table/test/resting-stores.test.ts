import { deepEqual, equal } from 'node:assert/strict';
import { microtasks, TemporaryDirectory } from '@coxswain/testing';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import {
  CommandKind,
  LevelStoreDirectory,
  MemoryStoreDirectory,
  type OrderedStore,
  RestingStores,
  StoreDamagedError,
  type StoreDirectory,
  Table,
} from '../src/index.js';
import { plain, plainPage, query, simpleCommand } from './arbitraries.js';
import * as commands from './commands.js';
import { bytes } from './commands.js';
import { hashOfRecords } from './records.js';
import { describeStoreConformance } from './store-conformance.js';

/** A directory that says which of its stores are open, and opens and closes them slowly. */
class WatchedDirectory implements StoreDirectory {
  readonly openNames = new Set<string>();
  mostOpen = 0;
  openCount = 0;
  refusal: Error | undefined;
  onDamaged: StoreDirectory['onDamaged'];
  readonly #directory: StoreDirectory;

  constructor(directory: StoreDirectory = new MemoryStoreDirectory()) {
    this.#directory = directory;
  }

  async open(name: string, options: { create: boolean }): Promise<OrderedStore> {
    this.openNames.add(name);
    this.mostOpen = Math.max(this.mostOpen, this.openNames.size);
    this.openCount += 1;
    await microtasks(7);
    if (this.refusal !== undefined) {
      this.openNames.delete(name);
      throw this.refusal;
    }
    const store = await this.#directory.open(name, options);
    const { close } = store;
    store.close = async () => {
      await microtasks(7);
      await close.call(store);
      this.openNames.delete(name);
    };
    return store;
  }

  list(): Promise<string[]> {
    return this.#directory.list();
  }

  rename(from: string, to: string): Promise<void> {
    return this.#directory.rename(from, to);
  }

  remove(name: string): Promise<void> {
    return this.#directory.remove(name);
  }
}

const put = (store: OrderedStore, key: string, value: string): Promise<void> =>
  store.write([{ storeKey: bytes(key), record: bytes(value) }]);

const get = async (store: OrderedStore, key: string): Promise<string | undefined> =>
  (await store.getMany([bytes(key)]))[0]?.toString('latin1');

describeStoreConformance('RestingStore', async () => ({
  directory: new RestingStores(new WatchedDirectory(), 1),
  dispose: () => Promise.resolve(),
}));

describeStoreConformance('RestingStore above LevelDB', async () => {
  const temporary = new TemporaryDirectory();
  const { path } = temporary;
  const options = { writeBufferSizeBytes: 4 << 20, cacheSizeBytes: 4 << 20 };
  return {
    directory: new RestingStores(await LevelStoreDirectory.open(path, options), 1),
    dispose: async () => temporary.remove(),
  };
});

describe('stores of which some are awake', () => {
  async function openSome(awakeMax: number, count: number) {
    const watched = new WatchedDirectory();
    const stores = new RestingStores(watched, awakeMax);
    const some: OrderedStore[] = [];
    for (let at = 0; at < count; at++) {
      const store = await stores.open(`store-${at}`, { create: true });
      await put(store, 'key', String(at));
      some.push(store);
    }
    return { watched, stores, some };
  }

  test('are never more than so many, whoever comes at once', async () => {
    const { watched, some } = await openSome(8, 40);
    expect(watched.mostOpen).toBe(8);
    const all = await Promise.all([...some, ...some].map((store) => get(store, 'key')));
    expect(all).toEqual([...some, ...some].map((_, at) => String(at % 40)));
    // Four are woken at a time, whether the others are in use at that moment or not.
    expect(watched.mostOpen).toBeLessThanOrEqual(8 + 4);
    await get(some.find(({ isAwake }) => !isAwake)!, 'key');
    expect(watched.openNames.size).toBe(8);
  });

  test('are those that were used last', async () => {
    const { watched, stores, some } = await openSome(3, 3);
    some[0]!.getSync(bytes('key'));
    await get(some[1]!, 'key');
    await stores.open('more', { create: true });
    expect([...watched.openNames].sort()).toEqual(['more', 'store-0', 'store-1']);
    expect(some.map(({ isAwake }) => isAwake)).toEqual([true, true, false]);
  });

  test('are more for as long as all are in use', async () => {
    const { watched, stores, some } = await openSome(2, 4);
    const snapshots = some.map((store) => store.snapshot());
    const records = await Promise.all(some.map((store, at) => store.getMany([bytes('key')], snapshots[at]!)));
    expect(records.map(([record]) => record!.toString())).toEqual(['0', '1', '2', '3']);
    expect(watched.openNames.size).toBe(4);
    for (const snapshot of snapshots) snapshot.close();
    await stores.open('more', { create: true });
    expect(watched.openNames.size).toBe(2);
  });

  test('wait for one that is being closed or opened when they are closed for good', async () => {
    const { watched, some } = await openSome(1, 2);
    const read = get(some[0]!, 'key');
    await some[0]!.close();
    expect(await read.catch((error: Error) => error.message)).toMatch(/closed|^0$/);
    await some[1]!.close();
    expect(watched.openNames.size).toBe(0);
    await expect(get(some[0]!, 'key')).rejects.toThrow('closed');
    await expect(some[0]!.scan({}).next(1, 1)).rejects.toThrow('closed');
    expect(() => some[1]!.getSync(bytes('key'))).toThrow('closed');
  });

  test('give what they had when a snapshot was taken, or a scan begun, of one at rest', async () => {
    const { some } = await openSome(1, 2);
    const [resting] = some;
    const snapshot = resting!.snapshot();
    const scan = resting!.scan({ gte: bytes('k') });
    const write = put(resting!, 'key', 'later');
    const before = await resting!.getMany([bytes('key')], snapshot);
    expect(before.map(String)).toEqual(['0']);
    expect((await scan.next(5, 1 << 20)).map(([, value]) => String(value))).toEqual(['0']);
    await write;
    expect(await get(resting!, 'key')).toBe('later');
    await scan.close();
    snapshot.close();
  });

  test('of which one cannot be opened say so to whoever asks, and are asked again (D4)', async () => {
    const { watched, stores, some } = await openSome(1, 2);
    const damaged: string[] = [];
    stores.onDamaged = (name) => damaged.push(name);
    watched.refusal = new Error('no descriptors');
    const snapshot = some[0]!.snapshot();
    const scan = some[0]!.scan({});
    await expect(get(some[0]!, 'key')).rejects.toThrow('no descriptors');
    await expect(scan.next(1, 1)).rejects.toThrow('no descriptors');
    await scan.close();
    expect(damaged).toEqual([]);
    watched.refusal = new StoreDamagedError('store-0', 'a block does not match its checksum');
    await expect(get(some[0]!, 'key')).rejects.toThrow('checksum');
    expect(damaged).toEqual(['store-0']);
    watched.refusal = undefined;
    expect((await some[0]!.getMany([bytes('key')], snapshot)).map(String)).toEqual(['0']);
    snapshot.close();
    // It is used by nobody, so it can rest.
    expect(await get(some[1]!, 'key')).toBe('1');
    expect(watched.openNames.size).toBe(1);
  });

  test('are read at once only where they are awake', async () => {
    const { some } = await openSome(1, 2);
    expect(() => some[0]!.getSync(bytes('key'))).toThrow(/is woken before/);
    await some[0]!.hold();
    expect(some[0]!.getSync(bytes('key'))).toEqual(bytes('0'));
    // Held, it stays awake whoever comes.
    await get(some[1]!, 'key');
    expect(some[0]!.isAwake).toBe(true);
    some[0]!.release();
  });
});

describe('a table whose store rests', () => {
  const open = (directory: StoreDirectory, name: string, writeBufferSizeBytes: number): Promise<Table> =>
    Table.open({ directory, name, create: true, initialIndex: 0, writeBufferSizeBytes });

  test('answers as one whose store is always open', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(simpleCommand, { minLength: 1, maxLength: 12 }),
        fc.array(fc.tuple(query, fc.nat(12)), { maxLength: 5 }),
        fc.constantFrom(1, 1000, 1 << 20),
        fc.array(fc.nat(12), { maxLength: 4 }),
        async (list, queries, writeBufferSizeBytes, disturbances) => {
          const watched = new WatchedDirectory();
          const stores = new RestingStores(watched, 1);
          const resting = await open(stores, 'resting', writeBufferSizeBytes);
          const always = await open(new MemoryStoreDirectory(), 'always', writeBufferSizeBytes);
          const other = await stores.open('other', { create: true });
          const disturb = (): Promise<unknown> => get(other, 'key');
          const applied: Promise<unknown>[] = [];
          for (const [at, command] of list.entries()) {
            const entries = [commands.entry(at + 1, command)];
            if (disturbances.includes(at)) await disturb();
            const [found, expected] = [resting, always].map((table) =>
              commands.answered(table.apply(entries)),
            );
            applied.push(found!.then(async (results) => deepEqual(results, await expected)));
          }
          await Promise.all(applied);
          for (const [range, revision] of queries) {
            const at = Math.min(revision, list.length);
            await disturb();
            const views = [resting, always].map((table) => table.view(at));
            const [found, expected] = await Promise.all(views.map((view) => view.range(range)));
            deepEqual(plainPage(found!), plainPage(expected!));
            await disturb();
            const [one, same] = await Promise.all(views.map((view) => view.get(range.key)));
            deepEqual(one, same);
            for (const view of views) view.close();
            await disturb();
            await resting.wake();
            deepEqual(plain(resting.get(range.key).record), plain(always.get(range.key).record));
            equal(await resting.txnOutcome(at), await always.txnOutcome(at));
          }
          await disturb();
          await resting.checkpoint();
          await always.checkpoint();
          await disturb();
          const floor = await always.compactableRevision(list.length);
          equal(await resting.compactableRevision(list.length), floor);
          equal(resting.contentHash, always.contentHash);
          await disturb();
          await resting.close();
          equal((await hashOfRecords(stores, 'resting')).kept, always.contentHash);
          await other.close();
          equal(watched.openNames.size, 0);
        },
      ),
      { numRuns: 150 },
    );
  });

  test('is left alone by housekeeping where there is nothing to do', async () => {
    const watched = new WatchedDirectory();
    const stores = new RestingStores(watched, 1);
    const table = await open(stores, 'table', 1000);
    for (let index = 1; index <= 50; index++)
      await table.apply([commands.entry(index, commands.put('a', 'b'))]);
    await table.apply([commands.internalEntry(51, CommandKind.Compact, 50)]);
    await table.checkpoint();
    await table.removeHistory();
    const tend = async (tended: Table): Promise<number> => {
      const { openCount } = watched;
      expect(await tended.compactableRevision(1_000)).toBeUndefined();
      await tended.removeHistory();
      await tended.checkpoint();
      return watched.openCount - openCount;
    };
    // What is removed makes batches, which a checkpoint lets go.
    for (let round = 0; round < 3; round++) await tend(table);
    const other = await stores.open('other', { create: true });
    expect(await tend(table)).toBe(0);
    await table.close();
    const again = await open(stores, 'table', 1000);
    for (let round = 0; round < 3; round++) await tend(again);
    await get(other, 'key');
    expect(await tend(again)).toBe(0);
  });
});
