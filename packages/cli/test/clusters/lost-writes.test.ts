import { CoxswainError, OutcomeUnknownError, StatusCode } from '@coxswain/client';
import { afterEach, expect, test } from '@jest/globals';
import { Command } from '../support/command.js';
import { runHere } from '../support/command-here.js';
import { Cluster, until } from './cluster.js';

const PUTS = 400;
const TEXT = 'outcome unknown: the write may have been applied; read before retrying';

let cluster: Cluster;

afterEach(() => cluster.stop());

test('writes under way on a node that is killed end as README says, for the client and the command alike (P1)', async () => {
  cluster = await Cluster.ready({ role: 'leader', nodes: 3, tables: ['default'] });
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
  await until('the node has every write', async () => (await pending()) + answered === PUTS);
  const args = ['--endpoints', leader.endpoint, '--timeout', '10m'];
  const command = new Command(['put', 'key/command', 'x', ...args]);
  await until('and that of the command', async () => (await pending()) + answered === PUTS + 1);

  const refusal = 'table default has no leader: 1 of 3 members answer';
  await until('the node knows that it has lost its quorum', async () => {
    // What it takes until then, as the leader that it still is, may be applied.
    const error: unknown = await client.put('default', 'early', 'x', { timeoutMs: 3_000 }).catch(same);
    return error instanceof CoxswainError && error.errorCode === 'noLeader';
  });
  // Those that come now are refused, and are certainly not appended.
  const error: unknown = await client.put('default', 'refused', 'x', { timeoutMs: 3_000 }).catch(same);
  expect(error).toMatchObject({ errorCode: 'noLeader', code: StatusCode.UNAVAILABLE, message: refusal });
  await Promise.all([
    until('a read says it too', async () => {
      const error: unknown = await client.get('default', 'refused', { timeoutMs: 3_000 }).catch(same);
      return error instanceof CoxswainError && error.errorCode === 'noLeader' && error.message === refusal;
    }),
    until('the command says it too', async () => {
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

const same = (error: unknown): unknown => error;
