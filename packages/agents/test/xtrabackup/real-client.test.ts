import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { systemClock } from '@coxswain/node';
import { MemoryNode } from '@coxswain/node/testing';
import { RateLimit } from '@coxswain/runtime';
import {
  TemporaryDirectory,
  XtrabackupClient,
  type XtrabackupOutcome,
  type XtrabackupRequest,
} from '@coxswain/testing';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import {
  BackupAgent,
  type BackupAgentOptions,
  defaultBackupAgentLimits,
} from '../../src/xtrabackup/backup-agent.js';
import { ask, requestOf } from '../support/agent-client.js';
import { MemoryFiles } from '../support/memory-files.js';

const PASSWORD = 's3cUre';
let root: TemporaryDirectory;
let node: MemoryNode;
let agent: BackupAgent;
let client: XtrabackupClient;

async function start(options: Partial<BackupAgentOptions> = {}): Promise<void> {
  node = new MemoryNode();
  agent = new BackupAgent(node.parts, {
    ...defaultBackupAgentLimits,
    streamMsMin: 0,
    host: '127.0.0.1',
    port: 0,
    clock: systemClock,
    log: () => undefined,
    isPasswordRight: (given) => given === PASSWORD,
    rate: new RateLimit(systemClock, 0),
    files: new MemoryFiles(),
    ...options,
  });
  await agent.listen();
  client = new XtrabackupClient({ port: agent.address.port, password: PASSWORD });
}

beforeEach(async () => {
  root = new TemporaryDirectory();
  await start();
});
afterEach(async () => {
  await agent.close();
  root.remove();
});

interface Unpacked {
  readonly sid: string;
  readonly tables: { readonly name: string; readonly type: string; readonly revision: number }[];
}

/** Reads what the client has unpacked, and checks each file against the manifest. */
function unpacked(directory: string): Unpacked {
  const read = (name: string): Buffer => readFileSync(join(directory, name));
  const { sid, tables } = JSON.parse(read('manifest.json').toString());
  for (const { file_name: name, md5 } of tables) {
    expect(createHash('md5').update(read(name)).digest('hex')).toBe(md5);
  }
  return {
    sid,
    tables: tables.map(({ name, type, revision }: Unpacked['tables'][0]) => ({ name, type, revision })),
  };
}

/** Makes noise, as text. */
function shake(seed: string, length: number): string {
  return createHash('shake256', { outputLength: length }).update(seed).digest().toString('latin1');
}

/** Fills tables with enough noise for some blocks. */
async function fillTables(): Promise<void> {
  for (const name of ['orders', 'users']) {
    const table = await node.createTable(name);
    for (let i = 0; i < 20; i++)
      await table.put(`k${i}`, createHash('sha512').update(`${name}${i}`).digest('hex').repeat(30));
  }
}

const directory = (name: string): string => join(root.path, name);
const run = (
  request: Partial<XtrabackupRequest> & { readonly directory: string },
): Promise<XtrabackupOutcome> => client.run({ level: '0', ...request });

/** Every form in which the client can get a stream. */
const ways: Partial<XtrabackupRequest>[] = [
  {},
  ...(['uuencode', 'base64', 'null'] as const).map((encoding) => ({ encoding })),
].flatMap((way) => [way, { ...way, inlineCompress: 'gzip -c' }]);

