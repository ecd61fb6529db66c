import { randomInt } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { claimPorts, eventually, TemporaryDirectory } from '@coxswain/testing';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { followerPorts, leaderPorts } from '../src/playground-ports.js';
import { Command, run } from './support/command.js';
import { runHere } from './support/command-here.js';

let directory: TemporaryDirectory;
let playground: Command | undefined;
let offset: number;

beforeEach(async () => {
  directory = new TemporaryDirectory();
  offset = await freeOffset();
});

/**
 * Finds an offset at which every port of three nodes and a follower is free, and at the next offset, too, and no other
 * test's. All ports are below those that the system gives to connections.
 */
async function freeOffset(): Promise<number> {
  for (;;) {
    const candidate = 12_000 + 2 * randomInt(5_500);
    const ports = [candidate, candidate + 1].flatMap((at) =>
      [...[1, 2, 3].map((node) => leaderPorts(node, at)), followerPorts(1, at)].flatMap((node) =>
        Object.values(node),
      ),
    );
    if (await claimPorts([...new Set(ports)])) return candidate;
  }
}

afterEach(async () => {
  await playground?.stop();
  directory.remove();
});

function start(...args: readonly string[]): Command {
  const flags = ['--data-dir', join(directory.path, 'data'), '--port-offset', String(offset)];
  playground = new Command(['playground', ...flags, ...args], { env: { TMPDIR: directory.path } });
  return playground;
}

function endpoint(node: number): string[] {
  return ['--endpoints', `127.0.0.1:${leaderPorts(node, offset).api}`];
}

function pidOf(node: string): number {
  return Number(readFileSync(join(directory.path, 'data', node, 'coxswain.pid'), 'utf8'));
}

describe('the playground (docs/compatibility.md, "What scripts may rely on")', () => {
  test('the ports are those of the table', () => {
    expect(leaderPorts(1, 0)).toEqual({ api: 8443, replication: 8444, rest: 8079, raft: 5012 });
    expect(leaderPorts(3, 20_000)).toEqual({ api: 28_643, replication: 28_644, rest: 28_279, raft: 25_212 });
  });

  test('serves a replicated database, survives a killed node, and stops cleanly', async () => {
    start('--nodes', '3', '--tables', 'default,second');
    await playground!.prints('\nready');
    expect(playground!.stdout).toMatch(/│ leader-3 +│ 127\.0\.0\.1:\d+ +│/);
    expect(await runHere(['put', 'hello', 'world', ...endpoint(1)])).toMatchObject({
      exitCode: 0,
      stdout: 'OK\n',
    });
    expect(await runHere(['get', 'hello', ...endpoint(3)])).toMatchObject({ stdout: 'hello\nworld\n' });
    expect(await runHere(['put', 'k', 'v', '--table', 'second', ...endpoint(2)])).toMatchObject({
      stdout: 'OK\n',
    });

    process.kill(pidOf('leader-2'), 'SIGKILL');
    await playground!.prints('leader-2 ended by SIGKILL');
    expect(await runHere(['put', 'still', 'here', '--timeout', '20s', ...endpoint(1)])).toMatchObject({
      stdout: 'OK\n',
    });

    const stopped = await playground!.stop('SIGINT');
    expect(stopped).toMatchObject({ exitCode: 0, stderr: '' });

    start('--nodes', '2');
    expect(await playground!.ended).toMatchObject({
      exitCode: 1,
      stderr: expect.stringMatching(
        /holds the data of 3 nodes: run with --nodes 3, or choose another --data-dir\n$/,
      ),
    });
    offset += 1;
    start('--nodes', '3');
    await playground!.prints('\nready');
    expect(await runHere(['get', 'still', ...endpoint(2)])).toMatchObject({ stdout: 'still\nhere\n' });
  });

  test('--followers runs a follower cluster beside it, SIGINT ends both without litter, and a second one on its ports ends with the reason', async () => {
    start('--nodes', '1', '--followers', '1');
    await playground!.prints('\nready: ');
    const [leader, follower] = [leaderPorts(1, offset), followerPorts(1, offset)];
    const { stdout } = await runHere(['put', 'hello', 'world', ...endpoint(1)]);
    expect(stdout).toBe('OK\n');
    const there = ['--endpoints', `127.0.0.1:${follower.api}`];
    await eventually(
      'it is read there',
      async () => (await runHere(['get', 'hello', ...there])).stdout === 'hello\nworld\n',
    );

    const status = await runHere([
      'status',
      '--endpoints',
      `127.0.0.1:${leader.api},127.0.0.1:${follower.api}`,
    ]);
    expect(status).toMatchObject({ exitCode: 0, stderr: '' });
    const clusterId = '[0-9a-f]{32}';
    expect(status.stdout).toMatch(
      new RegExp(
        `^replicates, 127.0.0.1:${follower.api}, follower, default, 127.0.0.1:${leader.replication} \\(${clusterId}\\), `,
        'm',
      ),
    );
    expect(status.stdout).toMatch(
      new RegExp(`^replicated by, 127.0.0.1:${leader.api}, default, follower-1, `, 'm'),
    );

    const other = new TemporaryDirectory();
    const ports = ['--port-offset', String(offset)];
    const second = await run(['playground', '--nodes', '1', '--data-dir', other.path, ...ports]);
    expect(second.exitCode).toBe(1);
    expect(second.stderr).toMatch(/^coxswain: leader-1 ended with exit code 1: .* is in use: [^\n]+\n$/);
    other.remove();

    const pids = ['leader-1', 'follower-1'].map(pidOf);
    expect(await playground!.stop('SIGINT')).toMatchObject({ exitCode: 0, stderr: '' });
    for (const pid of pids) expect(() => process.kill(pid, 0)).toThrow('ESRCH');
    expect(readdirSync(directory.path)).toEqual(['data']);
    expect(readdirSync(join(directory.path, 'data')).sort()).toEqual(['follower-1', 'leader-1']);
    for (const node of ['leader-1', 'follower-1']) expect(() => pidOf(node)).toThrow('ENOENT');
  });
});
