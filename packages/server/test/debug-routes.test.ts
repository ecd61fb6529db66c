import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { OneNode } from './support/one-node.js';

describe('/debug/profile and /debug/heap', () => {
  const token = 'a-token-of-operators';
  let node: OneNode;
  beforeAll(async () => {
    node = await OneNode.start({ 'maintenance.token': token });
  });
  afterAll(() => node.stop());

  const ask = (path: string, method = 'GET'): Promise<Response> =>
    fetch(node.server.restUrl + path, { method, headers: { Authorization: `Bearer ${token}` } });

  test.each(['/debug/profile?seconds=1', '/debug/heap'])('%s is refused without the token', async (path) => {
    const response = await fetch(node.server.restUrl + path);
    expect(response.status).toBe(401);
    expect(response.headers.get('www-authenticate')).toBe('Bearer');
  });

  test('a profile names the functions that ran, and there is one at a time', async () => {
    const taken = ask('/debug/profile?seconds=1');
    // Once one has begun, every other request for one is refused.
    let second = await ask('/debug/heap', 'POST');
    expect(second.status).toBe(405);
    const other = ask('/debug/profile?seconds=1');
    second = await Promise.race([taken, other]);
    expect(second.status).toBe(409);
    const profile = (await (await taken).json()) as {
      nodes: { callFrame: { functionName: string } }[];
      samples: number[];
    };
    expect(profile.samples.length).toBeGreaterThan(0);
    expect(profile.nodes.map(({ callFrame }) => callFrame.functionName)).toContain('(root)');
    expect((await ask('/debug/profile?seconds=1')).status).toBe(200);
  });

  test.each(['0', '61', 'x', '1&seconds=2'])('%s is no time of a profile', async (seconds) => {
    expect((await ask(`/debug/profile?seconds=${seconds}`)).status).toBe(400);
  });

  test('a heap snapshot is streamed, and the next one is taken when it is over', async () => {
    for (let i = 0; i < 2; i++) {
      const response = await ask('/debug/heap');
      expect(response.status).toBe(200);
      const { snapshot } = JSON.parse(await response.text()) as { snapshot: { node_count: number } };
      expect(snapshot.node_count).toBeGreaterThan(1_000);
    }
  });
});

test('a node without a token gives neither profiles nor snapshots, whatever the request presents', async () => {
  const node = await OneNode.start();
  for (const path of ['/debug/profile?seconds=1', '/debug/heap']) {
    const response = await fetch(node.server.restUrl + path, { headers: { Authorization: 'Bearer any' } });
    expect(response.status).toBe(403);
    expect(await response.text()).toContain('set maintenance.token');
  }
  await node.stop();
});
