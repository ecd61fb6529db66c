import { randomBytes } from 'node:crypto';
import { systemClock, systemRandom } from '@coxswain/node';
import { MemoryNode, type MemoryTable } from '@coxswain/node/testing';
import { mvcc } from '@coxswain/protocol';
import { RateLimit } from '@coxswain/runtime';
import { EventRecorder, until } from '@coxswain/testing';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { tableWarnings } from '../src/archive-status.js';
import { Archiver, type ArchiverOptions } from '../src/archiver.js';
import { archiveEvents } from '../src/events.js';
import { type ArchivedEntry, LogObjectReader } from '../src/log-object.js';
import { type ManifestEntry, readChapter } from '../src/manifest.js';
import { MemoryObjectStore } from '../src/memory-object-store.js';
import { parseName } from '../src/names.js';
import { collect } from './support/content.js';
import { EPOCH_MS } from './support/shard.js';

const OPTIONS: ArchiverOptions = {
  objectSizeBytes: 1024 * 1024,
  objectAgeMs: 5,
  baseIntervalMs: Number.MAX_SAFE_INTEGER,
  retention: { ageMs: 0, basesMin: 1 },
  backlogBytesMax: 1_000_000,
};

describe('the archive of a table (R6)', () => {
  let node: MemoryNode;
  let store: MemoryObjectStore;
  let archivers: Archiver[];
  let recorder: EventRecorder;
  /** Milliseconds by which the wall clock of the archivers is ahead of the machine's. */
  let aheadMs: number;

  beforeEach(() => {
    node = new MemoryNode();
    store = new MemoryObjectStore();
    archivers = [];
    recorder = new EventRecorder();
    aheadMs = 0;
  });

  afterEach(async () => {
    await Promise.all(archivers.map((archiver) => archiver.stop()));
  });

  function start(options: Partial<ArchiverOptions> = {}): Archiver {
    const environment = {
      clock: { ...systemClock, nowMs: () => systemClock.nowMs() + aheadMs },
      random: systemRandom,
      log: recorder.log,
      store,
      baseRate: new RateLimit(systemClock, 0),
      fatal: (error: unknown) => {
        throw error;
      },
    };
    const archiver = new Archiver(node.parts, environment, { ...OPTIONS, ...options });
    archivers.push(archiver);
    archiver.start();
    return archiver;
  }

  function lead(options?: { shardId?: number; baseIndex?: number }): Promise<MemoryTable> {
    return node.createTable('orders', { epochMs: EPOCH_MS, ...options });
  }

  async function put(table: MemoryTable, count: number): Promise<void> {
    for (let at = 0; at < count; at++) await table.put(`key ${at % 10}`, `value ${table.appliedIndex}`);
  }

  const names = (kind: string): string[] =>
    [...store.objects.keys()].filter((name) => parseName(name)?.kind === kind).sort();
  const status = (archiver: Archiver) => archiver.status().tables[0]!;

  /** Returns the entries of each log object, in the order of the objects' names. */
  async function logObjects(): Promise<ArchivedEntry[][]> {
    const objects: ArchivedEntry[][] = [];
    for (const name of names('log')) {
      const parsed = parseName(name)!;
      if (parsed.kind !== 'log') continue;
      const reader = new LogObjectReader({ ...parsed, ...parsed.shard }, store.get(name, {}));
      objects.push((await collect(reader.entries())).flat());
    }
    return objects;
  }

  async function manifest(): Promise<ManifestEntry[]> {
    const chapters = await Promise.all(names('manifest').map((name) => readChapter(store, name, {})));
    return chapters.flatMap(({ entries }) => [...entries]);
  }

  test('every applied entry is stored with its term and time, one object after the other', async () => {
    const table = await lead();
    const archiver = start();
    await table.empty();
    await put(table, 20);
    await until('entry 21 is archived', () => status(archiver).archivedIndex === 21);
    table.term = 2;
    await table.empty();
    await put(table, 3);
    await until('entry 25 is archived', () => status(archiver).archivedIndex === 25);
    const entries = (await logObjects()).flat();
    expect(entries.map(({ index, term, timeMs }) => ({ index, term, timeMs }))).toEqual(
      table.entries(1, 1e9).map(({ index, term, timeMs }) => ({ index, term, timeMs })),
    );
    expect(entries.map(({ command }) => command)).toEqual(
      table.entries(1, 1e9).map(({ command }) => command),
    );
    expect((await manifest()).map(({ name }) => name)).toEqual(names('log'));
    expect(names('base')).toEqual([]);
    expect(status(archiver)).toMatchObject({ state: 'archiving', backlogBytes: 0, error: undefined });
  });

  test('an object is stored when it is large enough, however young it is', async () => {
    const table = await lead();
    const archiver = start({ objectSizeBytes: 4_000, objectAgeMs: 3_600_000 });
    for (let at = 0; at < 50; at++) await table.put('key', randomBytes(500).toString('hex'));
    await until('entry 40 is archived', () => status(archiver).archivedIndex >= 40);
    for (const name of names('log')) expect(store.objects.get(name)!.length).toBeLessThan(6_000);
    expect(names('log').length).toBeGreaterThan(3);
  });

  test('the cluster is told how far the archive is, so that the log can go', async () => {
    const table = await lead();
    start();
    await put(table, 5);
    await until('the cluster knows that entry 5 is archived', () => node.archivedIndex(table.shardId) === 5);
  });

  test('what another leader stored of the same entries is equal byte for byte', async () => {
    const table = await lead();
    start({ objectAgeMs: 3_600_000, objectSizeBytes: 1_500 });
    const other = new MemoryNode();
    other.addTable(table);
    await table.empty();
    await put(table, 20);
    await until('a log object is stored', () => names('log').length > 0);
    const mine = new Map(store.objects);
    await archivers[0]!.stop();
    store.objects.clear();
    node = other;
    start({ objectAgeMs: 3_600_000, objectSizeBytes: 1_500 });
    await until('a log object is stored', () => names('log').length > 0);
    const [name] = names('log');
    expect(mine.get(name!)).toEqual(store.objects.get(name!));
  });

  test('the next leader goes on behind what is stored', async () => {
    const table = await lead();
    start();
    await put(table, 5);
    await until('one log object is stored', () => names('log').length === 1);
    await archivers[0]!.stop();
    await put(table, 5);
    const next = start();
    await until('entry 10 is archived', () => status(next).archivedIndex === 10);
    expect((await logObjects()).flat().map(({ index }) => index)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    expect(names('base')).toEqual([]);
  });

  test('a leader that meets an older manifest than the cluster knows of stores what it lacks once more', async () => {
    const table = await lead();
    start();
    await put(table, 5);
    await until('entry 5 is archived', () => status(archivers[0]!).archivedIndex === 5);
    const older = store.objects.get(names('manifest')[0]!)!;
    await put(table, 5);
    await until(
      'the cluster knows that entry 10 is archived',
      () => node.archivedIndex(table.shardId) === 10,
    );
    await archivers[0]!.stop();
    store.objects.set(names('manifest')[0]!, older);
    const next = start();
    await put(table, 1);
    await until('entry 11 is archived', () => status(next).archivedIndex === 11);
    const indices = (await logObjects()).flat().map(({ index }) => index);
    expect(new Set(indices)).toEqual(new Set([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]));
    expect(names('gap')).toEqual([]);
  });

  test('a Txn with compares on versions is stored as the branch that was taken (R3)', async () => {
    const table = await lead();
    const archiver = start();
    const op = (value: string): mvcc.RequestOp =>
      mvcc.RequestOp.fromPartial({
        request: {
          $case: 'requestPut',
          value: { key: Buffer.from('a'), value: Buffer.from(value) },
        },
      });
    const compare = mvcc.Compare.fromPartial({
      target: mvcc.Compare_CompareTarget.VERSION,
      key: Buffer.from('a'),
      targetUnion: { $case: 'version', value: 7n },
    });
    await table.txn({ compare: [compare], success: [op('yes')], failure: [op('no')] });
    await until('entry 1 is archived', () => status(archiver).archivedIndex === 1);
    const [[entry]] = (await logObjects()) as [[ArchivedEntry]];
    const { txn } = mvcc.Command.decode(entry.command);
    expect(txn).toMatchObject({ compare: [], success: [op('no')] });
  });

  test('an archive that begins late begins with a base, and needs no gap', async () => {
    const table = await lead();
    await put(table, 20);
    table.compact(11);
    const archiver = start();
    await until(
      'a base and entry 20 are stored',
      () => names('base').length === 1 && status(archiver).archivedIndex === 20,
    );
    expect(parseName(names('base')[0]!)).toMatchObject({ revision: 20 });
    expect((await logObjects()).flat()[0]!.index).toBe(11);
    expect(names('gap')).toEqual([]);
    await archiver.stop();
    const next = start();
    await put(table, 1);
    await until('entry 21 is archived', () => status(next).archivedIndex === 21);
    expect(names('base')).toHaveLength(1);
  });

  test('what a load brought in is in a base, and not in the log (T2)', async () => {
    const table = await lead({ baseIndex: 1000 });
    await put(table, 5);
    table.loadedIndex = 1005;
    table.compact(1006);
    await put(table, 2);
    const archiver = start();
    await until(
      'a base and entry 1007 are stored',
      () => names('base').length === 1 && status(archiver).archivedIndex === 1007,
    );
    expect((await logObjects()).flat().map(({ index }) => index)).toEqual([1006, 1007]);
  });

  test('what was never written to costs the store nothing', async () => {
    const table = await lead();
    const archiver = start();
    await table.empty();
    table.term = 2;
    await table.empty();
    await archiver.flush(new AbortController().signal);
    expect(store.objects.size).toBe(0);
  });

  test('a store that is away holds nobody up, is told, and gets everything when it is back', async () => {
    store.isAway = true;
    const table = await lead();
    const archiver = start();
    await put(table, 20);
    await until('the archive tries again', () => status(archiver).state === 'retrying');
    expect(status(archiver).error).toMatch('cannot be reached');
    expect(status(archiver).backlogBytes).toBeGreaterThan(0);
    expect(tableWarnings(status(archiver)).join()).toMatch("table 'orders' is not archived");
    store.isAway = false;
    await until('entry 20 is archived', () => status(archiver).archivedIndex === 20);
    expect(status(archiver)).toMatchObject({ state: 'archiving', backlogBytes: 0, error: undefined });
    expect((await logObjects()).flat()).toHaveLength(20);
  });

  test('entries that go before they were stored are marked as a gap, and a base follows at once', async () => {
    const table = await lead();
    const archiver = start();
    await put(table, 5);
    await until('entry 5 is archived', () => status(archiver).archivedIndex === 5);
    store.isAway = true;
    await put(table, 10);
    await until('the archive tries again', () => status(archiver).state === 'retrying');
    table.compact(11);
    store.isAway = false;
    await until(
      'a gap is marked, and a base follows it',
      () => names('gap').length === 1 && names('base').length === 1,
    );
    await until('entry 15 is archived', () => status(archiver).archivedIndex === 15);
    expect(parseName(names('gap')[0]!)).toMatchObject({ first: 6, last: 10 });
    expect(status(archiver).gapCount).toBe(1);
    expect(recorder.of(archiveEvents.archiveGap)).toMatchObject([{ first: 6, last: 10 }]);
    await archiver.stop();
    const next = start();
    await put(table, 1);
    await until('entry 16 is archived', () => status(next).archivedIndex === 16);
    expect(status(next).gapCount).toBe(1);
    expect(names('base')).toHaveLength(1);
  });

  test('a store that was emptied gets what the log still has, and a base', async () => {
    const table = await lead();
    start();
    await put(table, 10);
    await until(
      'the cluster knows that entry 10 is archived',
      () => node.archivedIndex(table.shardId) === 10,
    );
    await archivers[0]!.stop();
    store.objects.clear();
    table.compact(6);
    const next = start();
    await until(
      'a base and entry 5 are stored',
      () => names('base').length === 1 && status(next).archivedIndex >= 5,
    );
    await put(table, 1);
    await until('entry 11 is archived', () => status(next).archivedIndex === 11);
    expect((await logObjects()).flat().map(({ index }) => index)).toEqual([6, 7, 8, 9, 10, 11]);
  });

  test('a base follows when the last one is old, and not while nothing is written', async () => {
    const table = await lead();
    const intervalMs = 3_600_000;
    const archiver = start({ baseIntervalMs: intervalMs });
    const archived = () => status(archiver).archivedIndex;
    await put(table, 3);
    await until('entry 3 is archived', () => archived() === 3);
    expect(names('base')).toEqual([]);
    aheadMs += intervalMs;
    await put(table, 1);
    await until('a base and entry 4 are stored', () => names('base').length === 1 && archived() === 4);
    // The interval is over again, but nothing was written since: at each look the archiver takes no base.
    aheadMs += intervalMs;
    for (let look = 0; look < 3; look++) await until('it looks', () => table.endWaits() > 0);
    await put(table, 1);
    await until(
      'a second base is stored',
      () => archiver.status().counters.bases > 1 && status(archiver).archivedIndex === 5,
    );
    const revisions = names('base').map((name) => (parseName(name) as { revision: number }).revision);
    expect(revisions).toEqual([4, 5]);
    expect(archiver.status().counters.bases).toBe(2);
  });

  test('what is too old goes when a base has made it needless', async () => {
    const table = await lead();
    const archiver = start({ baseIntervalMs: 1, retention: { ageMs: 1, basesMin: 2 } });
    for (let round = 1; round <= 6; round++) {
      const before = archiver.status().counters.bases;
      await put(table, 3);
      await until('another base is stored', () => archiver.status().counters.bases > before);
    }
    await until(
      'objects are pruned',
      () => status(archiver).archivedIndex === 18 && archiver.status().counters.objectsPruned > 3,
    );
    await archiver.stop();
    expect(names('base').length).toBeLessThan(6);
    const [oldest] = names('base').map((name) => parseName(name)!);
    const indices = (await logObjects()).flat().map(({ index }) => index);
    expect(oldest).toMatchObject({ kind: 'base' });
    const { revision } = oldest as { revision: number };
    expect(revision).toBeLessThan(18);
    expect(indices.filter((index) => index > revision)).toHaveLength(18 - revision);
  });

  test('the end of a deleted table is stored before its log goes (T2)', async () => {
    const table = await lead();
    const archiver = start({ objectAgeMs: 3_600_000 });
    await put(table, 5);
    await until('entries wait for the archive', () => status(archiver).backlogBytes > 0);
    store.isAway = true;
    await table.seal();
    node.changed();
    await put(table, 0);
    expect(table.holders.size).toBe(1);
    store.isAway = false;
    await until('the table is let go', () => table.holders.size === 0);
    expect((await logObjects()).flat().map(({ index }) => index)).toEqual([1, 2, 3, 4, 5, 6]);
  });

  test('a flush stores what is open', async () => {
    const table = await lead();
    const archiver = start({ objectAgeMs: 3_600_000 });
    await put(table, 5);
    await archiver.flush(new AbortController().signal);
    expect((await logObjects()).flat()).toHaveLength(5);
  });

  test('a flush that is given up ends', async () => {
    const table = await lead();
    const archiver = start({ objectAgeMs: 3_600_000 });
    store.isAway = true;
    await put(table, 5);
    const aborter = new AbortController();
    const flush = archiver.flush(aborter.signal);
    aborter.abort();
    await flush;
  });

  test('what other nodes lead they archive, and the status says so', async () => {
    const table = await lead();
    node.elsewhere.add(table);
    const archiver = start();
    await put(table, 5);
    node.archived.set(table.shardId, 3);
    expect(status(archiver)).toMatchObject({ state: 'elsewhere', archivedIndex: 3 });
    expect(store.objects.size).toBe(0);
  });

  test('a follower cluster archives nothing', async () => {
    node.role = 'follower';
    await lead();
    expect(start().status().tables).toEqual([]);
  });

  test('that much waits is worth a warning, and that writes are refused another', async () => {
    await lead();
    const archiver = start();
    node.backlog = { sizeBytes: 600_000, refusesWrites: false };
    expect(archiver.status().warnings.join()).toMatch('more than half of archive.max-backlog');
    node.backlog = { sizeBytes: 1_000_000, refusesWrites: true };
    expect(archiver.status().warnings.join()).toMatch('writes are refused');
    expect(status(archiver).state).toBe('full');
  });
});
