import { failure } from './exit.js';

/** Reads all of stdin. */
export async function readAll(): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of process.stdin) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

const NEWLINE = 0x0a;

/**
 * The longest line that is read, in bytes: a value of 2 MiB in which every byte is written as `\xNN`, and room to
 * spare. Without a limit, input without line feeds would be gathered without end.
 */
const LINE_SIZE_BYTES_MAX = 16 * 1024 * 1024;

/**
 * Yields the lines of stdin as bytes, without their ends: keys and values need not be text. Throws a failure for a line
 * of more than 16 MiB.
 */
export class StdinLines implements AsyncIterable<Buffer> {
  /** The bytes taken from stdin so far. */
  bytesRead = 0;
  /** True when a line feed followed the line that was yielded last. */
  isTerminated = true;

  async *[Symbol.asyncIterator](): AsyncGenerator<Buffer> {
    let pieces: Buffer[] = [];
    let sizeBytes = 0;
    for await (const chunk of process.stdin) {
      const data = chunk as Buffer;
      this.bytesRead += data.length;
      let begin = 0;
      for (let end = data.indexOf(NEWLINE); end >= 0; end = data.indexOf(NEWLINE, begin)) {
        const last = data.subarray(begin, end);
        yield pieces.length === 0 ? last : Buffer.concat([...pieces, last]);
        pieces = [];
        sizeBytes = 0;
        begin = end + 1;
      }
      if (begin === data.length) continue;
      pieces.push(data.subarray(begin));
      sizeBytes += data.length - begin;
      if (sizeBytes > LINE_SIZE_BYTES_MAX) throw failure('stdin: a line is longer than 16 MiB');
    }
    if (pieces.length === 0) return;
    this.isTerminated = false;
    yield Buffer.concat(pieces);
  }
}
