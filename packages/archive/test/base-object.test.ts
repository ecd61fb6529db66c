import { compressToFrames, FrameDecompressor, STREAM_IDENTIFIER } from '@coxswain/stream';
import { describe, expect, test } from '@jest/globals';
import { type BaseInfo, BaseObjectReader, writeBaseObject } from '../src/base-object.js';
import { collect, inPieces, random } from './support/content.js';
import { SHARD } from './support/shard.js';

const INFO: BaseInfo = { ...SHARD, revision: 42, timeMs: 1_700_000_000_000 };
const EXPECTED = { name: 'c0ffee/17/base/x.bak', shard: SHARD, revision: 42 };

async function baseOf(plain: Buffer): Promise<Buffer> {
  const backup = Buffer.concat([STREAM_IDENTIFIER, compressToFrames(plain)]);
  return Buffer.concat(await collect(writeBaseObject(INFO, inPieces(backup, [5, 100]))));
}

async function read(content: Buffer, sizes: readonly number[] = [], expected = EXPECTED): Promise<Buffer> {
  return Buffer.concat(await collect(new BaseObjectReader(expected, inPieces(content, sizes)).backup()));
}

describe('a base', () => {
  test('is a backup stream that any reader of framed snappy takes', async () => {
    const plain = random(300_000);
    const base = await baseOf(plain);
    const decompressor = new FrameDecompressor();
    expect(decompressor.update(base).equals(plain)).toBe(true);
    decompressor.end();
    const again = new FrameDecompressor();
    expect(again.update(await read(base, [3, 1, 70_000])).equals(plain)).toBe(true);
  });

  test('is read in pieces of any size', async () => {
    const base = await baseOf(random(500));
    const whole = await read(base);
    for (let size = 1; size < 200; size++) {
      const pieces = Array<number>(Math.floor(base.length / size)).fill(size);
      expect((await read(base, pieces)).equals(whole)).toBe(true);
      const reader = new BaseObjectReader(EXPECTED, inPieces(base, pieces));
      expect(await reader.readInfo()).toMatchObject(INFO);
    }
  });

  test('tells what it is a backup of without the rest being read', async () => {
    const base = await baseOf(random(300_000));
    const reader = new BaseObjectReader(EXPECTED, inPieces(base.subarray(0, 1000), []));
    expect(await reader.readInfo()).toMatchObject(INFO);
  });

  test('with any one bit flipped is damaged', async () => {
    const base = await baseOf(Buffer.from('a few pairs'));
    for (let at = 0; at < base.length; at++) {
      const content = Buffer.from(base);
      content[at]! ^= 1 << (at % 8);
      await expect(read(content)).rejects.toMatchObject({ code: 'objectDamaged' });
    }
  });

  test('that ends early anywhere, or goes on behind its end, is damaged', async () => {
    const base = await baseOf(Buffer.from('a few pairs'));
    for (let length = 0; length < base.length; length++) {
      await expect(read(base.subarray(0, length))).rejects.toMatchObject({ code: 'objectDamaged' });
    }
    for (const more of [Buffer.from('x'), base, compressToFrames(Buffer.from('more pairs'))]) {
      await expect(read(Buffer.concat([base, more]))).rejects.toThrow('it goes on behind its end');
      await expect(read(Buffer.concat([base, more]), [base.length])).rejects.toThrow(
        'it goes on behind its end',
      );
    }
  });

  test('of another shard or revision, or that a manifest tells otherwise of, is damaged', async () => {
    const base = await baseOf(random(100));
    await expect(read(base, [], { ...EXPECTED, revision: 43 })).rejects.toThrow(
      'it is a backup of shard 17 of cluster c0ffee at revision 42',
    );
    const tells = (more: object): Promise<Buffer> => read(base, [], { ...EXPECTED, ...more });
    await expect(tells({ shard: { ...SHARD, shardId: 3 } })).rejects.toThrow('it is a backup of shard 17');
    await expect(tells({ sizeBytes: 5 })).rejects.toThrow(
      `it has ${base.length} bytes, and the manifest says 5`,
    );
    await expect(tells({ sha256: '00' })).rejects.toThrow("its sha256 is not the manifest's");
  });

  test('that is a plain backup is none', async () => {
    const backup = Buffer.concat([STREAM_IDENTIFIER, compressToFrames(random(100))]);
    await expect(read(backup)).rejects.toThrow('it does not say what it is a backup of');
  });
});
