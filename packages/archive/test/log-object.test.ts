import { describe, expect, test } from '@jest/globals';
import { type LogObject, LogObjectReader, LogObjectWriter } from '../src/log-object.js';
import { parseName } from '../src/names.js';
import { collect, inPieces } from './support/content.js';
import { EPOCH_MS, entries, largeCommand, SHARD } from './support/shard.js';

async function written(all: ReturnType<typeof entries>, shard = SHARD): Promise<LogObject> {
  const writer = new LogObjectWriter(shard);
  for (const entry of all) writer.add(entry);
  return writer.finish();
}

function readerOf({ name }: { readonly name: string }, content: AsyncIterable<Buffer>): LogObjectReader {
  const parsed = parseName(name);
  if (parsed?.kind !== 'log') throw new Error(`${name} is no log object's name`);
  return new LogObjectReader({ ...parsed.shard, ...parsed }, content);
}

const damaged = (text: string) => ({ code: 'objectDamaged', message: expect.stringContaining(text) });

describe('a log object', () => {
  test('gives back each entry with index, term, time and command', async () => {
    const all = entries(5, 600);
    const object = await written(all);
    const reader = readerOf(object, inPieces(object.content, [1, 2, 3, 1000]));
    expect((await collect(reader.entries())).flat()).toEqual(all);
    expect(reader.header).toMatchObject({ ...SHARD, first: 5, last: 600 });
    expect(object).toMatchObject({
      first: 5,
      last: 600,
      firstTimeMs: EPOCH_MS + 5000,
      lastTimeMs: EPOCH_MS + 600_000,
    });
  });

  test('is read in pieces of any size', async () => {
    const all = entries(1, 30);
    const object = await written(all);
    for (let size = 1; size < 200; size++) {
      const pieces = Array<number>(Math.floor(object.content.length / size)).fill(size);
      const reader = readerOf(object, inPieces(object.content, pieces));
      expect((await collect(reader.entries())).flat()).toEqual(all);
    }
  });

  test('is equal byte for byte and in its name, whoever writes it (R6)', async () => {
    const one = await written(entries(1, 300));
    const two = await written(entries(1, 300));
    expect(two.name).toBe(one.name);
    expect(two.content.equals(one.content)).toBe(true);
    expect((await written(entries(1, 300, () => Buffer.from('other')))).name).not.toBe(one.name);
  });

  test('holds entries of megabytes, and never more of them at a time than it must', async () => {
    const all = entries(1, 5, largeCommand(3_000_000));
    const object = await written(all);
    const read = await collect(readerOf(object, inPieces(object.content, [1_000_000, 1_000_000])).entries());
    expect(read.flat().map(({ command }) => command.length)).toEqual(
      all.map(({ command }) => command.length),
    );
    expect(Math.max(...read.map((some) => some.length))).toBe(1);
  });

  test('may hold internal entries only, and then has no times', async () => {
    const object = await written([{ index: 7, term: 1, timeMs: 0, command: Buffer.alloc(0) }]);
    expect(object).toMatchObject({ first: 7, last: 7, firstTimeMs: 0, lastTimeMs: 0 });
    expect((await collect(readerOf(object, inPieces(object.content, [])).entries())).flat()).toHaveLength(1);
  });

  test('takes entries in their order only', () => {
    const writer = new LogObjectWriter(SHARD);
    writer.add(entries(3, 3)[0]!);
    expect(() => writer.add(entries(5, 5)[0]!)).toThrow('entry 5 cannot follow entry 3');
  });

  test('tells its header without the rest being read', async () => {
    const object = await written(entries(1, 4, largeCommand(500_000)));
    let piecesRead = 0;
    const counted = (async function* () {
      for await (const piece of inPieces(object.content, Array(20).fill(50_000))) {
        piecesRead++;
        yield piece;
      }
    })();
    expect(await readerOf(object, counted).readHeader()).toMatchObject({ table: 'orders', last: 4 });
    expect(piecesRead).toBeLessThan(4);
  });

  test('with any one bit flipped is damaged, and its error names it', async () => {
    const object = await written(entries(1, 20));
    for (let at = 0; at < object.content.length; at++) {
      const content = Buffer.from(object.content);
      content[at]! ^= 1 << (at % 8);
      await expect(collect(readerOf(object, inPieces(content, [])).entries())).rejects.toMatchObject(
        damaged(object.name),
      );
    }
  });

  test('that ends early anywhere is damaged', async () => {
    const object = await written(entries(1, 20));
    for (let length = 0; length < object.content.length; length++) {
      const content = object.content.subarray(0, length);
      await expect(collect(readerOf(object, inPieces(content, [])).entries())).rejects.toMatchObject(
        damaged(object.name),
      );
    }
  });

  test('under the name of another is damaged', async () => {
    const object = await written(entries(1, 20));
    const content = () => inPieces(object.content, []);
    const others = [
      await written(entries(1, 19)),
      await written(entries(2, 20)),
      await written(entries(1, 20), { ...SHARD, shardId: 18 }),
      await written(entries(1, 20), { ...SHARD, clusterId: 'other' }),
    ];
    for (const other of others) {
      await expect(collect(readerOf(other, content()).entries())).rejects.toMatchObject(
        damaged('its header is that of entries 1 to 20 of shard 17 of cluster c0ffee'),
      );
    }
    const changed = await written(entries(1, 20, () => Buffer.from('other')));
    await expect(collect(readerOf(changed, content()).entries())).rejects.toMatchObject(
      damaged('its sha256 is not the one in its name'),
    );
  });

  test('whose terms or times go back is damaged, though its checksums are right', async () => {
    const [one, two] = entries(1, 2);
    const termBack = await written([{ ...one!, term: 3 }, two!]);
    await expect(collect(readerOf(termBack, inPieces(termBack.content, [])).entries())).rejects.toMatchObject(
      damaged('the term goes back at entry 2'),
    );
    const timeBack = await written([one!, { ...two!, timeMs: 1 }]);
    await expect(collect(readerOf(timeBack, inPieces(timeBack.content, [])).entries())).rejects.toMatchObject(
      damaged('time goes back at entry 2'),
    );
  });
});
