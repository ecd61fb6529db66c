import { Coxswain } from '@coxswain/client';
import { until } from '@coxswain/testing';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { Command, NodeCommand } from './support/command.js';
import { runHere } from './support/command-here.js';

let node: NodeCommand;

beforeAll(async () => {
  node = await NodeCommand.start(['--maintenance.token=m-token']);
});

afterAll(async () => {
  await node.stop();
});

const env = { COXSWAIN_TIMEOUT: '5m', COXSWAIN_TOKEN: 'm-token' };

async function shown(args: readonly string[]): Promise<string> {
  const outcome = await runHere(['events', ...args, '--endpoints', node.endpoint], { env });
  expect(outcome).toMatchObject({ exitCode: 0, stderr: '' });
  return outcome.stdout;
}

describe('coxswain events', () => {
  test('shows what happened, in order, with its fields and its code', async () => {
    const lines = (await shown([])).trimEnd().split('\n');
    for (const line of lines) expect(line).toMatch(/^\d{4}-\S+Z (INFO |WARN |ERROR) node 1: .+ \[[a-z-]+\]$/);
    expect(lines.map((line) => line.slice(0, 24))).toEqual(lines.map((line) => line.slice(0, 24)).sort());
    expect(lines.join('\n')).toMatch(/the node has started version=\S+ dataDirectory=\S+ \[node-started\]/);
  });

  test('as JSON shows each event in a line, as the log of the node has it', async () => {
    const events = (await shown(['-o', 'json']))
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as object);
    const started = events.find((event) => (event as { event: string }).event === 'node-started')!;
    const logged = node.stdout.split('\n').find((line) => line.includes('"event":"node-started"'))!;
    expect(started).toEqual(JSON.parse(logged));
  });

  test('shows some kinds alone, in a table, from some severity or moment on', async () => {
    const table = await shown(['--event', 'node-started, cluster-formed', '-o', 'table']);
    expect(table).toContain('│ EVENT');
    expect(table.match(/│ (node-started|cluster-formed) /g)).toHaveLength(2);
    expect(await shown(['--severity', 'error'])).toBe('');
    expect(await shown(['--since', '2h', '--event', 'node-started'])).toContain('node-started');
    expect(await shown(['--since', '2999-01-01T00:00:00Z'])).toBe('');
  });

  test.each([
    [['--since', 'yesterday'], /^coxswain: --since: must be a duration such as 30s, .* not yesterday\n$/],
    [['--severity', 'debug'], /Allowed choices are info, warn, error/],
    [['--follow', '-o', 'table'], /^coxswain: -o table: /],
  ])('%j is refused', async (args, text) => {
    const { exitCode, stderr } = await runHere(['events', ...args]);
    expect(exitCode).toBe(2);
    expect(stderr).toMatch(text);
  });

  test('shows what the others have where an endpoint does not answer, and fails', async () => {
    const endpoints = `127.0.0.1:1,${node.endpoint}`;
    const { exitCode, stdout, stderr } = await runHere(['events', '--endpoints', endpoints], { env });
    expect(exitCode).toBe(1);
    expect(stdout).toContain('[node-started]');
    expect(stderr).toMatch(/^coxswain: no node can be reached: 127\.0\.0\.1:1: [^\n]+\n$/);
  });

  test('is refused without the maintenance token', async () => {
    const { exitCode, stderr } = await runHere(['events', '--endpoints', node.endpoint]);
    expect(exitCode).toBe(1);
    expect(stderr).toMatch(/give the right --token\n$/);
  });
});

test('coxswain events --follow shows each event as it happens, and goes on when the node is back', async () => {
  const following = new Command(['events', '--follow', '--endpoints', node.endpoint], { env });
  await following.prints('[node-started]');
  const client = await Coxswain.connect({ endpoints: [node.endpoint], timeoutMs: 300_000 });
  // A node looks at its tables from time to time, and the tables of its first look are not new ones.
  await client.tables.create('first');
  await following.prints('a table has a leader table=first');
  await client.tables.create('made-now');
  client.close();
  await following.prints('a table was made table=made-now');
  await node.restart();
  await following.prints('the node was asked to stop signal=SIGTERM');
  await until('the next start is shown', () => following.stdout.split('[node-started]').length === 3);
  await until('it says that the node is back', () => following.stderr.includes('it answers again'));
  const { stderr } = await following.stop('SIGINT');
  expect(stderr).toContain('it is asked again');
  expect(stderr).toContain(`${node.endpoint}: it answers again`);
  expect(following.stdout.match(/a table was made table=made-now/g)).toHaveLength(1);
});
