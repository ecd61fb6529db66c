import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Coxswain, toEnd } from '@coxswain/client';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { Cluster, until, untilEqual } from '../clusters/cluster.js';
import { Writer } from '../clusters/writer.js';
import { TemporaryDirectory } from '../support/command.js';
import { runHere } from '../support/command-here.js';
import {
  begin,
  contentOf,
  difference,
  fill,
  type Model,
  randomModel,
  runToEnd,
  shardsOf,
  tableIn,
  untilNoLitter,
} from './backups.js';

const directory = new TemporaryDirectory();
const place = (name: string): string => join(directory.path, name);
/** More than is written down of a backup's progress at a time, and nothing that compresses. */
const large = randomModel(350, 100_000, 'large');
const small = randomModel(2_000, 200, 'small');
let source: Cluster;
let other: Cluster;
let client: Coxswain;

beforeAll(async () => {
  [source, other] = await Promise.all([
    Cluster.ready({ role: 'leader', nodes: 1, tables: ['empty', 'large', 'small'] }),
    Cluster.ready({ role: 'leader', nodes: 3, tables: ['small'] }),
  ]);
  client = await source.client();
  await Promise.all([fill(client, 'small', small), fill(client, 'large', large)]);
});

afterAll(async () => {
  await Promise.all([source.stop(), other.stop()]);
  directory.remove();
});

const expectContent = async (of: Coxswain, table: string, model: Model): Promise<void> => {
  expect(difference(await contentOf(of, table), model)).toBeUndefined();
};

describe('a backup', () => {
  test('is each table at one revision, however much is written meanwhile, and restores into another cluster', async () => {
    const writer = new Writer(client, 'small');
    await until('it writes', () => writer.written > 10);
    expect(await runToEnd('backup', source, place('whole'))).toMatchObject({ exitCode: 0, stderr: '' });
    await writer.stop();
    const { revision } = tableIn(place('whole'), 'small');
    const expected = await contentOf(client, 'small', revision);
    expect(expected.size).toBeGreaterThan(small.size);

    const there = await other.client();
    await there.put('small', 'of the other cluster', 'replaced');
    const restored = await runToEnd('restore', other, place('whole'), '--json');
    expect(restored).toMatchObject({ exitCode: 0, stderr: '' });
    expect(JSON.parse(restored.stdout).tables).toMatchObject([
      { name: 'empty', keys: 0 },
      { name: 'large', keys: large.size },
      { name: 'small', keys: expected.size },
    ]);
    await expectContent(there, 'small', expected);
    await expectContent(there, 'large', large);
    await expectContent(there, 'empty', new Map());
    await Promise.all(other.nodes.map(untilNoLitter));
    // What it was restored from is backed up the same: there is one form of everything.
    await runToEnd('backup', other, place('again'), '--tables', 'large');
    const again = await runToEnd('restore', source, place('again'), '--into', 'large-again');
    expect(again).toMatchObject({ exitCode: 0, stderr: '' });
    await expectContent(client, 'large-again', large);
  });

  test('says what it would do, and does nothing', async () => {
    const plan = await runToEnd(
      'backup',
      source,
      place('dry'),
      '--dry-run',
      '--json',
      '--tables',
      'small,large',
    );
    expect(JSON.parse(plan.stdout)).toMatchObject({ tables: [{ name: 'large' }, { name: 'small' }] });
    expect(existsSync(place('dry'))).toBe(false);
    const before = shardsOf(source.node(1));
    const restore = await runToEnd(
      'restore',
      source,
      place('whole'),
      '--dry-run',
      '--tables',
      'small',
      '--into',
      'x',
    );
    expect(restore).toMatchObject({ exitCode: 0, stdout: expect.stringMatching(/^x, .*small\.bak\n$/) });
    expect(shardsOf(source.node(1))).toEqual(before);
  });

  test('replaces nothing that is there unless it was confirmed, and says what would be lost', async () => {
    const endpoints = ['--endpoints', source.node(1).endpoint];
    const restore = (...flags: string[]) =>
      runHere(['restore', '--dir', place('whole'), '--tables', 'small', ...endpoints, ...flags]);
    const before = await contentOf(client, 'small');
    const shards = shardsOf(source.node(1));
    expect(await restore()).toMatchObject({
      exitCode: 2,
      stdout: '',
      stderr: expect.stringMatching(
        new RegExp(
          `^coxswain: nothing was changed: .*loses table 'small' \\(${before.size} keys, revision \\d+\\); --into NAME restores beside it: give --yes`,
        ),
      ),
    });
    expect(shardsOf(source.node(1))).toEqual(shards);
    expect(difference(await contentOf(client, 'small'), before)).toBeUndefined();
    expect(await restore('--into', 'small-beside')).toMatchObject({ exitCode: 0, stderr: '' });
    expect(await restore('--into', 'small-beside')).toMatchObject({ exitCode: 2 });
    expect(await restore('--into', 'small-beside', '--yes')).toMatchObject({ exitCode: 0, stderr: '' });
    await client.tables.delete('small-beside');
  });

  test('is refused where there is one, and of a table that is not there', async () => {
    expect(await runToEnd('backup', source, place('whole'))).toMatchObject({
      exitCode: 1,
      stderr: `coxswain: ${place('whole')} holds a backup already: name another directory\n`,
    });
    expect(await runToEnd('backup', source, place('nowhere'), '--tables', 'small,missing')).toMatchObject({
      exitCode: 1,
      stderr: 'coxswain: there is no table missing\n',
    });
  });
});

