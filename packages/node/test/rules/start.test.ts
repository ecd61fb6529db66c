import { META_SHARD } from '@coxswain/node';
import { describe, expect, test } from '@jest/globals';
import { World } from './world.js';

describe('the only member of a cluster', () => {
  test('leads its groups as soon as it starts again: there is no leader that it could miss', async () => {
    const world = await World.formed({ nodes: 1 });
    await world.write(1, 'a', '1');
    const { electionTicks, tickMs } = world.nodeOptions(1);
    world.restart(1);
    await world.until('it has started', () => world.isServing(1));
    const startedUs = world.loop.nowUs;
    const groups = [META_SHARD, world.shard()];
    await world.until('it leads', () => groups.every((group) => world.leader(group) === 1));
    expect(world.loop.nowUs - startedUs).toBeLessThan((electionTicks / 4) * tickMs * 1000);
    expect(await world.value(1, 'a')).toBe('1');
  });
});
