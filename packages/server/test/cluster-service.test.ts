import type { NodeApi } from '@coxswain/node';
import { describe, expect, test } from '@jest/globals';
import { ClusterService } from '../src/cluster-service.js';

/** The service of a node of three, so many of which have said where clients reach them. */
function serviceWith(reachable: number) {
  const members = [1, 2, 3].map((id) => ({
    id,
    name: `node-${id}`,
    raftAddress: `127.0.0.1:${5000 + id}`,
    clientUrls: id <= reachable ? [`http://127.0.0.1:${8000 + id}`] : [],
  }));
  const node = { status: () => ({ clusterId: 'c', members }) } as unknown as NodeApi;
  return new ClusterService(node, {
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
    expect(() => serviceWith(reachable).memberList()).toThrow('request dropped as the shard is not ready');
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