describe('a backup that breaks off', () => {
  const slowly = ['--tables', 'large', '--rate', '10MiB', '--timeout', '1s'];
  const partBytes = (name: string): number => {
    const path = join(place(name), 'large.bak.part');
    return existsSync(path) ? statSync(path).size : 0;
  };

  /** It goes on at the revision that it began with, and ends with what the table held then. */
  const goesOn = async (name: string): Promise<void> => {
    expect(existsSync(join(place(name), 'manifest.json'))).toBe(false);
    expect(await runToEnd('restore', source, place(name))).toMatchObject({
      exitCode: 1,
      stderr: expect.stringContaining('is not whole: run the same coxswain backup again'),
    });
    const { revision } = tableIn(place(name), 'large');
    client = await source.client();
    await client.put('large', 'written', 'since then');
    expect(await runToEnd('backup', source, place(name), '--tables', 'large')).toMatchObject({ exitCode: 0 });
    expect(tableIn(place(name), 'large').revision).toBe(revision);
    expect(readdirSync(place(name)).sort()).toEqual(['large.bak', 'manifest.json']);
    expect(await runToEnd('restore', source, place(name), '--into', name)).toMatchObject({ exitCode: 0 });
    await expectContent(client, name, large);
    await client.deleteRange('large', 'written');
  };

  test('as the server was killed goes on at the same revision', async () => {
    const backup = begin('backup', source, place('server-killed'), ...slowly);
    await until('it is on its way', () => partBytes('server-killed') > 1024 * 1024);
    await source.killAll();
    expect(await backup.ended).toMatchObject({
      exitCode: 1,
      stderr: expect.stringContaining('run the same command again'),
    });
    source.restart(1);
    await source.untilReady();
    await goesOn('server-killed');
  });

  test('as it was killed itself goes on at the same revision', async () => {
    const backup = begin('backup', source, place('killed'), ...slowly);
    await until('its progress is written down', () => existsSync(join(place('killed'), 'large.bak.json')));
    await backup.stop('SIGKILL');
    await goesOn('killed');
  });

  test('as a connection was lost goes on by itself', async () => {
    const backup = begin(
      'backup',
      source,
      place('lost'),
      '--tables',
      'large',
      '--rate',
      '10MiB',
      '--timeout',
      '40s',
    );
    await until('it is on its way', () => partBytes('lost') > 1024 * 1024);
    await source.killAll();
    source.restart(1);
    await source.untilReady();
    client = await source.client();
    expect(await backup.ended).toMatchObject({ exitCode: 0, stderr: '' });
    expect(await runToEnd('restore', source, place('lost'), '--into', 'lost')).toMatchObject({ exitCode: 0 });
    await expectContent(client, 'lost', large);
  });
});

describe('a restore that breaks off leaves the old table, and no litter', () => {
  const slowly = ['--tables', 'large', '--rate', '10MiB', '--timeout', '1s'];

  test.each(['large', 'not-there'])('as the client is killed: %s', async (table) => {
    const node = source.node(1);
    const before = shardsOf(node);
    const restore = begin('restore', source, place('whole'), ...slowly, '--into', table);
    await until('it has begun', () => shardsOf(node).length > before.length);
    await restore.stop('SIGKILL');
    await untilNoLitter(node);
    expect(shardsOf(node)).toEqual(before);
    await expectContent(client, 'large', large);
  });

  test.each(['large', 'not-there'])('as the server is killed: %s', async (table) => {
    const node = source.node(1);
    const before = shardsOf(node);
    const restore = begin('restore', source, place('whole'), ...slowly, '--into', table);
    await until('it has begun', () => shardsOf(node).length > before.length);
    await source.killAll();
    expect((await restore.ended).exitCode).toBe(1);
    source.restart(1);
    await source.untilReady();
    client = await source.client();
    await untilNoLitter(node);
    expect(shardsOf(node)).toEqual(before);
    await expectContent(client, 'large', large);
  });
});

