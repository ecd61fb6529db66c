import { maintenance, regatta } from '@coxswain/protocol';
import { eventually } from '@coxswain/testing';
import { Client, credentials, Metadata, type ServiceError } from '@grpc/grpc-js';
import { afterEach, expect, test } from '@jest/globals';
import { runHere } from '../support/command-here.js';
import { Cluster } from './cluster.js';

let cluster: Cluster;

afterEach(() => cluster.stop());

test('status of a node that is left alone says of each table that it has no leader, and exits 1', async () => {
  cluster = await Cluster.ready({ role: 'leader', nodes: 3, tables: ['default', 'other'] });
  const { endpoint } = cluster.node(1);
  // A node may be ready before the tables are made.
  await eventually('nothing is wrong', async () => {
    const { stdout } = await runHere(['status', '--endpoints', endpoint]);
    return stdout.startsWith('1 of 1 endpoint answers, 2 tables: no problems\n');
  });
  await Promise.all([cluster.node(2).kill(), cluster.node(3).kill()]);
  await eventually('no group has a leader', async () => {
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
  // A caller that says how long it waits for the first message of a stream learns, before that time, why none comes.
  const { iterateRange, range } = regatta.KVService;
  const { backup } = maintenance.MaintenanceService;
  const read = (isLinearizable: boolean) =>
    regatta.RangeRequest.fromPartial({
      table: Buffer.from('default'),
      key: Buffer.from('k'),
      linearizable: isLinearizable,
    });
  const backupOf = (name: string) => maintenance.BackupRequest.fromPartial({ table: Buffer.from(name) });
  const ended: string[] = [];
  const failureOfRead = (openingMs?: number) =>
    failureOf(endpoint, iterateRange, read(true), openingMs).finally(() => ended.push(`read ${openingMs}`));
  const failureOfBackup = (openingMs?: number) =>
    failureOf(endpoint, backup, backupOf('other'), openingMs).finally(() =>
      ended.push(`backup ${openingMs}`),
    );
  const failures = [failureOfRead(), failureOfBackup(), failureOfRead(300), failureOfBackup(300)];
  const ofDefault = 'table default has no leader: 1 of 3 members answer';
  const ofOther = 'table other has no leader: 1 of 3 members answer';
  expect(await Promise.all(failures)).toEqual([ofDefault, ofOther, ofDefault, ofOther]);
  expect(ended.slice(0, 2).sort()).toEqual(['backup 300', 'read 300']);
  // Started anew, it knows nothing of its groups before most of its members have seen it.
  await cluster.node(1).kill();
  cluster.restart(1);
  await eventually(
    'node 1 has read its disk',
    async () => (await cluster.node(1).status()).role === 'leader',
  );
  expect(
    await Promise.all([
      failureOf(endpoint, range, read(false)),
      failureOf(endpoint, iterateRange, read(false)),
      failureOf(endpoint, backup, backupOf('default')),
    ]),
  ).toEqual([
    'the cluster has no leader: 1 of 3 members answer',
    'the cluster has no leader: 1 of 3 members answer',
    'table default has no leader: 1 of 3 members answer',
  ]);
});

/**
 * Returns the text with which a node ends a call whose caller gives so much time for the first message, and no limit
 * for the end.
 */
async function failureOf<Request>(
  endpoint: string,
  { path, requestSerialize }: { path: string; requestSerialize: (request: Request) => Buffer },
  request: Request,
  openingMs?: number,
): Promise<string> {
  const client = new Client(endpoint, credentials.createInsecure());
  const metadata = new Metadata();
  if (openingMs !== undefined) metadata.set('coxswain-opening-timeout', `${openingMs}m`);
  const call = client.makeServerStreamRequest(path, requestSerialize, (bytes) => bytes, request, metadata);
  try {
    for await (const message of call) return `${message.length} bytes`;
    return 'no message';
  } catch (error) {
    return (error as ServiceError).details;
  } finally {
    client.close();
  }
}

test('status of a node whose cluster has not formed says so, and exits 1; other commands point to it', async () => {
  cluster = await Cluster.start({ role: 'leader', nodes: 3, tables: ['default'], only: [1] });
  const { endpoint } = cluster.node(1);
  await eventually('node 1 answers', async () => (await cluster.node(1).status()).id === '1');
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
      stderr: `coxswain: the cluster has not formed: 1 of 3 members answer: start all of them, with the same raft.initial-members (${endpoint})\n`,
    });
  }
});
