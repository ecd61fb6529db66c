import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';

/** A stream compressed as `gzip -c` does it, at the pace of its reader. Throws what the source throws. */
export async function* gzipped(source: Iterable<Buffer> | AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  const gzip = createGzip();
  const compressed = pipeline(Readable.from(source), gzip);
  // Its error comes by way of the reading, too.
  compressed.catch(() => undefined);
  try {
    for await (const chunk of gzip as AsyncIterable<Buffer>) yield chunk;
    await compressed;
  } finally {
    gzip.destroy();
  }
}
