import { spawnSync } from 'node:child_process';
import { turns } from '@coxswain/testing';
import { expect, test } from '@jest/globals';
import { type TarFile, writeTar } from '../../src/xtrabackup/tar.js';
import { readTar } from '../support/agent-client.js';

const piece = Buffer.alloc(64 * 1024, 1);

test('a tar asks for no more of a file than its reader takes, and ends it when the reader leaves', async () => {
  let given = 0;
  let isEnded = false;
  async function* content(): AsyncGenerator<Buffer> {
    try {
      for (; given < 1000; given++) yield piece;
    } finally {
      isEnded = true;
    }
  }
  async function* files(): AsyncGenerator<TarFile> {
    yield { name: 'large', sizeBytes: 1000 * piece.length, modifiedMs: 0, content: content() };
  }
  const tar = writeTar(files());
  await tar.next();
  await turns(100);
  expect(given).toBeLessThan(5);
  await tar.return(undefined);
  expect(isEnded).toBe(true);
});

test('a file that is not as long as was said, or that cannot be read, breaks the tar', async () => {
  const filesOf = async function* (file: Partial<TarFile>): AsyncGenerator<TarFile> {
    yield { name: 'file', sizeBytes: piece.length, modifiedMs: 0, content: [piece], ...file };
  };
  const read = async (file: Partial<TarFile>): Promise<number> => {
    const pieces: Buffer[] = [];
    for await (const part of writeTar(filesOf(file))) pieces.push(part);
    return (await readTar(Buffer.concat(pieces))).size;
  };
  expect(await read({})).toBe(1);
  await expect(read({ sizeBytes: piece.length + 1 })).rejects.toThrow('Size mismatch');
  const broken = (async function* (): AsyncGenerator<Buffer> {
    yield piece;
    throw new Error('the disk');
  })();
  await expect(read({ sizeBytes: 2 * piece.length, content: broken })).rejects.toThrow('the disk');
});

test('a tar that ends early ends within a file: GNU tar takes one that ends elsewhere for a whole one', async () => {
  // The long names need a header of their own.
  async function* files(isBroken: boolean): AsyncGenerator<TarFile> {
    for (const [place, sizeBytes] of [1024, 700, 1, 512].entries()) {
      const content = [Buffer.alloc(sizeBytes, 1), Buffer.alloc(sizeBytes, 2)];
      yield {
        name: `${place}`.repeat(200 * (place % 2) + 1),
        sizeBytes: 2 * sizeBytes,
        modifiedMs: 0,
        content,
      };
    }
    if (isBroken) throw new Error('the log');
  }
  const isTaken = (tar: Buffer): boolean => spawnSync('tar', ['-t'], { input: tar }).status === 0;
  let given = Buffer.alloc(0);
  const reading = (async () => {
    for await (const part of writeTar(files(true))) given = Buffer.concat([given, part]);
  })();
  await expect(reading).rejects.toThrow('the log');
  expect(isTaken(given)).toBe(false);

  const parts: Buffer[] = [];
  for await (const part of writeTar(files(false))) parts.push(part);
  const outcomes = parts.map((_, count) => isTaken(Buffer.concat(parts.slice(0, count + 1))));
  expect(outcomes).toEqual([...Array(8).fill(false), true]);
});
