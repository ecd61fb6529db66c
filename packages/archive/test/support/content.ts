import { randomBytes } from 'node:crypto';
import type { ObjectStore } from '../../src/store.js';

export function random(sizeBytes: number): Buffer {
  return randomBytes(sizeBytes);
}

/** Yields `content` in pieces of the given sizes, and the rest at last. */
export async function* inPieces(content: Buffer, sizes: readonly number[]): AsyncGenerator<Buffer> {
  let at = 0;
  for (const size of sizes) {
    yield content.subarray(at, at + size);
    at += size;
  }
  yield content.subarray(at);
}

export async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}

export async function contentOf(store: ObjectStore, name: string): Promise<Buffer> {
  return Buffer.concat(await collect(store.get(name, {})));
}

/** Returns the names that begin with `prefix`, sorted by their characters. */
export async function namesOf(store: ObjectStore, prefix: string): Promise<string[]> {
  return (await collect(store.list(prefix, {}))).map(({ name }) => name).sort();
}
