import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { maintenance, mvcc, regatta } from '@coxswain/protocol';
import { TemporaryDirectory, until } from '@coxswain/testing';
import { status } from '@grpc/grpc-js';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { OneNode } from '../support/one-node.js';
import { collect, failureOf, type Rpc } from '../support/rpc.js';

// Registers the tests of ../maintenance.test.ts.
export function archiveService(): void {
  const { restoreArchive } = maintenance.MaintenanceService;
  const { put, deleteRange, txn, range } = regatta.KVService;
  const end = Buffer.from([0]);
  type Limit = NonNullable<maintenance.RestoreArchiveRequest['limit']>;

  /** A point in the life of a table: what a client knew of it then. */
  interface Point {
    readonly revision: number;
    /** By the clock of the machine, which is the leader's: not before the entry, and before the next one. */
    readonly timeMs: number;
    readonly content: readonly string[];
  }

  let temporary: TemporaryDirectory;
  let directory: string;
  let archive: string;
  let node: OneNode;
  let rpc: Rpc;

  beforeAll(() => {
    temporary = new TemporaryDirectory();
    directory = temporary.path;
  });

  afterAll(() => {
    temporary.remove();
  });

  /** The tests of a describe have a node of their own, with an archive. */
  function withNode(flags: Record<string, string> = {}): void {
    beforeAll(async () => {
      archive = mkdtempSync(join(directory, 'archive-'));
      const target = pathToFileURL(archive).href;
      node = await OneNode.start({ 'archive.target': target, 'archive.object-age': '50ms', ...flags });
      rpc = node.rpc();
    });

    afterAll(async () => {
      rpc.close();
      await node.stop();
    });
  }

  async function contentOf(table: string): Promise<string[]> {
    const { kvs } = await rpc.call(range, {
      table: Buffer.from(table),
      key: end,
      rangeEnd: end,
      linearizable: true,
    });
    return kvs.map(({ key, value }) => `${key}=${value}`);
  }

  /** Writes to a table, and to a model of it, one command after the other. */
  class Model {
    readonly points: Point[] = [];
    readonly #pairs = new Map<string, string>();
    readonly #table: Buffer;

    constructor(readonly name: string) {
      this.#table = Buffer.from(name);
    }

    get last(): Point {
      return this.points.at(-1)!;
    }

    async write(count: number): Promise<void> {
      for (let turn = this.points.length, stop = turn + count; turn < stop; turn++) {
        const revision = await this.#write(turn);
        const pairs = [...this.#pairs].sort(([a], [b]) => (a < b ? -1 : 1));
        const content = pairs.map(([key, value]) => `${key}=${value}`);
        const timeMs = Date.now();
        this.points.push({ revision, timeMs, content });
        await until('the next entry has a time of its own', () => Date.now() > timeMs);
      }
    }

    async #write(turn: number): Promise<number> {
      const table = this.#table;
      const key = `key-${turn % 13}`;
      const value = `value-${turn}`;
      if (turn % 5 === 3) {
        const rangeEnd = Buffer.from(`key-${(turn % 13) + 1}`);
        const { header } = await rpc.call(deleteRange, { table, key: Buffer.from(key), rangeEnd });
        for (const each of [...this.#pairs.keys()]) {
          if (each >= key && each < rangeEnd.toString()) this.#pairs.delete(each);
        }
        return Number(header!.revision);
      }
      if (turn % 5 === 4) return await this.#txn(key, value);
      const { header } = await rpc.call(put, { table, key: Buffer.from(key), value: Buffer.from(value) });
      this.#pairs.set(key, value);
      return Number(header!.revision);
    }

    /** Its outcome hangs on a version, which is another one in a table that was restored (T3, R3). */
    async #txn(key: string, value: string): Promise<number> {
      const putOf = (text: string): mvcc.RequestOp =>
        mvcc.RequestOp.fromPartial({
          request: { $case: 'requestPut', value: { key: Buffer.from(key), value: Buffer.from(text) } },
        });
      const compare = mvcc.Compare.fromPartial({
        target: mvcc.Compare_CompareTarget.VERSION,
        result: mvcc.Compare_CompareResult.GREATER,
        key: Buffer.from(key),
        targetUnion: { $case: 'version', value: 1n },
      });
      const request = { compare: [compare], success: [putOf(`${value} again`)], failure: [putOf(value)] };
      const { header, succeeded } = await rpc.call(txn, { table: this.#table, ...request });
      this.#pairs.set(key, succeeded ? `${value} again` : value);
      return Number(header!.revision);
    }
  }

  async function restored(
    table: string,
    into: string,
    limit?: Limit,
    more: Partial<maintenance.RestoreArchiveRequest> = {},
  ): Promise<maintenance.RestoredPoint> {
    const request = { table: Buffer.from(table), into: Buffer.from(into), limit, ...more };
    const messages = await collect(rpc.stream(restoreArchive, request));
    const last = messages.at(-1)!;
    expect(last.bytes).toBeGreaterThan(0n);
    return last.done!;
  }

  const failed = (table: string, into: string, limit?: Limit) => failureOf(restored(table, into, limit));
  const toRevision = (value: number): Limit => ({ $case: 'toRevision', value: BigInt(value) });
  const toTime = (value: number): Limit => ({ $case: 'toTimeMs', value: BigInt(value) });

  function filesOf(shardId: bigint | number, kind: string): string[] {
    const [cluster] = readdirSync(archive).filter((name) => !name.startsWith('.'));
    const folder = join(archive, cluster!, String(shardId), kind);
    try {
      return readdirSync(folder)
        .filter((name) => !name.startsWith('.'))
        .sort()
        .map((name) => join(folder, name));
    } catch {
      return [];
    }
  }

  async function made(name: string): Promise<{ model: Model; shardId: bigint }> {
    const shardId = await node.createTable(rpc, name);
    return { model: new Model(name), shardId };
  }

  async function tableNames(): Promise<string[]> {
    const { tables } = await rpc.call(regatta.TablesService.list, {});
    return tables.map(({ name }) => name).sort();
  }

  describe('a restore from an archive with bases', () => {
    withNode({ 'archive.base-interval': '300ms' });

    test('to any revision and any moment is exactly what the table was then, key by key (T3, R3)', async () => {
      const { model, shardId } = await made('history');
      await model.write(60);
      await until('a base is stored', () => filesOf(shardId, 'base').length > 0);
      await model.write(60);
      for (const at of [0, 17, 60, 61, 118]) {
        const { revision, timeMs, content } = model.points[at]!;
        const byRevision = await restored('history', 'copy', toRevision(revision));
        expect(await contentOf('copy')).toEqual(content);
        expect(byRevision).toMatchObject({ revision: BigInt(revision), fromShardId: shardId });
        const byTime = await restored('history', 'copy', toTime(timeMs));
        expect(await contentOf('copy')).toEqual(content);
        expect(byTime.revision).toBe(BigInt(revision));
        expect(byTime.timeMs).toBe(byRevision.timeMs);
        expect(Number(byTime.keyCount)).toBe(content.length);
      }
    });

    test('that is damaged fails, and says which one', async () => {
      const { model, shardId } = await made('damaged-base');
      await model.write(3);
      await until('a base is stored', () => filesOf(shardId, 'base').length > 0);
      for (const file of filesOf(shardId, 'base')) writeFileSync(file, flipped(readFileSync(file)));
      const failure = await failed('damaged-base', '');
      expect(failure.details).toMatch(/object \S+\.bak is damaged/);
      expect(await contentOf('damaged-base')).toEqual(model.last.content);
    });
  });

  describe('a restore from the archive', () => {
    withNode();

    test('without a limit has what was written a moment ago', async () => {
      const { model } = await made('recent');
      await model.write(7);
      const { revision } = await restored('recent', 'recent-copy');
      expect(revision).toBe(BigInt(model.last.revision));
      expect(await contentOf('recent-copy')).toEqual(model.last.content);
    });

    test('takes the place of the table, and its archive goes on with the new shard (T1, T2)', async () => {
      const { model, shardId } = await made('replaced');
      await model.write(20);
      const { revision, content } = model.points[9]!;
      const done = await restored('replaced', '', toRevision(revision));
      expect(done.shardId).not.toBe(shardId);
      expect(await contentOf('replaced')).toEqual(content);
      await rpc.call(put, { table: Buffer.from('replaced'), key: Buffer.from('z'), value: Buffer.from('1') });
      const again = await restored('replaced', 'replaced-copy');
      expect(again.fromShardId).toBe(done.shardId);
      expect(await contentOf('replaced-copy')).toEqual([...content, 'z=1']);
      const older = await restored('replaced', 'replaced-copy', undefined, { shardId });
      expect(older.revision).toBeGreaterThanOrEqual(BigInt(model.last.revision));
      expect(await contentOf('replaced-copy')).toEqual(model.last.content);
    });

    test('brings back a table that was deleted by mistake, up to its last write', async () => {
      const { model, shardId } = await made('mistake');
      await model.write(25);
      await rpc.call(regatta.TablesService.delete, { name: 'mistake' });
      await restored('mistake', '');
      expect(await contentOf('mistake')).toEqual(model.last.content);
      // Also where an object of the log ends with what was wanted.
      for (const before of model.points.slice(5, 20)) {
        const trial = { shardId, dryRun: true };
        const { revision } = await restored('mistake', '', toTime(before.timeMs), trial);
        expect(revision).toBe(BigInt(before.revision));
      }
      const before = model.points[11]!;
      await restored('mistake', 'mistake-before', toTime(before.timeMs));
      expect(await contentOf('mistake-before')).toEqual(before.content);
    });

    test('that is a trial reads all of it, and changes nothing', async () => {
      const { model } = await made('trial');
      await model.write(5);
      const done = await restored('trial', 'trial-copy', undefined, { dryRun: true });
      expect(done).toMatchObject({ revision: BigInt(model.last.revision), shardId: 0n });
      expect(await tableNames()).not.toContain('trial-copy');
    });

    test.each([
      ['truncated', (file: string) => truncateSync(file, readFileSync(file).length - 20)],
      ['with a bit that flipped', (file: string) => writeFileSync(file, flipped(readFileSync(file)))],
    ])('of an object that is %s fails, and nothing is half restored', async (what, damage) => {
      const name = `damaged-${what.length}`;
      const { model, shardId } = await made(name);
      await model.write(5);
      await restored(name, 'whole');
      damage(filesOf(shardId, 'log')[0]!);
      const failure = await failed(name, '');
      expect(failure.details).toMatch(/archive|manifest|damaged|restored/);
      expect(await failed(name, 'damaged-copy')).toMatchObject({ code: failure.code });
      expect(await contentOf(name)).toEqual(model.last.content);
      expect(await tableNames()).not.toContain('damaged-copy');
    });

    test('of a log that lacks an object says what is missing, and what can be reached', async () => {
      const { model, shardId } = await made('holed');
      await model.write(3);
      await restored('holed', 'holed-copy');
      await model.write(3);
      await restored('holed', 'holed-copy');
      const logs = filesOf(shardId, 'log');
      expect(logs.length).toBeGreaterThan(1);
      rmSync(logs[1]!);
      const failure = await failed('holed', '', toRevision(model.last.revision));
      expect(failure).toMatchObject({ code: status.OUT_OF_RANGE });
      expect(failure.details).toMatch('missing');
      const { revision, content } = model.points[0]!;
      await restored('holed', 'holed-copy', toRevision(revision));
      expect(await contentOf('holed-copy')).toEqual(content);
    });

    test('of what is not there says so', async () => {
      const { model } = await made('short');
      await model.write(3);
      expect(await failed('nothing', '')).toMatchObject({ code: status.NOT_FOUND });
      expect(await failed('', '')).toMatchObject({ code: status.INVALID_ARGUMENT });
      expect(await failed('short', '', toRevision(model.last.revision + 1000))).toMatchObject({
        code: status.OUT_OF_RANGE,
      });
      expect(await failed('short', '', toTime(1))).toMatchObject({ code: status.OUT_OF_RANGE });
      expect(await failed('short', 'a/b')).toMatchObject({ code: status.INVALID_ARGUMENT });
    });

    test('shows in the status and in the metrics how far the archive is', async () => {
      const { model } = await made('shown');
      await model.write(3);
      await restored('shown', 'shown-copy');
      const { tables, errors } = await rpc.call(regatta.ClusterService.status, {});
      const { archive: shown } = tables.get('shown')!;
      expect(shown).toMatchObject({ state: 'archiving', backlogBytes: 0n, gapCount: 0n, error: '' });
      expect(Number(shown!.archivedIndex)).toBeGreaterThanOrEqual(model.last.revision);
      expect(errors.filter((error) => error.startsWith('archive'))).toEqual([]);
      const { text } = await node.get('/metrics');
      expect(text).toMatch(/coxswain_archive_archived_index\{table="shown"\} \d+/);
      expect(text).toMatch(/coxswain_archive_backlog_bytes \d+/);
    });
  });

  describe('a node', () => {
    test('without an archive says what to do', async () => {
      const other = await OneNode.start({ 'tables.names': 'a' });
      const otherRpc = other.rpc();
      try {
        const call = collect(otherRpc.stream(restoreArchive, { table: Buffer.from('a') }));
        const failure = await failureOf(call);
        expect(failure).toMatchObject({ code: status.FAILED_PRECONDITION });
        expect(failure.details).toMatch('archive.target');
      } finally {
        otherRpc.close();
        await other.stop();
      }
    });

    test('whose archive is away serves, says so, and refuses writes at the limit only where it was told to', async () => {
      const blocked = join(directory, 'blocked');
      writeFileSync(blocked, 'a file where the directory would be');
      const other = await OneNode.start({
        'tables.names': 'a',
        'archive.target': pathToFileURL(join(blocked, 'archive')).href,
        'archive.object-age': '20ms',
        'archive.max-backlog': '1MiB',
        'archive.on-limit': 'stop-writes',
      });
      const otherRpc = other.rpc();
      const write = () =>
        otherRpc.call(put, { table: Buffer.from('a'), key: Buffer.from('k'), value: Buffer.alloc(100_000) });
      try {
        await write();
        const stateOf = async () => {
          const { tables, errors } = await otherRpc.call(regatta.ClusterService.status, {});
          return { state: tables.get('a')!.archive!.state, errors: errors.join() };
        };
        await until('the archive is tried again', async () => (await stateOf()).state === 'retrying');
        expect((await stateOf()).errors).toMatch("archive: table 'a' is not archived");
        const failure = await failureOf(
          (async () => {
            for (;;) await write();
          })(),
        );
        expect(failure).toMatchObject({ code: status.UNAVAILABLE });
        expect(failure.details).toMatch('archive.max-backlog');
        expect((await stateOf()).state).toBe('full');
        expect((await other.get('/readyz')).text).toMatch('isArchiveFull=true');
        const restore = collect(otherRpc.stream(restoreArchive, { table: Buffer.from('a') }));
        expect(await failureOf(restore)).toMatchObject({ code: status.UNAVAILABLE });
        rmSync(blocked);
        mkdirSync(blocked);
        await other.untilReady();
        await write();
      } finally {
        otherRpc.close();
        await other.stop();
      }
    });
  });

  function flipped(content: Buffer): Buffer {
    const changed = Buffer.from(content);
    const at = Math.floor(changed.length / 2);
    changed[at] = changed[at]! ^ 1;
    return changed;
  }
}
