import { spawnSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { errors, systemClock } from '@coxswain/node';
import { MemoryNode } from '@coxswain/node/testing';
import { mvcc } from '@coxswain/protocol';
import { type Clock, RateLimit } from '@coxswain/runtime';
import { FrameDecompressor } from '@coxswain/stream';
import { CommandKind } from '@coxswain/table';
import { TemporaryDirectory, until } from '@coxswain/testing';
import { afterEach, describe, expect, test } from '@jest/globals';
import {
  BackupAgent,
  type BackupAgentOptions,
  defaultBackupAgentLimits,
} from '../../src/xtrabackup/backup-agent.js';
import { clusterMark, formatSessionId } from '../../src/xtrabackup/session-id.js';
import {
  answerOf,
  ask,
  connect,
  decodeStream,
  parseAnswer,
  readTar,
  requestOf,
} from '../support/agent-client.js';
import { MemoryFiles } from '../support/memory-files.js';

const clock: Clock = { ...systemClock, nowMs: () => Date.UTC(2026, 0, 2, 3, 4, 5, 678) };
const full = { action: 'copy from', password: 's3cUre', 'backup-level': '0' };
/** The request of the protocol's own description. */
const example = {
  action: 'copy from',
  user: 'backupdb',
  password: 's3cUre',
  'backup-level': '0',
  replication: '1',
  file: '/srv/backups/BackupSet/20110304005033/ZRM_LINKS/.',
};
const { PUT, DUMMY, TXN } = mvcc.Command_CommandType;

const agents: BackupAgent[] = [];
afterEach(async () => {
  for (const agent of agents.splice(0)) await agent.close();
});

interface Started {
  readonly node: MemoryNode;
  readonly agent: BackupAgent;
  readonly port: number;
  readonly logged: string[];
}

async function start(options: Partial<BackupAgentOptions> = {}): Promise<Started> {
  const node = new MemoryNode();
  const logged: string[] = [];
  const agent = new BackupAgent(node.parts, {
    ...defaultBackupAgentLimits,
    streamMsMin: 0,
    host: '127.0.0.1',
    port: 0,
    clock,
    log: ({ code }, fields) => {
      logged.push(`${code} ${JSON.stringify(fields)}`);
    },
    isPasswordRight: (password) => password === 's3cUre',
    rate: new RateLimit(clock, 0),
    files: new MemoryFiles(),
    ...options,
  });
  agents.push(agent);
  await agent.listen();
  return { node, agent, port: agent.address.port, logged };
}

/** Whether a tar is complete: any tar reader notices when it is not, before it misses the manifest. */
function isWhole(answer: Buffer): Promise<boolean> {
  return readTar(parseAnswer(answer).tar).then(
    (files) => files.has('manifest.json'),
    () => false,
  );
}

interface ManifestTable {
  readonly name: string;
  readonly file_name: string;
  readonly md5: string;
  readonly type: string;
  readonly base_revision?: number;
  readonly revision: number;
  readonly leader_index?: number;
}

/** Makes a backup, and checks that it was sent whole: every file as its manifest says. */
async function backup(port: number, pairs: Readonly<Record<string, string>>) {
  const { bytes, isEnded } = await ask(port, requestOf(pairs));
  expect(isEnded).toBe(true);
  const { block, tar } = parseAnswer(bytes);
  expect(block).toMatchObject({ status: 'SENDING', 'next-binlog': block['sid'], next_binlog: block['sid'] });
  const files = await readTar(tar);
  const manifest = JSON.parse(files.get('manifest.json')!.content.toString()) as {
    readonly sid: string;
    readonly tables: readonly ManifestTable[];
  };
  expect(manifest.sid).toBe(block['sid']);
  for (const { file_name: fileName, md5 } of manifest.tables) {
    const { content } = files.get(fileName)!;
    expect(createHash('md5').update(content).digest('hex')).toBe(md5);
  }
  expect(files.size).toBe(manifest.tables.length + 1);
  const commands = new Map(
    manifest.tables.map(({ name, file_name: fileName }) => [name, commandsOf(files.get(fileName)!.content)]),
  );
  return { sid: block['sid']!, msg: block['msg']!, tables: manifest.tables, commands };
}

function commandsOf(content: Buffer): mvcc.Command[] {
  const decompressor = new FrameDecompressor();
  const plain = decompressor.update(content);
  decompressor.end();
  const commands: mvcc.Command[] = [];
  for (let at = 0; at < plain.length; ) {
    const end = at + 8 + Number(plain.readBigUInt64LE(at));
    commands.push(mvcc.Command.decode(plain.subarray(at + 8, end)));
    at = end;
  }
  return commands;
}

const keysOf = (commands: readonly mvcc.Command[] | undefined) =>
  commands?.map(({ type, kv }) =>
    type === PUT ? `${kv!.key}=${kv!.value}` : mvcc.Command_CommandType[type],
  );

/** Makes a ustar header as POSIX has it, written by hand. */
function ustar(name: string, sizeBytes: number, seconds: number): Buffer {
  const header = Buffer.alloc(512);
  header.write(name, 0);
  header.write('000644 \0', 100);
  header.write('000000 \0', 108);
  header.write('000000 \0', 116);
  header.write(`${sizeBytes.toString(8).padStart(11, '0')} `, 124);
  header.write(`${seconds.toString(8).padStart(11, '0')} `, 136);
  header.write('        ', 148);
  header.write('0', 156);
  header.write('ustar\x0000', 257);
  header.write('000000 \0', 329);
  header.write('000000 \0', 337);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, '0')} \0`, 148);
  return header;
}

describe('a full backup', () => {
  test('asked for as the protocol describes it is READY, one block and a tar, byte by byte', async () => {
    const { node, port } = await start();
    const table = await node.createTable('t');
    await table.put('a', '1');
    const { bytes, isEnded } = await ask(port, requestOf(example));
    expect(isEnded).toBe(true);
    const sid = formatSessionId({ cluster: clusterMark('c1'), revisions: new Map([[10_001, 1]]) });
    const block = `5\nstatus=SENDING\nmsg=sending 1 table in full and the changes of 0\nsid=${sid}\n`;
    const head = `READY\n${block}next-binlog=${sid}\nnext_binlog=${sid}\n\n`;
    expect(bytes.toString('utf8', 0, head.length)).toBe(head);

    // Framed snappy: its header, and one uncompressed or compressed chunk with the one PUT.
    const tar = bytes.subarray(head.length);
    const fileBytes = Number.parseInt(tar.toString('latin1', 124, 135), 8);
    const file = tar.subarray(512, 512 + fileBytes);
    expect(keysOf(commandsOf(file))).toEqual(['a=1']);
    const manifest = Buffer.from(`{
  "started": "2026-01-02T03:04:05.678Z",
  "finished": "2026-01-02T03:04:05.678Z",
  "sid": "${sid}",
  "tables": [
    {
      "name": "t",
      "file_name": "t.bak",
      "md5": "${createHash('md5').update(file).digest('hex')}",
      "type": "FULL",
      "cluster_id": "c1",
      "shard_id": 10001,
      "revision": 1,
      "time": "1970-01-01T00:00:01.000Z",
      "leader_index": 1
    }
  ]
}
`);
    const seconds = Math.floor(clock.nowMs() / 1000);
    const padded = (content: Buffer) => Buffer.concat([content, Buffer.alloc(-content.length & 511)]);
    const expected = Buffer.concat([
      ustar('srv/backups/BackupSet/20110304005033/ZRM_LINKS/t.bak', fileBytes, seconds),
      padded(file),
      ustar('srv/backups/BackupSet/20110304005033/ZRM_LINKS/manifest.json', manifest.length, seconds),
      padded(manifest),
      Buffer.alloc(1024),
    ]);
    expect(tar.toString('latin1')).toBe(expected.toString('latin1'));
  });

  test('is what tar reads, whatever tables are called', async () => {
    const { node, port } = await start();
    const names = [
      'plain',
      'tëxt ☃',
      '-rf',
      '..',
      'a.log',
      'n'.repeat(255),
      'n'.repeat(120),
      'quarantine/7/old',
    ];
    for (const name of names) await (await node.createTable(name)).put('key', name);
    const { bytes } = await ask(port, requestOf({ ...full, file: 'x/ZRM_LINKS' }));
    const directory = new TemporaryDirectory();
    try {
      const { status } = spawnSync('tar', ['-x', '-C', directory.path], { input: parseAnswer(bytes).tar });
      expect(status).toBe(0);
      const read = (file: string) => readFileSync(join(directory.path, 'x/ZRM_LINKS', file));
      const { tables } = JSON.parse(read('manifest.json').toString()) as { tables: ManifestTable[] };
      const found = tables.map(({ name, file_name: file }) => {
        expect(file).not.toContain('/');
        const [{ kv }] = commandsOf(read(file)) as [mvcc.Command];
        return [name, kv!.value.toString()];
      });
      expect(found).toEqual(names.sort().map((name) => [name, name]));
    } finally {
      directory.remove();
    }
  });

  test('is each table at one point in time, though it is written to meanwhile', async () => {
    const { node, port } = await start();
    const table = await node.createTable('t');
    for (let i = 0; i < 300; i++) await table.put(`k${String(i).padStart(4, '0')}`, `${i}`.repeat(2000));
    const socket = await connect(port);
    socket.write(requestOf(full));
    await new Promise<void>((resolve) => socket.once('readable', resolve));
    for (let i = 0; i < 300; i++) await table.put(`k${String(i).padStart(4, '0')}`, 'later');
    const { tar } = parseAnswer((await answerOf(socket)).bytes);
    const commands = commandsOf((await readTar(tar)).get('t.bak')!.content);
    expect(commands).toHaveLength(300);
    expect(commands.filter(({ kv }) => kv!.value.toString() === 'later')).toEqual([]);
    await until('the table is let go', () => table.viewCount === 0);
  });

  test('is raw, below its file, where a request has the keys of the protocol alone, and encoded where it has others', async () => {
    const { node, port } = await start();
    await (await node.createTable('t')).put('a', '1');
    const tarOf = async (pairs: Readonly<Record<string, string>>): Promise<Buffer> =>
      parseAnswer((await ask(port, requestOf(pairs))).bytes).tar;
    const namesIn = async (tar: Buffer): Promise<string[]> => [...(await readTar(tar)).keys()];
    const below = 'srv/backups/BackupSet/20110304005033/ZRM_LINKS';
    const named = [`${below}/t.bak`, `${below}/manifest.json`];
    expect(await namesIn(await tarOf(example))).toEqual(named);
    expect(await namesIn(await tarOf({ ...example, sid: '/srv/backups/BackupSet/20110304005033' }))).toEqual(
      named,
    );
    for (const more of [
      { tmpdir: '/tmp' },
      { binlog: '' },
      { 'agent-stream-encoding': '' },
      { comment: '' },
    ]) {
      const tar = decodeStream(await tarOf({ ...example, ...more }), 'uuencode');
      expect(await namesIn(tar)).toEqual(['t.bak', 'manifest.json']);
    }
  });

  test('of a cluster without tables is a manifest', async () => {
    const { port } = await start();
    expect((await backup(port, full)).tables).toEqual([]);
  });
});

describe('an incremental backup', () => {
  const since = (sid: string) => ({ ...full, 'backup-level': '1', sid });

  test('is what was written behind the backup of the sid, in order, and so on from backup to backup', async () => {
    const { node, port } = await start();
    const table = await node.createTable('t');
    await node.createTable('idle');
    await table.put('a', '1');
    const first = await backup(port, full);
    await table.put('b', '2');
    await table.append({}, CommandKind.None);
    await table.put('a', '3');
    await (await node.createTable('new')).put('n', '1');
    const second = await backup(port, since(first.sid));
    expect(second.msg).toBe('sending 1 table in full and the changes of 2');
    expect(second.tables).toMatchObject([
      { name: 'idle', file_name: 'idle.log', type: 'INCREMENTAL', base_revision: 0, revision: 0 },
      { name: 'new', file_name: 'new.bak', type: 'FULL', revision: 1 },
      { name: 't', file_name: 't.log', type: 'INCREMENTAL', base_revision: 1, revision: 4 },
    ]);
    expect(keysOf(second.commands.get('t'))).toEqual(['DUMMY', 'b=2', 'a=3']);
    expect(keysOf(second.commands.get('idle'))).toEqual(['DUMMY']);
    await table.put('c', '4');
    const third = await backup(port, since(second.sid));
    expect(keysOf(third.commands.get('t'))).toEqual(['DUMMY', 'c=4']);
    expect(keysOf(third.commands.get('new'))).toEqual(['DUMMY']);
  });

  test('holds the branch that a Txn on revisions took, since whoever runs it again has others (R3)', async () => {
    const { node, port } = await start();
    const table = await node.createTable('t');
    const { sid } = await backup(port, full);
    const request = (value: string): mvcc.RequestOp => ({
      request: {
        $case: 'requestPut',
        value: { key: Buffer.from('k'), value: Buffer.from(value), prevKv: false },
      },
    });
    await table.append({
      type: TXN,
      txn: {
        compare: [
          mvcc.Compare.fromPartial({
            target: mvcc.Compare_CompareTarget.VERSION,
            key: Buffer.from('k'),
            targetUnion: { $case: 'version', value: 7n },
          }),
        ],
        success: [request('held')],
        failure: [request('did not hold')],
      },
    });
    const commands = (await backup(port, since(sid))).commands.get('t')!;
    expect(commands.map(({ type }) => type)).toEqual([DUMMY, TXN]);
    expect(commands[1]!.txn).toEqual({ compare: [], success: [request('did not hold')], failure: [] });
  });

  test('has a table whole where its log does not tell what changed, so that nothing is missing', async () => {
    const { node, port } = await start();
    const compacted = await node.createTable('compacted');
    const loaded = await node.createTable('loaded');
    await node.createTable('replaced');
    const reaching = await node.createTable('reaching');
    for (const table of [compacted, loaded, reaching]) await table.put('a', '1');
    const { sid } = await backup(port, full);
    for (const table of [compacted, loaded, reaching]) {
      await table.put('b', '2');
      await table.put('c', '3');
    }
    compacted.firstIndex = 3;
    loaded.loadedIndex = 2;
    reaching.firstIndex = 2;
    await (await node.createTable('replaced')).put('r', '1');
    const { tables, commands } = await backup(port, since(sid));
    expect(tables.map(({ name, type }) => [name, type])).toEqual([
      ['compacted', 'FULL'],
      ['loaded', 'FULL'],
      ['reaching', 'INCREMENTAL'],
      ['replaced', 'FULL'],
    ]);
    expect(keysOf(commands.get('compacted'))).toEqual(['a=1', 'b=2', 'c=3']);
    expect(keysOf(commands.get('reaching'))).toEqual(['DUMMY', 'b=2', 'c=3']);
    expect(keysOf(commands.get('replaced'))).toEqual(['r=1']);
  });

  /**
   * Starts an agent with a table whose log is compacted in the middle of the changes, at the reading of this number.
   */
  async function withLogThatGoes(atReading: number) {
    const started = await start();
    const table = await started.node.createTable('t');
    const { sid } = await backup(started.port, full);
    for (let i = 0; i < 40; i++) await table.put(`k${i}`, 'x'.repeat(200_000));
    const entries = table.entries.bind(table);
    let readings = 0;
    table.entries = (from, maxBytes) => {
      if (from === 1) readings++;
      const found = entries(from, maxBytes);
      if (readings === atReading && from > 10 && table.firstIndex === 1) table.firstIndex = 39;
      return found;
    };
    return { ...started, table, sid };
  }

  test('whose log is compacted while it is sent breaks off, and is no backup', async () => {
    const { agent, port, table, sid, logged } = await withLogThatGoes(2);
    expect(await isWhole((await ask(port, requestOf(since(sid)))).bytes)).toBe(false);
    await until('the backup has failed', () => agent.status.failed === 1 && agent.status.running === 0);
    expect(table.holders.size).toBe(0);
    expect(logged.at(-1)).toContain('the log was compacted meanwhile');
  });

  test('whose log is compacted before it is sent is refused, since nothing was answered yet', async () => {
    const { agent, port, table, sid } = await withLogThatGoes(1);
    expect(await refusal(port, since(sid))).toBe('the log was compacted meanwhile');
    expect([agent.status.failed, agent.status.running, table.holders.size]).toEqual([1, 0, 0]);
  });

  test('is refused with the sid of another cluster, and on a follower cluster', async () => {
    const { node, port } = await start();
    await node.createTable('t');
    const { sid } = await backup(port, full);
    node.clusterId = 'c2';
    expect(await refusal(port, since(sid))).toBe(
      'the sid is of a backup of another cluster: make a full backup (backup-level=0)',
    );
    node.role = 'follower';
    expect(await refusal(port, since(sid))).toBe(
      'a follower cluster makes full backups only: use backup-level=0, or ask the leader cluster',
    );
  });
});

async function refusal(port: number, pairs: Readonly<Record<string, string>>): Promise<string> {
  const { bytes, isEnded } = await ask(port, requestOf(pairs));
  expect(isEnded).toBe(true);
  const found = /^2\nstatus=FAILED\nmsg=(.+)\n\n$/.exec(bytes.toString());
  if (found === null) throw new Error(`not a refusal: ${bytes}`);
  return found[1]!;
}

describe('a request that is refused', () => {
  const noPoint =
    'backup-level=1 needs the point that it begins at: in the key binlog, or as sid, the sid of the backup before';

  test.each([
    [{ ...full, password: 'wrong' }, 'the password is wrong: it must be the maintenance token'],
    [{ action: 'copy from' }, 'the password is wrong: it must be the maintenance token'],
    [{ password: 's3cUre' }, 'the key action is missing: it must be "copy from" or "monitor"'],
    [{ ...full, action: '' }, 'the key action is missing: it must be "copy from" or "monitor"'],
    [{ ...full, action: 'copy to' }, 'the action is unknown: it must be "copy from" or "monitor"'],
    [{ ...full, 'backup-level': '2' }, 'backup-level must be 0 or 1'],
    [{ ...full, 'backup-level': '' }, 'backup-level must be 0 or 1'],
    [{ ...full, replication: 'yes' }, 'replication must be 0 or 1'],
    [{ ...full, 'backup-level': '1' }, noPoint],
    [{ ...full, 'backup-level': '1', sid: '/srv/backups/BackupSet/1', binlog: '' }, noPoint],
    [
      { ...full, 'backup-level': '1', sid: 'cx1-nothing' },
      'the sid is not one that an agent gave out, or was not copied whole',
    ],
    [
      { ...full, 'backup-level': '1', sid: '/srv/backups/BackupSet/1', binlog: 'mysql-bin.000012' },
      'the binlog is not one that an agent gave out, or was not copied whole',
    ],
    [{ ...full, file: '/ZRM_LINKS/../etc' }, 'file must be a path without ".."'],
    [{ ...full, file: `ZRM_LINKS${'x'.repeat(1016)}` }, 'file must be at most 1024 bytes'],
    [{ ...full, sid: 'x'.repeat(1025) }, 'sid must be at most 1024 characters'],
    [
      { ...full, 'agent-stream-encoding': 'application/x-yenc' },
      'Unknown encoding requested: application/x-yenc (known are application/x-uuencode-stream, application/x-base64-stream, application/octet-stream)',
    ],
    [{ ...full, 'agent-stream-encoding': 'constructor' }, /^Unknown encoding requested: constructor /],
    [
      { ...full, 'agent-stream-block-size': '10k' },
      'agent-stream-block-size must be a number of at most 12 digits',
    ],
    [
      { ...full, 'agent-stream-block-size': '4' },
      'agent-stream-block-size must be at least 5 for this encoding, not 4',
    ],
    [
      { ...full, 'agent-stream-block-size': '56', 'agent-stream-encoding': 'application/x-base64-stream' },
      'agent-stream-block-size must be at least 57 for this encoding, not 56',
    ],
    ...[
      'bzip2',
      'gzip -9',
      'gzip -c; touch /tmp/x',
      'gzip -c | tee x',
      ' gzip',
      'gzip  -c',
      '../gzip',
      '/a b/gzip',
    ].map((command): [Record<string, string>, string] => [
      { ...full, 'xtrabackup-agent:inline-compress': command },
      'xtrabackup-agent:inline-compress must be "gzip -c" or "gzip": nothing else is done, and no command is run',
    ]),
    [
      { ...full, 'agent-stream-block-size': '0' },
      'agent-stream-block-size must be at least 5 for this encoding, not 0',
    ],
    [{ ...full, action: 'monitor', type: 'foo' }, 'type must be full or incremental'],
    [{ ...full, action: 'monitor', newer_than: 'today' }, 'newer_than must be a number of at most 12 digits'],
    [{ ...full, action: 'monitor', max_items: '-1' }, 'max_items must be a number of at most 12 digits'],
    [{ action: 'monitor' }, 'the password is wrong: it must be the maintenance token'],
  ] as [Record<string, string>, string | RegExp][])(
    'gets no READY, and one block that says why (%#)',
    async (pairs, message) => {
      const { port, agent } = await start();
      const text = await refusal(port, pairs);
      if (message instanceof RegExp) expect(text).toMatch(message);
      else expect(text).toBe(message);
      expect(agent.status).toMatchObject({ refused: 1, done: 0, failed: 0 });
    },
  );

  test.each([
    ['0.77.0\n', 'version 0.77.0 of the protocol is not spoken here: this agent speaks 0.76.1'],
    ['0.76.1\n1\nnothing\n', 'line 3 of the request is not key=value'],
    ['x'.repeat(70_000), 'a line of the request is longer than 65536 bytes'],
  ])('gets the same, before it is whole (%#)', async (text, message) => {
    const { port } = await start();
    const { bytes, isEnded } = await ask(port, text);
    expect(isEnded).toBe(true);
    expect(bytes.toString()).toBe(`2\nstatus=FAILED\nmsg=${message}\n\n`);
  });

  test('because it ends, or falls silent, or drips, gets the same', async () => {
    const ending = await start();
    const socket = await connect(ending.port);
    socket.end('0.76.1\n2\na=1\n');
    expect((await answerOf(socket)).bytes.toString()).toBe(
      '2\nstatus=FAILED\nmsg=the request is not whole: it ends before 1 of 2 key=value lines\n\n',
    );
    const late =
      '2\nstatus=FAILED\nmsg=the request is not whole: no more of it came in time before the version line\n\n';
    const silent = await start({ silenceMs: 20 });
    expect((await ask(silent.port, '0')).bytes.toString()).toBe(late);
    const dripping = await start({ silenceMs: 10_000, requestMs: 60 });
    const drip = await connect(dripping.port);
    const timer = setInterval(() => drip.writable && drip.write('0'), 5);
    const { bytes } = await answerOf(drip);
    clearInterval(timer);
    expect(bytes.toString()).toBe(late);
  });

  test('by the node says what the node says, and an unknown error says where to look', async () => {
    const { node, port, agent } = await start();
    await node.createTable('t');
    node.beforeOpen = () => Promise.reject(errors.notReady());
    expect(await refusal(port, full)).toBe(errors.notReady().message);
    node.beforeOpen = () => Promise.reject(new Error('secret'));
    expect(await refusal(port, full)).toBe('the backup could not be made: see the log of the node');
    expect(agent.status).toMatchObject({ refused: 1, failed: 1, running: 0 });
    node.clusterId = undefined;
    expect(await refusal(port, full)).toBe('this node does not know its cluster yet: try again later');
  });
});

describe('the agent', () => {
  async function withLargeTable(options: Partial<BackupAgentOptions> = {}) {
    const started = await start(options);
    const table = await started.node.createTable('t');
    // Noise, which snappy cannot make smaller, and more of it than sockets hold.
    const noise = randomBytes(600_000);
    for (let i = 0; i < 40; i++) {
      await table.append({ kv: mvcc.KeyValue.fromPartial({ key: Buffer.from(`k${i}`), value: noise }) });
    }
    return { ...started, table };
  }

  test.each([
    {},
    { 'agent-stream-encoding': 'application/x-uuencode-stream', 'agent-stream-block-size': '999999999' },
    { 'agent-stream-encoding': 'application/x-base64-stream', 'xtrabackup-agent:inline-compress': 'gzip -c' },
  ])('sends no more than is taken, and lets go of everything when the client leaves (%#)', async (more) => {
    const { agent, port, table } = await withLargeTable();
    const socket = await connect(port);
    socket.write(requestOf({ ...full, ...more }));
    await new Promise<void>((resolve) => socket.once('readable', resolve));
    let sentBytes = -1;
    let quietLooks = 0;
    await until('the agent sends no more', () => {
      quietLooks = agent.status.bytesSent === sentBytes ? quietLooks + 1 : 0;
      sentBytes = agent.status.bytesSent;
      return sentBytes > 0 && quietLooks === 100;
    });
    expect(sentBytes).toBeLessThan(table.table.approximateSizeBytes / 2);
    expect([agent.status.running, table.viewCount, table.holders.size]).toEqual([1, 1, 1]);
    socket.resetAndDestroy();
    await until('the backup has ended', () => agent.status.running === 0 && agent.status.connections === 0);
    expect([agent.status.failed, table.viewCount, table.holders.size]).toEqual([1, 0, 0]);
  });

  test('gives a client up that takes nothing', async () => {
    const { agent, port, table } = await withLargeTable({ stallMs: 50 });
    const socket = await connect(port);
    socket.on('error', () => undefined);
    socket.write(requestOf(full));
    await until('the client is given up', () => agent.status.failed === 1 && agent.status.connections === 0);
    expect(table.viewCount).toBe(0);
    socket.destroy();
  });

  test('makes so many backups at a time and takes so many connections, and no more', async () => {
    const { agent, port } = await withLargeTable({ backupsMax: 1, connectionsMax: 2 });
    const first = await connect(port);
    first.write(requestOf(full));
    await until('a backup runs', () => agent.status.running === 1);
    expect(await refusal(port, full)).toBe('1 backup is under way: try again when one is done');
    await until('there is one connection', () => agent.status.connections === 1);
    const second = await connect(port);
    await until('there are two connections', () => agent.status.connections === 2);
    expect(await refusal(port, full)).toBe('2 connections are open: try again when one is closed');
    expect(agent.status.connections).toBe(2);
    second.destroy();
    expect(await isWhole((await answerOf(first)).bytes)).toBe(true);
    await until('no backup runs', () => agent.status.running === 0);
    expect(parseAnswer((await ask(port, requestOf(full))).bytes).block['status']).toBe('SENDING');
  });

  test('that closes waits for no client that was refused', async () => {
    let firedTimers = 0;
    const startTimer: Clock['startTimer'] = (delayMs, callback) =>
      clock.startTimer(delayMs, () => {
        firedTimers++;
        callback();
      });
    const { agent, port } = await start({ connectionsMax: 1, clock: { ...clock, startTimer } });
    const first = await connect(port);
    await until('there is one connection', () => agent.status.connections === 1);
    // It has read the refusal, and does not close its side.
    const second = await connect(port);
    second.resume();
    await once(second, 'end');
    await agent.close();
    expect(firedTimers).toBe(0);
    first.destroy();
    second.destroy();
  });

  test('that closes breaks off what is under way so that nobody takes it for a backup', async () => {
    const { agent, port, table, logged } = await withLargeTable();
    const socket = await connect(port);
    socket.write(requestOf(full));
    const answer = answerOf(socket);
    await until('a backup runs', () => agent.status.running === 1);
    await agent.close();
    expect(logged.filter((line) => line.includes('the node stops'))).toHaveLength(1);
    expect(await isWhole((await answer).bytes)).toBe(false);
    expect([agent.status.running, table.viewCount]).toEqual([0, 0]);
    await expect(connect(port)).rejects.toMatchObject({ code: 'ECONNREFUSED' });
  });

  test('sends backups whatever becomes of its history, and says so', async () => {
    const files = new MemoryFiles();
    files.contents.set('backup-agent.json', Buffer.from('{"format":1'));
    files.failure = new Error('no room');
    const { agent, port, logged } = await start({ files });
    await backup(port, full);
    await agent.close();
    expect(logged.filter((line) => line.includes('backup-history-unread'))).toHaveLength(1);
    expect(logged.filter((line) => line.includes('no room'))).toHaveLength(1);
  });

  test('never logs what it was given', async () => {
    const { port, logged } = await start();
    await ask(port, requestOf({ ...full, password: 'hunter2', action: 'hunter3' }));
    await ask(port, requestOf({ ...full, file: '../ZRM_LINKS/hunter4' }));
    await ask(port, requestOf({ ...full, comment: 'hunter5\u0007' }));
    expect(logged.join()).toContain('agent-request-refused');
    expect(logged.join()).not.toContain('hunter');
  });
});
