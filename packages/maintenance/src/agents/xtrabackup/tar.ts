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

/** A tar of files, each asked for when the one before it was taken. Works at the pace of its reader. */
export async function* writeTar(files: AsyncIterable<TarFile>): AsyncGenerator<Buffer> {
  const tar = pack();
  const packed = packAll(tar, files).catch((error: Error) => tar.destroy(error));
  try {
    for await (const chunk of tar) yield chunk as Buffer;
  } finally {
    tar.destroy();
    await packed;
  }
}

async function packAll(tar: Pack, files: AsyncIterable<TarFile>): Promise<void> {
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
      if (!sink.write(chunk)) await Promise.race([once(sink, 'drain'), ended]);
    }
    sink.end(null);
    await ended;
  }
  tar.finalize();
}
