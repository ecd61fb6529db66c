import { join } from 'node:path';
import { eventually, TemporaryDirectory } from '@coxswain/testing';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import type { Command } from 'commander';
import { program } from '../src/commands/root.js';
import { wholeProgram } from '../src/commands/whole-program.js';
import { NodeCommand } from './support/command.js';
import { runHere } from './support/command-here.js';

let node: NodeCommand;
const directory = new TemporaryDirectory();
const backup = join(directory.path, 'backup');
const archive = join(directory.path, 'archive');

beforeAll(async () => {
  node = await NodeCommand.start([`--archive.target=file://${archive}`, '--archive.object-age=1s']);
});

afterAll(async () => {
  await node.stop();
  directory.remove();
});

const atArchive = ['--config=', '--table=default', `--archive.target=file://${archive}`];
const revision = /^\d+$/;
const text = (pattern: RegExp): unknown => expect.stringMatching(pattern);
const header = { shardId: text(revision), replicaId: '1', revision: text(revision) };
const pair = (key: string, value: string): object => ({
  key: Buffer.from(key).toString('base64'),
  ...(value !== '' && { value: Buffer.from(value).toString('base64') }),
  version: text(revision),
});
const shard = {
  table: 'default',
  clusterId: text(/^[0-9a-f]+$/),
  shardId: '10001',
  sizeBytes: text(revision),
};

/** Commands in the order in which they are run, what they read from stdin, and what they print. */
const cases: readonly (readonly [string, { stdin?: string; args?: readonly string[]; printed: object }])[] = [
  ['put', { args: ['k', 'v\xff'], printed: { header } }],
  ['put', { args: ['k', 'w', '--prev-kv'], printed: { header, prevKv: pair('k', 'v\xff') } }],
  ['put', { args: ['--stdin'], stdin: 'a\t1\nb\t2\n', printed: { lines: '2' } }],
  ['get', { args: ['k'], printed: { header, count: '1', kvs: [pair('k', 'w')] } }],
  ['get', { args: ['none'], printed: { header } }],
  [
    'range',
    { args: ['a', 'c', '--keys-only'], printed: { count: '2', kvs: [pair('a', ''), pair('b', '')] } },
  ],
  [
    'txn',
    { stdin: '\nget k\n\n\n', printed: { succeeded: true, responses: [{ responseRange: { count: '1' } }] } },
  ],
  ['del', { args: ['--stdin'], stdin: 'a\nnone\n', printed: { lines: '2', deleted: '1' } }],
  ['del', { args: ['b'], printed: { header, deleted: '1' } }],
  ['tables create', { args: ['more'], printed: { id: text(revision) } }],
  ['tables list', { printed: { tables: [{ name: 'default', id: '10001' }, { name: 'more' }] } }],
  ['tables delete', { args: ['more', '--yes'], printed: {} }],
  ['members list', { printed: { members: [{ id: '1', name: 'node-1' }] } }],
  [
    'status',
    {
      printed: {
        endpoint: text(/^127/),
        response: { id: '1', tables: { default: { leader: '1', raftTerm: '1' } } },
      },
    },
  ],
  ['health', { printed: { endpoint: text(/^127/), response: { isServing: true } } }],
  ['clone forget', { printed: {} }],
  ['bench', { args: ['put', '--seconds', '1', '--clients', '1', '--keys', '1'], printed: { clients: '1' } }],
  [
    'backup',
    { args: ['--dir', backup, '--dry-run'], printed: { dryRun: true, tables: [{ name: 'default' }] } },
  ],
  [
    'backup',
    {
      args: ['--dir', backup],
      printed: {
        directory: backup,
        sizeBytes: text(revision),
        seconds: expect.any(Number),
        tables: [{ name: 'default', fileName: 'default.bak', keyCount: '2', revision: text(revision) }],
      },
    },
  ],
  [
    'restore',
    {
      args: ['--dir', backup, '--into', 'again'],
      printed: { tables: [{ name: 'again', keys: '2', revision: text(revision) }] },
    },
  ],
  ['archive list', { printed: { shards: [{ ...shard, restorable: [{ first: text(revision) }] }] } }],
  ['archive verify', { printed: { shards: [{ ...shard, problems: [], problemsOmitted: '0' }] } }],
  [
    'archive prune',
    {
      args: ['--archive.retention-age=720h', '--dry-run'],
      printed: { dryRun: true, leftovers: '0', shards: [shard] },
    },
  ],
];

/**
 * Commands that print JSON and are tried elsewhere, since they need more than one node has (reset, promote) or print a line
 * for each object (events, in events.test.ts); and those that print none.
 */
const elsewhere = ['reset', 'promote', 'events'];
const withoutJson = ['dump', 'load'];

/** Yields the paths of the commands that have --output. */
function* pathsWithOutput(command: Command, path: readonly string[] = []): Generator<string> {
  if (command.options.some(({ long }) => long === '--output')) yield path.join(' ');
  for (const child of command.commands) yield* pathsWithOutput(child, [...path, child.name()]);
}

/** Checks the form of a value: names in lower camel case, and no whole number but of a double. Maps have other names. */
function checkForm(value: unknown, name: string): void {
  if (typeof value === 'number') {
    expect(['seconds', 'requestsPerSecond', 'p50', 'p90', 'p99', 'p999', 'max']).toContain(name);
  } else if (Array.isArray(value)) {
    for (const item of value) checkForm(item, name);
  } else if (value !== null && typeof value === 'object') {
    for (const [inner, content] of Object.entries(value)) {
      if (name !== 'tables' && name !== 'errors') expect(inner).toMatch(/^[a-z][a-zA-Z0-9]*$/);
      checkForm(content, inner);
    }
  }
}

test('every command that has -o json prints one documented form: docs/cli.md, "JSON"', async () => {
  const tried = new Set<string>();
  for (const [path, { args = [], stdin, printed }] of cases) {
    tried.add(path);
    const at = path.startsWith('archive') ? atArchive : ['--endpoints', node.endpoint, '--timeout', '5m'];
    if (path === 'archive list') {
      await eventually('the table is archived', async () => {
        const { stdout } = await runHere(['archive', 'list', ...atArchive, '-o', 'simple']);
        return stdout.startsWith('default, ');
      });
    }
    const { exitCode, stdout, stderr } = await runHere([...path.split(' '), ...args, ...at, '-o', 'json'], {
      ...(stdin !== undefined && { stdin }),
    });
    expect([path, exitCode, stderr]).toEqual([path, 0, '']);
    expect(stdout).toMatch(/^\{[^\n]*\}\n$/);
    const message = JSON.parse(stdout) as object;
    expect({ path, message }).toMatchObject({ path, message: printed });
    checkForm(message, '');
  }
  const paths = [...pathsWithOutput(wholeProgram(await program(undefined)))];
  expect([...tried, ...elsewhere, ...withoutJson].sort()).toEqual(paths.sort());
});
