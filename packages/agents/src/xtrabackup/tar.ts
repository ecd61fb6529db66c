import { once } from 'node:events';
import { type Pack, pack } from 'tar-stream';

/** One file of a tar. */
export interface TarFile {
  /** The file's path, relative, with `/` between its parts. */
  readonly name: string;
  /** The exact number of bytes that `content` yields. */
  readonly sizeBytes: number;
  /** Milliseconds since 1970. */
  readonly modifiedMs: number;
  readonly content: AsyncIterable<Buffer> | Iterable<Buffer>;
}

/**
 * Writes a tar of files at the pace of its reader; asks for each file when the one before it was taken. Until the tar
 * is complete, the bytes given so far end within the content of a file: GNU tar would accept a tar that ends between
 * two files, or within a header, as complete.
 */
export async function* writeTar(files: AsyncIterable<TarFile>): AsyncGenerator<Buffer> {
  const tar = pack();
  const content = new WeakSet<Buffer>();
  const packed = packAll(tar, files, content).catch((error: Error) => tar.destroy(error));
  /** The last byte of a file, and everything up to the content of the next one. */
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

/**
 * Adds each file to the tar, and each piece of its content to `contents`: the tar passes these on unchanged, between
 * the buffers that it makes itself.
 */
async function packAll(tar: Pack, files: AsyncIterable<TarFile>, contents: WeakSet<Buffer>): Promise<void> {
  for await (const { name, sizeBytes, modifiedMs, content } of files) {
    const header = { name, size: sizeBytes, mtime: new Date(modifiedMs) };
    let entry: ReturnType<Pack['entry']> | undefined;
    const ended = new Promise<void>((resolve, reject) => {
      entry = tar.entry(header, (error) => (error ? reject(error) : resolve()));
    });
    // When it rejects before anybody awaits it, the tar passes the error on.
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
