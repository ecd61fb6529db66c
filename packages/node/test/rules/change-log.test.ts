import { describe, expect, test } from '@jest/globals';
import { TABLE, World } from './world.js';

describe('the log of a node', () => {
  test('says when peers, the quorum and the leader are lost, and when they are back', async () => {
    const world = await World.formed();
    const says = (id: number, text: string) => world.log(id).some((line) => line.includes(text));
    await world.until('the table has a leader in the log of each', () =>
      world.ids.every((id) => says(id, `table-has-leader {"table":"${TABLE}"`)),
    );
    await world.until('the peers are up', () => world.ids.every((id) => says(id, 'peer-up')));
    const [cut, other] = await world.roles();
    world.isolate(cut);
    await world.until('the cut node has said what it lost', () =>
      ['warn peer-down', 'warn quorum-lost', 'warn table-leader-lost'].every((text) => says(cut, text)),
    );
    await world.until('the others have another leader', () =>
      world.log(other).some((line) => line.includes('table-has-leader') && line.includes(`"was":${cut}`)),
    );
    expect(says(other, 'quorum-lost')).toBe(false);
    world.network.heal();
    await world.until('the cut node has its quorum again', () => says(cut, 'info quorum-reached'));
    await world.create(cut, 'made');
    await world.until('each says that it was made', () =>
      world.ids.every((id) => says(id, 'info table-made {"table":"made"')),
    );
    await world.delete(cut, 'made');
    await world.until('each says that it was deleted', () =>
      world.ids.every((id) => says(id, 'info table-deleted {"table":"made"')),
    );
  });
});
