import { existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Coxswain, toEnd } from '@coxswain/client';
import { eventually, TemporaryDirectory } from '@coxswain/testing';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { Cluster, untilEqual } from '../clusters/cluster.js';
import { Writer } from '../clusters/writer.js';
import type { Outcome } from '../support/command.js';
import { parseReport } from '../support/command.js';
import { runHere } from '../support/command-here.js';
import * as backups from './backups.js';
import {
  contentOf,
  difference,
  fill,
  type Model,
  randomModel,
  shardsOf,
  tableIn,
  untilNoLitter,
} from './backups.js';

const directory = new TemporaryDirectory();
const place = (name: string): string => join(directory.path, name);
/** Several pieces of a backup, and nothing that compresses. How gigabytes fare `npm run acceptance -- backup-speed` shows. */
const large = randomModel(40, 100_000, 'large');
/** A restore at this rate is under way for minutes: however busy the machine is, it does not end before it is ended. */
const slowly = ['--tables', 'large', '--rate', '16KiB'];
/** So much of a backup holds a place where another one goes on. */
const FIRST_PLACE_BYTES = 384 * 1024;
const token = ['--token', 's3cret'];
const sourceFlags = ['--maintenance.token=s3cret'];
const small = randomModel(2_000, 200, 'small');
let source: Cluster;
let other: Cluster;
let client: Coxswain;

beforeAll(async () => {
  [source, other] = await Promise.all([
    Cluster.ready({
      role: 'leader',
      nodes: 1,
      flags: sourceFlags,
    }),
    Cluster.ready({ role: 'leader', nodes: 3, tables: ['empty', 'large', 'small'] }),
  ]);
  client = await source.client();
  const there = await other.client();
  await Promise.all([fill(there, 'small', small), fill(there, 'large', large)]);
});

afterAll(async () => {
  await source.stop();
  directory.remove();
});

/** With the token, for which only the source asks. */
const begin = (...args: Parameters<typeof backups.begin>) => backups.begin(...args, ...token);
const runToEnd = (...args: Parameters<typeof backups.begin>) => backups.runToEnd(...args, ...token);

const expectContent = async (of: Coxswain, table: string, model: Model): Promise<void> => {
  expect(difference(await contentOf(of, table), model)).toBeUndefined();
};

describe('a backup', () => {
  test('is each table at one revision, however much is written meanwhile, and restores into another cluster', async () => {
    const there = await other.client();
    const writer = new Writer(there, 'small');
    await eventually('it writes', () => writer.written > 10);
    expect(await runToEnd('backup', other, place('whole'))).toMatchObject({ exitCode: 0, stderr: '' });
    await writer.stop();
    const { revision } = tableIn(place('whole'), 'small');
    const expected = await contentOf(there, 'small', revision);
    expect(expected.size).toBeGreaterThan(small.size);

    await client.tables.create('small');
    await client.put('small', 'of the other cluster', 'replaced');
    const restored = await runToEnd('restore', source, place('whole'), '--json');
    expect(restored).toMatchObject({ exitCode: 0, stderr: '' });
    expect(parseReport(restored.stdout)).toMatchObject({
      tables: [
        { name: 'empty', keys: 0 },
        { name: 'large', keys: large.size },
        { name: 'small', keys: expected.size },
      ],
    });
    await expectContent(client, 'small', expected);
    await expectContent(client, 'large', large);
    await expectContent(client, 'empty', new Map());
    await untilNoLitter(source.node(1));
    // What it was restored from is backed up the same: there is one form of everything.
    await runToEnd('backup', source, place('again'), '--tables', 'small');
    const again = await runToEnd('restore', other, place('again'), '--into', 'small-again');
    expect(again).toMatchObject({ exitCode: 0, stderr: '' });
    await expectContent(there, 'small-again', expected);
    await Promise.all(other.nodes.map(untilNoLitter));
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
    const endpoints = ['--endpoints', source.node(1).endpoint, ...token];
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
    // A file is no directory, neither to write nor to read.
    writeFileSync(place('file'), '');
    for (const [command, path] of [
      ['backup', place('file')],
      ['restore', join(place('file'), 'manifest.json')],
    ] as const) {
      expect(await runToEnd(command, source, place('file'))).toMatchObject({
        exitCode: 1,
        stderr: `coxswain: ${path}: it is a file, or lies in one: name a directory\n`,
      });
    }
  });
});

