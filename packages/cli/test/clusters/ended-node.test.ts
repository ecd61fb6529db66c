import { cpSync, renameSync, rmSync } from 'node:fs';
import { CoxswainError, OutcomeUnknownError, StatusCode } from '@coxswain/client';
import { eventually } from '@coxswain/testing';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { Command } from '../support/command.js';
import { runHere } from '../support/command-here.js';
import { Cluster, contentOf, untilEqual } from './cluster.js';

const PUTS = 100;
const TEXT = 'outcome unknown: the write may have been applied; read before retrying';

const same = (error: unknown): unknown => error;

/** The cluster of all tests: each has a table of its own, and leaves every node running. */
let cluster: Cluster;

beforeAll(async () => {
  cluster = await Cluster.ready({ role: 'leader', nodes: 3, tables: ['default', 'disk', 'handover'] });
});

afterAll(() => cluster?.stop());

async function write(from: number, to: number): Promise<void> {
  const client = await cluster.client();
  for (let i = from; i < to; i++) await client.put('disk', `key-${i}`, 'value');
}

/** Puts `copy` in the place of the node's data directory, which was moved away, and starts it. */
async function expectRefused(id: number, copy: string): Promise<void> {
  const { directory } = cluster.node(id);
  renameSync(copy, directory);
  // Starting it again and again does not help.
  for (let i = 0; i < 2; i++) {
    cluster.restart(id);
    const { exitCode, stdout, stderr } = await cluster.node(id).ended;
    expect(stdout + stderr).toContain(`the data directory of node ${id} was put back to an earlier state`);
    expect(stdout + stderr).toContain('Bring its newest data directory back');
    expect(exitCode).toBe(1);
  }
  rmSync(directory, { recursive: true });
}

test('a data directory that is put back to an earlier state is refused, and the newest one is taken (T4)', async () => {
  await write(0, 20);
  const { directory } = cluster.node(1);
  // Taken while the node was stopped: it starts once more after that.
  await cluster.node(1).kill('SIGTERM');
  cpSync(directory, `${directory}-stopped`, { recursive: true });
  cluster.restart(1);
  await cluster.untilReady();
  // Taken while it runs, and put back before it starts once more.
  cpSync(directory, `${directory}-running`, { recursive: true });
  rmSync(`${directory}-running/coxswain.pid`, { force: true });
  await write(20, 40);
  await untilEqual('disk', cluster);
  await cluster.node(1).kill();
  renameSync(directory, `${directory}-newest`);
  await expectRefused(1, `${directory}-running`);
  await expectRefused(1, `${directory}-stopped`);
  renameSync(`${directory}-newest`, directory);
  cluster.restart(1);
  await cluster.untilReady();
  await untilEqual('disk', cluster);
  expect((await contentOf(await cluster.node(1).client(), 'disk')).length).toBe(40);
});

