import type { NodeParts } from '@coxswain/node';
import { describe, expect, test } from '@jest/globals';
import { ClusterService } from '../src/services/cluster-service.js';

/** The service of a node of three, so many of which have said where clients reach them. */
function serviceWith(reachable: number) {
  const members = [1, 2, 3].map((id) => ({
    id,
    name: `node-${id}`,
    raftAddress: `127.0.0.1:${5000 + id}`,
    clientUrls: id <= reachable ? [`http://127.0.0.1:${8000 + id}`] : [],
  }));
  return serviceOf({ clusterId: 'c', members });
}

/** The service of a node that says this of itself. */
function serviceOf(status: object) {
  return new ClusterService({ reports: { status: () => status } } as unknown as Pick<NodeParts, 'reports'>, {
    version: '',
    clusterName: '',
    config: {},
    followers: () => [],
    replication: () => undefined,
    archive: () => undefined,
    errors: () => [],
  });
}

describe('Cluster.MemberList', () => {
  test.each([0, 1])('is refused while %i of three members have said where they are reached', (reachable) => {
    expect(() => serviceWith(reachable).memberList()).toThrow(
      `the cluster has not formed: ${reachable} of 3 members answer`,
    );
  });

  test('has every member once a majority has', () => {
    const { members } = serviceWith(2).memberList();
    expect(members.map(({ name, clientURLs }) => `${name} ${clientURLs.join()}`)).toEqual([
      'node-1 http://127.0.0.1:8001',
      'node-2 http://127.0.0.1:8002',
      'node-3 ',
    ]);
  });
});

describe('Cluster.Status', () => {
  const members = [{ id: 1 }, { id: 2 }, { id: 3 }];
  const peers = [
    { id: 2, isConnected: true },
    { id: 3, isConnected: false },
  ];
  const errorsOf = async (status: object) =>
    (await serviceOf({ nodeId: 1, tables: [], members, peers, ...status }).status({ config: false })).errors;

  test('says that the cluster has not formed, and how many members answer', async () => {
    expect(await errorsOf({})).toEqual([
      'the cluster has not formed: 2 of 3 members answer: start all of them, with the same raft.initial-members',
    ]);
  });

  test('says why a node of a cluster knows no table yet', async () => {
    const leaderless = { code: 'noLeader', reason: '1 of 3 members answer' } as const;
    expect(await errorsOf({ clusterId: 'c', meta: { leader: 0, leaderless } })).toEqual([
      'the meta group: no leader: 1 of 3 members answer',
    ]);
    const meta = { leader: 2 };
    expect(await errorsOf({ clusterId: 'c', meta })).toEqual([
      'the meta group: nothing of it is applied here yet',
    ]);
    expect(await errorsOf({ clusterId: 'c', meta, role: 'leader' })).toEqual([]);
  });
});