describe('a restore into a cluster of three', () => {
  // Nothing after it asks for the other cluster, and three nodes work even where nobody asks them.
  afterAll(() => other.stop());

  test('ends well or leaves the old table, whichever node is killed', async () => {
    const there = await other.client();
    await there.tables.create('target');
    await there.put('target', 'old', 'old');
    const old: Model = new Map([['old', 'old']]);
    // The last one is that which the restore goes to.
    for (const node of [...other.nodes].reverse()) {
      const ended = runToEnd(
        'restore',
        other,
        place('whole'),
        '--tables',
        'large',
        '--rate',
        '1MiB',
        '--into',
        'target',
      );
      const before = shardsOf(other.node(1));
      await eventually('it has begun', () =>
        shardsOf(other.node(1)).some((shard) => !before.includes(shard)),
      );
      await node.kill();
      const { exitCode, stderr } = await ended;
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

const isWhole = (name: string): boolean => existsSync(join(place(name), 'manifest.json'));

/** Or done: a machine may be busy with something else for long. */
const untilOnItsWay = (name: string): Promise<true> =>
  eventually(`the backup ${name} is on its way`, () => {
    const path = join(place(name), 'large.bak.part');
    return isWhole(name) || (existsSync(path) && statSync(path).size > FIRST_PLACE_BYTES);
  });

/** Starts the source again so that its backups take a while: else a few megabytes leave it at once, whatever the reader's pace is. */
async function slowDown(kibPerSecond: number): Promise<void> {
  await source.killAll();
  source.restart(1, { flags: [...sourceFlags, `--maintenance.backup-bytes-per-second=${kibPerSecond}KiB`] });
  await source.untilReady();
  client = await source.client();
}

const ofLarge = (timeout: string): string[] => ['--tables', 'large', '--timeout', timeout];

/** Kills the source, and starts it again once what is to happen without it has happened. */
async function withoutSource(happens: () => Promise<void>): Promise<void> {
  await source.killAll();
  await happens();
  source.restart(1);
  await source.untilReady();
  client = await source.client();
}

describe('a backup that breaks off as the server is killed', () => {
  let givenUp: Outcome;

  beforeAll(async () => {
    // Slower each time that one was done before the server was killed.
    for (let kibPerSecond = 320; ; kibPerSecond /= 4) {
      await slowDown(kibPerSecond);
      // Both begin at once, and share the rate: one that began first could end before the other is on its way.
      const killed = begin('backup', source, place('killed'), ...ofLarge('10m'));
      const ended = runToEnd('backup', source, place('given-up'), ...ofLarge('1s'));
      await Promise.all([untilOnItsWay('killed'), untilOnItsWay('given-up')]);
      await withoutSource(async () => {
        givenUp = await ended;
        const progress = join(place('killed'), 'large.bak.json');
        await eventually('its progress is written down', () => isWhole('killed') || existsSync(progress));
        await killed.stop('SIGKILL');
      });
      if (!isWhole('killed') && !isWhole('given-up')) break;
      for (const name of ['killed', 'given-up']) rmSync(place(name), { recursive: true });
    }
  });

  test.each(['given-up', 'killed'])('goes on at the same revision, as its command was %s', async (name) => {
    expect(givenUp).toMatchObject({
      exitCode: 1,
      stderr: expect.stringContaining('run the same command again'),
    });
    expect(existsSync(join(place(name), 'manifest.json'))).toBe(false);
    expect(await runToEnd('restore', source, place(name))).toMatchObject({
      exitCode: 1,
      stderr: expect.stringContaining('is not whole: run the same coxswain backup again'),
    });
    const { revision } = tableIn(place(name), 'large');
    await client.put('large', 'written', 'since then');
    expect(await runToEnd('backup', source, place(name), '--tables', 'large')).toMatchObject({ exitCode: 0 });
    expect(tableIn(place(name), 'large').revision).toBe(revision);
    expect(readdirSync(place(name)).sort()).toEqual(['large.bak', 'manifest.json']);
    expect(await runToEnd('restore', source, place(name), '--into', name)).toMatchObject({ exitCode: 0 });
    await expectContent(client, name, large);
    await client.deleteRange('large', 'written');
  });
});

describe('what breaks off', () => {
  const flags = (into: string) => [...slowly, '--timeout', '1s', '--into', into];

  /** Two restores, one into a table that there is, have begun. */
  const begun = async (before: readonly number[]) => {
    const restores = ['large', 'not-there'].map((table) =>
      begin('restore', source, place('whole'), ...flags(table)),
    );
    await eventually('both have begun', () => shardsOf(source.node(1)).length === before.length + 2);
    return restores;
  };

  const expectAsBefore = async (before: readonly number[]): Promise<void> => {
    await untilNoLitter(source.node(1));
    expect(shardsOf(source.node(1))).toEqual(before);
    await expectContent(client, 'large', large);
    expect((await client.tables.list()).tables.map(({ name }) => name)).not.toContain('not-there');
  };

  test('as the client is killed: a restore leaves the old table, and no litter', async () => {
    const before = shardsOf(source.node(1));
    const restores = await begun(before);
    await Promise.all(restores.map((restore) => restore.stop('SIGKILL')));
    await expectAsBefore(before);
  });

  test('as the server is killed: a restore leaves the old table, and no litter, and a backup that waits goes on by itself', async () => {
    await slowDown(320);
    const before = shardsOf(source.node(1));
    const restores = await begun(before);
    const backup = runToEnd('backup', source, place('lost'), ...ofLarge('10m'));
    await untilOnItsWay('lost');
    await withoutSource(async () => {
      for (const restore of restores) expect((await restore.ended).exitCode).toBe(1);
    });
    await expectAsBefore(before);
    expect(await backup).toMatchObject({ exitCode: 0, stderr: '' });
    expect(await runToEnd('restore', source, place('lost'), '--into', 'lost')).toMatchObject({ exitCode: 0 });
    await expectContent(client, 'lost', large);
  });
});

test('whoever may not do it, or asks the wrong cluster, is told what to do', async () => {
  const follower = await Cluster.start({ role: 'follower', nodes: 1, follows: source });
  try {
    await follower.untilReady();
    // Before it has the table there is nothing to be asked for, and a backup of nothing succeeds.
    await untilEqual('empty', source, follower);
    expect(await backups.runToEnd('backup', source, place('guarded'))).toMatchObject({
      exitCode: 1,
      stderr: expect.stringContaining('give the right --token'),
    });
    for (const verb of ['backup', 'restore'] as const) {
      const path = verb === 'backup' ? place('of-a-follower') : place('whole');
      expect(await runToEnd(verb, follower, path)).toMatchObject({
        exitCode: 1,
        stderr: expect.stringContaining('only leader clusters do that: give the --endpoints of one'),
      });
    }
  } finally {
    await follower.stop();
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
