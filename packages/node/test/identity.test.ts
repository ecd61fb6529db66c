import type { Random } from '@coxswain/runtime';
import { describe, expect, test } from '@jest/globals';
import type { SmallFiles } from '../src/api/environment.js';
import { clusterIdOf, DATA_FORMAT, DataDirectoryError, Identity } from '../src/cluster/identity.js';

/** Makes other bytes each time. */
function counting(): Random {
  let count = 0;
  return { next: () => 0, bytes: (lengthBytes) => Buffer.alloc(lengthBytes, ++count) };
}

function inMemory(content?: string) {
  const written = new Map<string, Buffer>();
  if (content !== undefined) written.set('node.json', Buffer.from(content));
  const files: SmallFiles = {
    descriptors: async () => ({ inUse: 0, max: Number.POSITIVE_INFINITY }),
    read: async (name) => written.get(name),
    replace: async (name, replacement) => {
      written.set(name, replacement);
    },
  };
  return { files, text: () => written.get('node.json')!.toString() };
}

const genesisOf = (identity: Identity) => ({
  members: [
    { id: 1, incarnation: identity.incarnation },
    { id: 2, incarnation: 'ff'.repeat(8) },
  ],
});

describe('the identity of a data directory (T4)', () => {
  test('is durable before anyone hears of it, and stays', async () => {
    const { files } = inMemory();
    const random = counting();
    const { incarnation } = await Identity.load(files, 1, random);
    expect((await Identity.load(files, 1, random)).incarnation).toBe(incarnation);
    const other = await Identity.load(inMemory().files, 1, random);
    expect(other.incarnation).not.toBe(incarnation);
  });

  test('binds to one cluster, for good', async () => {
    const { files } = inMemory();
    const identity = await Identity.load(files, 1, counting());
    const genesis = genesisOf(identity);
    await identity.join(genesis);
    await identity.complete();
    await expect(identity.join(genesis)).rejects.toThrow('already belongs to a cluster');
    const again = await Identity.load(files, 1, counting());
    expect([again.phase, again.clusterId]).toEqual(['member', clusterIdOf(genesis)]);
    expect(again.incarnationOf(2)).toBe('ff'.repeat(8));
  });

  test('joins no cluster that knows the node with another disk', async () => {
    const identity = await Identity.load(inMemory().files, 2, counting());
    const stranger = await Identity.load(inMemory().files, 1, counting());
    await expect(identity.join(genesisOf(stranger))).rejects.toThrow('holds its incarnation');
    expect(identity.phase).toBe('new');
  });

  test('gives a cluster the id that follows from its members, in any order', async () => {
    const genesis = genesisOf(await Identity.load(inMemory().files, 1, counting()));
    const reversed = { members: [...genesis.members].reverse() };
    expect(clusterIdOf(reversed)).toBe(clusterIdOf(genesis));
    const [first, second] = genesis.members;
    const changed = { members: [first!, { ...second!, incarnation: '00'.repeat(8) }] };
    expect(clusterIdOf(changed)).not.toBe(clusterIdOf(genesis));
  });

  test.each([
    ['of another node', 2, {}, 'belongs to node 1, not to node 2'],
    ['of a newer version', 1, { format: DATA_FORMAT + 1 }, 'start it with the version that wrote it'],
    ['without a format', 1, { format: undefined }, 'node.json is damaged'],
  ])('is refused when it is %s, and left as it is', async (_, nodeId, change, message) => {
    const { files: first, text } = inMemory();
    await Identity.load(first, 1, counting());
    const { files, text: left } = inMemory(JSON.stringify({ ...JSON.parse(text()), ...change }));
    const before = left();
    const loading = Identity.load(files, nodeId, counting());
    await expect(loading).rejects.toThrow(DataDirectoryError);
    await expect(loading).rejects.toThrow(message);
    expect(left()).toBe(before);
  });

  test('stays that of one member of a wolf.raft group, and of its table', async () => {
    const { files, text } = inMemory();
    const load = () => Identity.load(files, 1, counting());
    const start = { boot: '01'.repeat(8), from: 0 };
    const wolf = { id: 1, table: 'shared' };
    await (await load()).beginStart(start, { id: 0, table: 'misspelt' });
    // Nothing was kept of the group in the first start, whose options were wrong.
    await (await load()).beginStart(start, wolf);
    await (await load()).beginStart(start);
    const before = text();
    const identity = await load();
    identity.checkWolf(wolf, true);
    expect(() => identity.checkWolf({ ...wolf, id: 0 }, true)).toThrow(
      new DataDirectoryError(
        'the data directory belongs to member 1 of its wolf.raft group, not to member 0: check wolf.members, wolf.address and the data directory',
      ),
    );
    const renamed = { ...wolf, table: 'renamed' };
    expect(() => identity.checkWolf(renamed, true)).toThrow(
      new DataDirectoryError(
        'the data directory holds table "shared" of a wolf.raft group, but wolf.table is "renamed": set wolf.table to "shared", since such a table keeps its name, or give another data directory',
      ),
    );
    // Nobody can miss anything there, and the name may be one that a table of the cluster has.
    identity.checkWolf(renamed, false);
    expect(() => identity.checkWolf(undefined, false)).toThrow(
      'the data directory holds table "shared", which',
    );
    expect(text()).toBe(before);
  });

  test.each(['', '{', 'null', '[]', '"x"'])('is refused when node.json holds %j', async (content) => {
    const { files } = inMemory(content);
    await expect(Identity.load(files, 1, counting())).rejects.toThrow(DataDirectoryError);
  });
});
