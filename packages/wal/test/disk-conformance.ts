import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import type { WalDisk } from '../src/types.js';

/** What every `WalDisk` must do. `make` gives an empty one. */
export function describeWalDisk(
  title: string,
  make: () => Promise<{ disk: WalDisk; dispose: () => Promise<void> }>,
): void {
  describe(title, () => {
    let disk: WalDisk;
    let dispose: () => Promise<void>;

    beforeEach(async () => {
      ({ disk, dispose } = await make());
    });

    afterEach(() => dispose());

    test('begins empty', async () => {
      expect(await disk.list()).toEqual([]);
    });

    test('makes a file of zeros of the size asked for', async () => {
      const file = await disk.create('a', 5000);
      expect(file.name).toBe('a');
      expect(file.sizeBytes).toBe(5000);
      expect(file.readSync(0, 5000).equals(Buffer.alloc(5000))).toBe(true);
      await file.close();
      expect(await disk.list()).toEqual(['a']);
    });

    test('does not make a file twice', async () => {
      await (await disk.create('a', 100)).close();
      await expect(disk.create('a', 100)).rejects.toThrow();
    });

    test('writes buffers one behind the other, and reads them back', async () => {
      const file = await disk.create('a', 4096);
      const buffers = [Buffer.from('one'), Buffer.alloc(0), Buffer.from('two'), Buffer.alloc(1000, 7)];
      await file.write(buffers, 500);
      await file.sync();
      expect(file.readSync(500, 1006).equals(Buffer.concat(buffers))).toBe(true);
      expect(file.readSync(499, 1)[0]).toBe(0);
      await file.close();
      const again = await disk.open('a');
      expect(again.sizeBytes).toBe(4096);
      expect(again.readSync(500, 3).toString()).toBe('one');
      await again.close();
    });

    test('writes a megabyte in many buffers', async () => {
      const file = await disk.create('a', 2 ** 20);
      const buffers = Array.from({ length: 1024 }, (_, i) => Buffer.alloc(1024, i % 251));
      await file.write(buffers, 0);
      expect(file.readSync(0, 2 ** 20).equals(Buffer.concat(buffers))).toBe(true);
      await file.close();
    });

    test('does not need the buffers of a write once it is done, nor give out memory of its own', async () => {
      const file = await disk.create('a', 100);
      const buffer = Buffer.from('text');
      await file.write([buffer], 0);
      buffer.fill(0);
      const read = file.readSync(0, 4);
      expect(read.toString()).toBe('text');
      await file.write([Buffer.from('next')], 0);
      expect(read.toString()).toBe('text');
      await file.close();
    });

    test('gives fewer bytes at the end of a file', async () => {
      const file = await disk.create('a', 100);
      expect(file.readSync(90, 20)).toHaveLength(10);
      expect(file.readSync(100, 20)).toHaveLength(0);
      await file.close();
    });

    test('reads with memory that is given, large enough or not', async () => {
      const file = await disk.create('a', 100);
      await file.write([Buffer.from('some text')], 10);
      for (const memory of [Buffer.alloc(0), Buffer.alloc(8), Buffer.alloc(9), Buffer.alloc(200, 7)]) {
        expect(file.readSync(10, 9, memory).toString()).toBe('some text');
      }
      await file.close();
    });

    test('renames over another file, and removes', async () => {
      for (const [name, text] of [['a', 'A'] as const, ['b', 'B'] as const]) {
        const file = await disk.create(name, 10);
        await file.write([Buffer.from(text)], 0);
        await file.sync();
        await file.close();
      }
      await disk.rename('a', 'b');
      expect(await disk.list()).toEqual(['b']);
      const file = await disk.open('b');
      expect(file.readSync(0, 1).toString()).toBe('A');
      await file.close();
      await disk.remove('b');
      expect(await disk.list()).toEqual([]);
    });

    test('rejects what is done to a file that is not there', async () => {
      await expect(disk.open('a')).rejects.toThrow();
      await expect(disk.remove('a')).rejects.toThrow();
      await expect(disk.rename('a', 'b')).rejects.toThrow();
    });
  });
}
