import { afterEach, expect, test } from '@jest/globals';
import { runHere } from '../support/command-here.js';
import { Cluster, until } from './cluster.js';

let cluster: Cluster;

afterEach(() => cluster.stop());

test('status of a node that is left alone says of each table that it has no leader, and exits 1', async () => {
  cluster = await Cluster.ready({ role: 'leader', nodes: 3, tables: ['default', 'other'] });
  const { endpoint } = cluster.node(1);
  // A node may be ready before the tables are made.
  await until('nothing is wrong', async () => {
    const { stdout } = await runHere(['status', '--endpoints', endpoint]);
    return stdout.startsWith('1 of 1 endpoint answers, 2 tables: no problems\n');
  });
  await Promise.all([cluster.node(2).kill(), cluster.node(3).kill()]);
  await until('no group has a leader', async () => {
    const { tables, errors } = await cluster.node(1).status();
    const isLeaderless = [...tables.values()].every(
      (table) => table.leader === '0' && table.errors.join().includes('1 of 3'),
    );
    return isLeaderless && errors.includes('the meta group: no leader: 1 of 3 members answer');
  });
  const outcome = await runHere(['status', '--endpoints', endpoint]);
  expect(outcome.exitCode).toBe(1);
  expect(outcome.stderr).toBe(
    "coxswain: 2 tables have no leader: 'default', 'other': start the members that do not answer\n",
  );
  const [summary, ofNode, ...rows] = outcome.stdout.trimEnd().split('\n');
  expect(summary).toBe(
    '1 of 1 endpoint answers, 2 tables: 2 tables have no leader, 2 tables have problems, 1 node has problems',
  );
  expect(ofNode).toMatch(/, the meta group: no leader: 1 of 3 members answer$/);
  expect(rows).toHaveLength(2);
  expect(rows[0]).toMatch(/, default, none, .*, table 'default': no leader: 1 of 3 members answer$/);
  const one = await runHere(['status', '--endpoints', endpoint, '--table', 'other', '--problems']);
  expect(one.stdout).toMatch(/^1 of 1 endpoint answers, 1 table: .*\n.*meta group.*\n.*table 'other': .*\n$/);
  expect(await runHere(['status', '--endpoints', endpoint, '--table', 'nowhere'])).toMatchObject({
    exitCode: 1,
    stderr: "coxswain: there is no table 'nowhere': see coxswain tables list\n",
  });
});

test('status of a node whose cluster has not formed says so, and exits 1; other commands point to it', async () => {
  cluster = await Cluster.start({ role: 'leader', nodes: 3, tables: ['default'], only: [1] });
  const { endpoint } = cluster.node(1);
  await until('node 1 answers', async () => (await cluster.node(1).status()).id === '1');
  const outcome = await runHere(['status', '--endpoints', endpoint]);
  expect(outcome.exitCode).toBe(1);
  expect(outcome.stderr).toBe(
    `coxswain: 1 node has no cluster: ${endpoint}: start the members that do not answer\n`,
  );
  const [summary, ofNode] = outcome.stdout.trimEnd().split('\n');
  expect(summary).toBe('1 of 1 endpoint answers, 0 tables: 1 node has problems');
  expect(ofNode).toContain('the cluster has not formed: 1 of 3 members answer: start all of them');
  for (const command of [
    ['put', 'k', 'v'],
    ['tables', 'list'],
  ]) {
    expect(await runHere([...command, '--endpoints', endpoint, '--timeout', '1s'])).toMatchObject({
      exitCode: 1,
      stderr: `coxswain: request dropped as the shard is not ready (${endpoint}): try again, and see why with coxswain status and coxswain health\n`,
    });
  }
});
