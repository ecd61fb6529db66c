/** All of stdin. */
export async function readAll(): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of process.stdin) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

const newline = 0x0a;

/**
 * The lines of stdin as bytes, without their ends: keys and values need not be text. `bytesRead` counts what was
 * taken from stdin so far.
 */
export class StdinLines implements AsyncIterable<Buffer> {
  bytesRead = 0;

  async *[Symbol.asyncIterator](): AsyncGenerator<Buffer> {
    let rest: Buffer = Buffer.alloc(0);
    for await (const chunk of process.stdin) {
      this.bytesRead += (chunk as Buffer).length;
      const data = rest.length === 0 ? (chunk as Buffer) : Buffer.concat([rest, chunk as Buffer]);
      let begin = 0;
      for (let end = data.indexOf(newline); end >= 0; end = data.indexOf(newline, begin)) {
        yield data.subarray(begin, end);
        begin = end + 1;
      }
      rest = data.subarray(begin);
    }
    if (rest.length > 0) yield rest;
  }
}