describe('a restore into a cluster of three', () => {
  test('ends well or leaves the old table, whichever node is killed', async () => {
    const there = await other.client();
    await there.tables.create('target');
    await there.put('target', 'old', 'old');
    const old: Model = new Map([['old', 'old']]);
    // The last one is that which the restore goes to.
    for (const node of [...other.nodes].reverse()) {
      const restore = begin(
        'restore',
        other,
        place('whole'),
        '--tables',
        'large',
        '--rate',
        '15MiB',
        '--into',
        'target',
      );
      const before = shardsOf(other.node(1));
      await until('it has begun', () => shardsOf(other.node(1)).some((shard) => !before.includes(shard)));
      await node.kill();
      const { exitCode, stderr } = await restore.ended;
      other.restart(node.id);
      await other.untilReady();
      await expectContent(there, 'target', exitCode === 0 ? large : old);
      expect(stderr).toMatch(exitCode === 0 ? /^$/ : /the table is as it was|nothing was changed/);
      await there.deleteRange('target', toEnd, { rangeEnd: toEnd });
      await there.put('target', 'old', 'old');
      await Promise.all(other.nodes.map(untilNoLitter));
    }
  });
});

test('whoever may not do it, or asks the wrong cluster, is told what to do', async () => {
  const guarded = await Cluster.start({
    role: 'leader',
    nodes: 1,
    tables: ['t'],
    flags: ['--maintenance.token=s3cret'],
  });
  const follower = await Cluster.start({ role: 'follower', nodes: 1, follows: guarded });
  try {
    await guarded.untilReady();
    await follower.untilReady();
    // Before it has the table there is nothing to be asked for, and a backup of nothing succeeds.
    await untilEqual('t', guarded, follower);
    expect(await runToEnd('backup', guarded, place('guarded'))).toMatchObject({
      exitCode: 1,
      stderr: expect.stringContaining('give the right --token'),
    });
    const allowed = await runToEnd('backup', guarded, place('guarded'), '--token', 's3cret');
    expect(allowed).toMatchObject({ exitCode: 0, stderr: '' });
    for (const verb of ['backup', 'restore'] as const) {
      const path = verb === 'backup' ? place('of-a-follower') : place('guarded');
      expect(await runToEnd(verb, follower, path)).toMatchObject({
        exitCode: 1,
        stderr: expect.stringContaining('only leader clusters do that: give the --endpoints of one'),
      });
    }
  } finally {
    await Promise.all([guarded.stop(), follower.stop()]);
  }
});

describe('what is no backup is refused before anything is sent', () => {
  const edited = async (name: string, edit: (path: string) => void): Promise<string> => {
    const path = place(name);
    await runToEnd('backup', source, path, '--tables', 'empty,small');
    edit(path);
    return path;
  };
  const cases: [what: string, edit: (path: string) => void, text: string][] = [
    [
      'a flipped bit',
      (path) => {
        const bytes = readFileSync(join(path, 'small.bak'));
        bytes[bytes.length >> 1]! ^= 1;
        writeFileSync(join(path, 'small.bak'), bytes);
      },
      "table 'small' file 'small.bak' corrupted (checksum mismatch): restore from another copy",
    ],
    [
      'a file that is cut',
      (path) => {
        const bytes = readFileSync(join(path, 'small.bak'));
        writeFileSync(join(path, 'small.bak'), bytes.subarray(0, bytes.length - 1));
      },
      "table 'small' file 'small.bak' corrupted (checksum mismatch): restore from another copy",
    ],
    [
      'a file elsewhere',
      (path) => {
        const manifest = readFileSync(join(path, 'manifest.json'), 'utf8');
        writeFileSync(join(path, 'manifest.json'), manifest.replace('"small.bak"', '"../whole/small.bak"'));
      },
      "names a file of table 'small' that is not beside it",
    ],
    ['no JSON', (path) => writeFileSync(join(path, 'manifest.json'), '{'), 'manifest.json is no JSON'],
  ];

  test.each(cases)('%s', async (what, edit, text) => {
    const path = await edited(what.replaceAll(' ', '-'), edit);
    const before = shardsOf(source.node(1));
    expect(await runToEnd('restore', source, path)).toMatchObject({
      exitCode: 1,
      stderr: expect.stringContaining(text),
    });
    expect(shardsOf(source.node(1))).toEqual(before);
  });

  test('but not what Regatta leaves of no table', async () => {
    const path = await edited('null', (at) => {
      writeFileSync(join(at, 'manifest.json'), '{"started":"","finished":"","tables":null}');
    });
    expect(await runToEnd('restore', source, path)).toMatchObject({ exitCode: 0, stdout: '' });
  });
});