describe('a client that does as the real one', () => {
  test.each([...ways, { inlineCompress: 'gzip' }])(
    'gets a whole backup, and what changed since: %j',
    async (way) => {
      await fillTables();
      const full = directory('20110304005033');
      const first = await run({ ...way, directory: full });
      expect(first).toMatchObject({ exitCode: 0, block: { status: 'SENDING' } });
      expect(unpacked(full).tables).toEqual([
        { name: 'orders', type: 'FULL', revision: 20 },
        { name: 'users', type: 'FULL', revision: 20 },
      ]);
      expect(unpacked(full).sid).toBe(first.block['next-binlog']);

      await node.tables.get('orders')!.put('more', 'x'.repeat(50_000));
      const since = directory('20110305005033');
      const binlog = first.block['next-binlog']!;
      expect(await run({ ...way, level: '1', directory: since, binlog })).toMatchObject({ exitCode: 0 });
      expect(unpacked(since).tables).toEqual([
        { name: 'orders', type: 'INCREMENTAL', revision: 21 },
        { name: 'users', type: 'INCREMENTAL', revision: 20 },
      ]);
      const { sid } = unpacked(since);
      const masterInfo = readFileSync(join(since, 'master.info'), 'utf8').split('\n');
      expect(masterInfo).toEqual([
        'msg=sending 0 tables in full and the changes of 2',
        `next-binlog=${sid}`,
        `next_binlog=${sid}`,
        `sid=${sid}`,
      ]);
    },
  );

  test.each([
    { encoding: 'uuencode', blockBytes: 5 },
    { encoding: 'uuencode', blockBytes: 100 },
    // Blocks of just these bytes are 1,382 bytes of uuencode, and the client takes 1,380 at most.
    { encoding: 'uuencode', blockBytes: 1_000 },
    { encoding: 'uuencode', blockBytes: 16_777_216 },
    { encoding: 'base64', blockBytes: 57 },
    { encoding: 'base64', blockBytes: 16_777_216 },
    { encoding: 'null', blockBytes: 2 },
    { encoding: 'null', blockBytes: 16_777_216 },
  ] as const)('gets it in blocks of its own size: %j', async (way) => {
    await (await node.createTable('t')).put('key', 'x'.repeat(3_000));
    expect(await run({ ...way, directory: directory('full') })).toMatchObject({ exitCode: 0 });
    expect(unpacked(directory('full')).tables).toHaveLength(1);
  });

  test('exits with 1 and has nothing where it was refused', async () => {
    const { next_binlog: binlog } = (await run({ directory: directory('full') })).block;
    const refused = async (outcome: Promise<XtrabackupOutcome>): Promise<void> => {
      expect(await outcome).toMatchObject({
        exitCode: 1,
        error: 'Agent did not respond properly. Got: 2',
        block: {},
      });
      expect(readdirSync(directory('refused'))).toEqual([]);
    };
    const into = { level: '0', directory: directory('refused') };
    const { port } = agent.address;
    await refused(new XtrabackupClient({ port, password: 'wrong' }).run(into));
    await refused(new XtrabackupClient({ port }).run(into));
    for (const version of ['1.75.1', '0.77.0', '76.1', '']) {
      await refused(new XtrabackupClient({ port, password: PASSWORD, version }).run(into));
    }
    for (const level of ['2', '-1', 'full', '']) await refused(run({ ...into, level }));
    await refused(run({ ...into, level: '1' }));
    await refused(run({ ...into, level: '1', binlog: 'mysql-bin.000012' }));
    await refused(run({ ...into, inlineCompress: 'bzip2' }));
    await refused(run({ ...into, encoding: 'base64', blockBytes: 56 }));
    await refused(run({ ...into, more: { 'agent-stream-encoding': 'application/x-yenc' } }));
    await refused(run({ ...into, more: { comment: 'a\u0000b' } }));
    await refused(run({ ...into, more: { action: 'copy to' } }));
    node.role = 'follower';
    await refused(run({ ...into, level: '1', binlog: binlog! }));
    node.clusterId = undefined;
    await refused(run(into));
  });

  test('gets nothing, and exits with 0, for what ZRM asks more than once', async () => {
    await fillTables();
    const nothing = { exitCode: 0, block: { status: 'OK' } };
    expect(await run({ directory: directory('links'), file: '/var/lib/mysql/orders/.' })).toEqual({
      ...nothing,
      error: undefined,
    });
    expect(readdirSync(directory('links'))).toEqual([]);

    const { next_binlog: binlog } = (await run({ directory: directory('full') })).block;
    await node.tables.get('users')!.put('more', 'x');
    const changes = { level: '1', binlog: binlog!, file: '/var/lib/mysql/mysql-bin.000012' };
    const first = await run({ ...changes, directory: directory('first') });
    expect(first.block['status']).toBe('SENDING');
    rmSync(directory('first'), { recursive: true });
    expect(
      await run({ ...changes, directory: directory('first'), file: '/var/lib/mysql/mysql-bin.000013' }),
    ).toMatchObject(nothing);
    expect(readdirSync(directory('first'))).toEqual([]);
    // Another directory is another backup, and so is what begins elsewhere: a script may use one directory for all.
    expect((await run({ ...changes, directory: directory('second') })).block['status']).toBe('SENDING');
    const next = { ...changes, binlog: first.block['next-binlog']! };
    expect((await run({ ...next, directory: directory('first') })).block['status']).toBe('SENDING');
  });

  test.each(ways)(
    'exits with 1 where a stream breaks off, and gets it when it asks again: %j',
    async (way) => {
      await fillTables();
      const { next_binlog: binlog } = (await run({ directory: directory('full') })).block;
      // So long that lines of base64 end within the header that follows.
      await node.tables.get('orders')!.put('more', shake('orders', 5_000));
      const table = node.tables.get('users')!;
      await table.put('more', 'x');
      const entries = table.entries.bind(table);
      let readings = 0;
      table.entries = (...args) => {
        // The first reading measures the file. From then on the client gets a header and hardly anything
        // of its file.
        if (++readings === 1 || readings > 30) return entries(...args);
        if (readings < 30) return [];
        throw new Error('the disk');
      };
      const changes = { ...way, level: '1', binlog: binlog!, directory: directory('changes') };
      const broken = await run(changes);
      expect(broken).toMatchObject({ exitCode: 1, block: { status: 'SENDING' } });
      expect(broken.error).toContain('tar pipe failed');
      expect(readdirSync(directory('changes'))).not.toContain('manifest.json');
      expect(await run(changes)).toMatchObject({ exitCode: 0, block: { status: 'SENDING' } });
      expect(unpacked(directory('changes')).tables).toHaveLength(2);
    },
  );

  test('has the end of a stream wait for what it does meanwhile, and a script made from the seed does not', async () => {
    const delaysMs: number[] = [];
    const startTimer: typeof systemClock.startTimer = (delayMs, act) => {
      delaysMs.push(delayMs);
      return systemClock.startTimer(delayMs, act);
    };
    await agent.close();
    await start({ clock: { ...systemClock, startTimer }, streamMsMin: 5 });
    const short = (): number[] => delaysMs.splice(0).filter((delayMs) => delayMs > 0 && delayMs <= 5);
    await ask(agent.address.port, requestOf({ action: 'copy from', password: PASSWORD }));
    expect(short()).toEqual([]);
    // An answer may take longer than that, on a busy machine, and then there is nothing to wait for.
    const waits: number[] = [];
    for (let attempt = 0; attempt < 50 && waits.length === 0; attempt++) {
      expect(await run({ directory: directory('full') })).toMatchObject({ exitCode: 0 });
      waits.push(...short());
    }
    expect(waits).toHaveLength(1);
  });

  test('hears of the backups that were made, newest first', async () => {
    let nowMs = Date.UTC(2026, 0, 2);
    await agent.close();
    const clock = { ...systemClock, nowMs: () => (nowMs += 1_000) };
    const files = new MemoryFiles();
    await start({ clock, files });
    await fillTables();
    const first = await run({ directory: directory('full') });
    const beganSeconds = Math.floor(nowMs / 1000);
    await run({ directory: directory('full'), file: '/no/links' });
    await run({ directory: directory('full'), level: '2' });
    await run({ directory: directory('changes'), level: '1', binlog: first.block['next-binlog']! });
    node.beforeOpen = () => Promise.reject(new Error('secret'));
    await run({ directory: directory('broken') });
    // A restart changes nothing.
    await agent.close();
    await start({ clock, files });

    const monitor = async (more: Readonly<Record<string, string>>): Promise<Record<string, string>[]> => {
      const { bytes } = await ask(
        agent.address.port,
        requestOf({ action: 'monitor', password: PASSWORD, ...more }),
      );
      const [ready, ...blocks] = bytes.toString().split(/(?:^|(?<=READY)\n|\n\n)8\n/);
      expect(ready).toBe(blocks.length === 0 ? 'READY\n' : 'READY');
      return blocks.map((block) =>
        Object.fromEntries(
          block
            .trim()
            .split('\n')
            .map((line) => [line.split('=')[0], line.slice(line.indexOf('=') + 1)]),
        ),
      );
    };
    const all = await monitor({});
    expect(
      all.map(({ sid, type, status, files, message }) => ({ sid, type, status, files, message })),
    ).toEqual([
      {
        sid: directory('broken'),
        type: 'full',
        status: 'failure',
        files: '0',
        message: 'the backup could not be made: see the log of the node',
      },
      {
        sid: directory('changes'),
        type: 'incremental',
        status: 'success',
        files: '3',
        message: 'sending 0 tables in full and the changes of 2',
      },
      {
        sid: directory('full'),
        type: 'full',
        status: 'success',
        files: '3',
        message: 'sending 2 tables in full and the changes of 0',
      },
    ]);
    const [, , { start_time: began, end_time: ended, backup_size: size }] = all as [
      object,
      object,
      Record<string, string>,
    ];
    expect(Number(began)).toBeLessThanOrEqual(Number(ended));
    expect(Number(size) % 512).toBe(0);
    expect(Number(size)).toBeGreaterThan(10_240);
    expect((await monitor({ max_items: '1' })).map(({ sid }) => sid)).toEqual([directory('broken')]);
    expect((await monitor({ type: 'incremental' })).map(({ sid }) => sid)).toEqual([directory('changes')]);
    expect(await monitor({ newer_than: String(beganSeconds) })).toHaveLength(2);
    expect(await monitor({ newer_than: String(beganSeconds + 1_000_000) })).toEqual([]);
  });
});
