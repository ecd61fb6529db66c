import { once } from 'node:events';
import { type Pack, pack } from 'tar-stream';

/** A file of a tar. */
export interface TarFile {
  /** Relative, with `/` between its parts. */
  readonly name: string;
  /** Exactly what `content` gives. */
  readonly sizeBytes: number;
  /** Milliseconds since 1970. */
  readonly modifiedMs: number;
  readonly content: AsyncIterable<Buffer> | Iterable<Buffer>;
}

/**
 * A tar of files, each asked for when the one before it was taken. Works at the pace of its reader. Until it is whole,
 * what it has given ends within the content of a file: GNU tar takes a tar that ends between two of them, or within a
 * header, for a whole one.
 */
export async function* writeTar(files: AsyncIterable<TarFile>): AsyncGenerator<Buffer> {
  const tar = pack();
  const content = new WeakSet<Buffer>();
  const packed = packAll(tar, files, content).catch((error: Error) => tar.destroy(error));
  /** The last byte of a file, and all that stands before the content of the next one. */
  let held: Buffer[] = [];
  try {
    for await (const chunk of tar as AsyncIterable<Buffer>) {
      if (content.has(chunk)) {
        yield Buffer.concat([...held, chunk.subarray(0, -1)]);
        held = [chunk.subarray(-1)];
      } else {
        held.push(chunk);
      }
    }
    yield Buffer.concat(held);
  } finally {
    tar.destroy();
    await packed;
  }
}

/** Adds each piece of a file's content to `contents`: the tar gives these as they are, between what it makes itself. */
async function packAll(tar: Pack, files: AsyncIterable<TarFile>, contents: WeakSet<Buffer>): Promise<void> {
  for await (const { name, sizeBytes, modifiedMs, content } of files) {
    const header = { name, size: sizeBytes, mtime: new Date(modifiedMs) };
    let entry: ReturnType<Pack['entry']> | undefined;
    const ended = new Promise<void>((resolve, reject) => {
      entry = tar.entry(header, (error) => (error ? reject(error) : resolve()));
    });
    // Nobody may wait for it yet when it breaks, and then its error comes by way of the tar.
    ended.catch(() => undefined);
    const sink = entry!;
    sink.on('error', () => undefined);
    for await (const chunk of content) {
      if (chunk.length === 0) continue;
      contents.add(chunk);
      if (!sink.write(chunk)) await Promise.race([once(sink, 'drain'), ended]);
    }
    sink.end(null);
    await ended;
  }
  tar.finalize();
}