test('SIGTERM has a leader hand over: another leads before it ends, and every write is answered and done once', async () => {
  const client = await cluster.client();
  const leader = await cluster.leaderOf('handover');
  let isOver = false;
  let written = 0;
  // Each key once: what was applied twice would show in its version, what was lost in the count.
  const write = async () => {
    while (!isOver) {
      await client.put('handover', `key-${written++}`, 'value');
      // The pace of the writer: it waits for nothing.
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  };
  // A write whose outcome is unknown ends the writer with an error.
  const writer = write();
  try {
    await eventually('some writes', () => written > 20);
    const command = leader.ended;
    leader.signal('SIGTERM');
    const { exitCode, stdout, stderr } = await command;
    expect(exitCode).toBe(0);
    // Only said when each of its groups had another leader while this process still ran.
    expect(stdout + stderr).toContain('leadership was handed over');
    await leader.kill();
    expect((await cluster.leaderOf('handover')).id).not.toBe(leader.id);
    const count = written;
    await eventually('writes go on', () => written > count + 20);
  } finally {
    isOver = true;
    await writer;
  }
  await untilEqual('handover', cluster);
  const [other] = cluster.nodes.filter(({ isRunning }) => isRunning);
  const content = await contentOf(await other!.client(), 'handover');
  expect(content).toHaveLength(written);
  expect(content.filter((pair) => !pair.endsWith('/1'))).toEqual([]);
  cluster.restart(leader.id);
  await cluster.untilReady();
});

test('writes under way on a node that is killed end as docs/quickstart.md says, for the client and the command alike (P1)', async () => {
  const leader = await cluster.leaderOf('default');
  const others = cluster.nodes.filter(({ id }) => id !== leader.id);
  const client = await leader.client();
  // Nothing is committed any more, so that nothing is answered before the kill.
  for (const node of others) node.signal('SIGSTOP');
  const long = { timeoutMs: 600_000 };
  let answered = 0;
  const puts = Array.from({ length: PUTS }, (_, at) =>
    client.put('default', `key/${at}`, `${at}`, long).then(
      () => {
        // A member that is stopped may do a little more before it stands still.
        answered++;
        return undefined;
      },
      (error: unknown) => error,
    ),
  );
  const pending = async (): Promise<number> => {
    const [, count] = /^coxswain_proposals_pending (\d+)$/m.exec(await leader.metrics()) ?? [];
    return Number(count);
  };
  await eventually('the node has every write', async () => (await pending()) + answered === PUTS);
  const args = ['--endpoints', leader.endpoint, '--timeout', '10m'];
  const command = new Command(['put', 'key/command', 'x', ...args]);
  await eventually('and that of the command', async () => (await pending()) + answered === PUTS + 1);

  const refusal = 'table default has no leader: 1 of 3 members answer';
  await eventually('the node knows that it has lost its quorum', async () => {
    // What it takes until then, as the leader that it still is, may be applied.
    const error: unknown = await client.put('default', 'early', 'x', { timeoutMs: 3_000 }).catch(same);
    return error instanceof CoxswainError && error.errorCode === 'noLeader';
  });
  // Those that come now are refused, and are certainly not appended. A busy node may answer when its caller has given up.
  await eventually('a write is refused', async () => {
    const error: unknown = await client.put('default', 'refused', 'x', { timeoutMs: 3_000 }).catch(same);
    if (error instanceof OutcomeUnknownError) return false;
    expect(error).toMatchObject({ errorCode: 'noLeader', code: StatusCode.UNAVAILABLE, message: refusal });
    return true;
  });
  await Promise.all([
    eventually('a read says it too', async () => {
      const error: unknown = await client.get('default', 'refused', { timeoutMs: 3_000 }).catch(same);
      return error instanceof CoxswainError && error.errorCode === 'noLeader' && error.message === refusal;
    }),
    eventually('the command says it too', async () => {
      const { exitCode, stderr } = await runHere([
        'put',
        'refused',
        'x',
        ...args.slice(0, 2),
        '--timeout',
        '3s',
      ]);
      expect(exitCode).toBe(1);
      return stderr === `coxswain: ${refusal} (${leader.endpoint}): try again, and see coxswain health\n`;
    }),
  ]);

  const { endpoint } = leader;
  leader.signal('SIGKILL');
  await leader.ended;
  const errors = (await Promise.all(puts)).filter((error) => error !== undefined);
  expect(errors).toHaveLength(PUTS - answered);
  expect(errors.length).toBeGreaterThan(PUTS / 2);
  for (const error of errors) {
    expect(error).toBeInstanceOf(OutcomeUnknownError);
    expect(error).toMatchObject({ code: StatusCode.UNKNOWN, errorCode: 'outcomeUnknown', message: TEXT });
  }
  expect(await command.ended).toEqual({
    exitCode: 1,
    stdout: '',
    stderr: `coxswain: ${TEXT} (${endpoint})\n`,
  });
  await leader.kill();
  for (const node of others) node.signal('SIGCONT');
  cluster.restart(leader.id);
  await cluster.untilReady();
  // Each may have been applied, once; what was refused was not.
  const after = await cluster.client();
  const pairs = await Promise.all(puts.map((_, at) => after.get('default', `key/${at}`)));
  for (const [at, pair] of pairs.entries()) {
    if (pair !== undefined) expect([pair.value.toString(), pair.version]).toEqual([`${at}`, 1n]);
  }
  expect(await after.get('default', 'refused')).toBeUndefined();
});
