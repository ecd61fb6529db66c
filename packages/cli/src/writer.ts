import { once } from 'node:events';

/**
 * Writes to stdout with back-pressure, so that a large range is never held in memory. It gathers small pieces, since
 * every write to a pipe or a file is a system call.
 */
export class Writer {
  readonly #stream: NodeJS.WritableStream;
  #pieces: (string | Buffer)[] = [];
  #sizeBytes = 0;

  constructor(stream: NodeJS.WritableStream = process.stdout) {
    this.#stream = stream;
  }

  write(piece: string | Buffer): void {
    this.#pieces.push(piece);
    this.#sizeBytes += piece.length;
  }

  /**
   * Writes what was gathered, when it is at least so much, and resolves when the reader takes more. Callers call it now
   * and then, and at the end.
   */
  async flush(leastSizeBytes = 0): Promise<void> {
    if (this.#sizeBytes === 0 || this.#sizeBytes < leastSizeBytes) return;
    const pieces = this.#pieces.map((piece) => (typeof piece === 'string' ? Buffer.from(piece) : piece));
    this.#pieces = [];
    this.#sizeBytes = 0;
    if (!this.#stream.write(Buffer.concat(pieces))) await once(this.#stream, 'drain');
  }
}
