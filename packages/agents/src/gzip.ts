import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';

/** Compresses a stream as `gzip -c` does, at the pace of its reader. Throws what the source throws. */
export async function* gzipped(source: Iterable<Buffer> | AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  const gzip = createGzip();
  const compressed = pipeline(Readable.from(source), gzip);
  // The loop that reads from it throws the same error.
  compressed.catch(() => undefined);
  try {
    for await (const chunk of gzip as AsyncIterable<Buffer>) yield chunk;
    await compressed;
  } finally {
    gzip.destroy();
  }
}
