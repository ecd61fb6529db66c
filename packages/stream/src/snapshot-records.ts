import { FrameDecompressor } from './snappy-frames.js';
import { SnapshotDamagedError } from './snapshot-damaged-error.js';

const LENGTH_SIZE_BYTES = 8;
/** The most bytes of a record: no accepted request makes a larger pair (P4). */
const RECORD_SIZE_BYTES_MAX = 16 * 1024 * 1024;

/**
 * Some complete records of a snapshot stream, in the stream's own form: a u64 length, then the record. They share the
 * memory of `bytes`, which nothing else uses.
 */
export class SnapshotRecords implements Iterable<Buffer> {
  readonly bytes: Buffer;
  /** The position in `bytes` at which each record begins. */
  readonly starts: readonly number[];
  /** The position in `bytes` at which each record ends. */
  readonly ends: readonly number[];

  constructor(bytes: Buffer, starts: readonly number[], ends: readonly number[]) {
    this.bytes = bytes;
    this.starts = starts;
    this.ends = ends;
  }

  /** Returns the records from a place on. */
  from(place: number): SnapshotRecords {
    return new SnapshotRecords(this.bytes, this.starts.slice(place), this.ends.slice(place));
  }

  *[Symbol.iterator](): Generator<Buffer> {
    for (const [place, start] of this.starts.entries()) yield this.bytes.subarray(start, this.ends[place]);
  }
}

/** Yields the records of a snapshot stream, in batches. Rejects with SnapshotDamagedError. */
export async function* readSnapshotRecords(
  stream: AsyncIterable<Buffer>,
): AsyncGenerator<SnapshotRecords, void, undefined> {
  const broken = new BrokenRecord();
  for await (const bytes of decompress(stream)) {
    const starts: number[] = [];
    const ends: number[] = [];
    let at = broken.take(bytes);
    const whole = broken.whole();
    if (whole !== undefined) yield new SnapshotRecords(whole, [LENGTH_SIZE_BYTES], [whole.length]);
    while (bytes.length - at >= LENGTH_SIZE_BYTES) {
      const end = at + recordSize(bytes, at);
      if (end > bytes.length) break;
      starts.push(at + LENGTH_SIZE_BYTES);
      ends.push(end);
      at = end;
    }
    if (at < bytes.length) broken.begin(bytes.subarray(at));
    if (starts.length > 0) yield new SnapshotRecords(bytes, starts, ends);
  }
  if (broken.isBegun) throw new SnapshotDamagedError('it ends within a record');
}

/** Returns the size of a record with its length. Throws SnapshotDamagedError. */
function recordSize(bytes: Buffer, at: number): number {
  const length = bytes.readUInt32LE(at);
  if (length > RECORD_SIZE_BYTES_MAX || bytes.readUInt32LE(at + 4) !== 0) {
    throw new SnapshotDamagedError('a record is larger than any that can be written');
  }
  return LENGTH_SIZE_BYTES + length;
}

/**
 * A record that spans blocks, the only kind that is copied. Its pieces are joined when it is complete: joined one by
 * one, the bytes of a large record would be copied with each piece.
 */
class BrokenRecord {
  #pieces: Buffer[] = [];
  #sizeBytes = 0;
  /** The size of the record with its length; undefined while the length is incomplete. */
  #wholeBytes: number | undefined;

  get isBegun(): boolean {
    return this.#sizeBytes > 0;
  }

  begin(piece: Buffer): void {
    this.#add(piece);
  }

  /** Takes the bytes of this record from the beginning of a block, and returns the position after them. */
  take(block: Buffer): number {
    let at = 0;
    while (this.isBegun && at < block.length && this.#sizeBytes !== this.#wholeBytes) {
      const end = Math.min(at + (this.#wholeBytes ?? LENGTH_SIZE_BYTES) - this.#sizeBytes, block.length);
      this.#add(block.subarray(at, end));
      at = end;
    }
    return at;
  }

  /** Returns the record once, when it is complete. */
  whole(): Buffer | undefined {
    if (this.#sizeBytes !== this.#wholeBytes) return undefined;
    const bytes = Buffer.concat(this.#pieces, this.#sizeBytes);
    this.#pieces = [];
    this.#sizeBytes = 0;
    this.#wholeBytes = undefined;
    return bytes;
  }

  #add(piece: Buffer): void {
    this.#pieces.push(piece);
    this.#sizeBytes += piece.length;
    if (this.#wholeBytes !== undefined || this.#sizeBytes < LENGTH_SIZE_BYTES) return;
    const beginning = this.#pieces.length === 1 ? piece : Buffer.concat(this.#pieces, this.#sizeBytes);
    this.#wholeBytes = recordSize(beginning, 0);
  }
}

/** Decompresses a stream. An empty stream counts like a bare header: stock servers send either for an empty table. */
async function* decompress(stream: AsyncIterable<Buffer>): AsyncGenerator<Buffer, void, undefined> {
  const decompressor = new FrameDecompressor();
  for await (const chunk of stream) {
    const blocks = decompressor.blocks(chunk);
    for (;;) {
      const { value: block, done } = refusingDamage(() => blocks.next());
      if (done === true) break;
      yield block;
    }
  }
  refusingDamage(() => decompressor.end());
}

function refusingDamage<T>(act: () => T): T {
  try {
    return act();
  } catch (error) {
    throw new SnapshotDamagedError('it cannot be decompressed', { cause: error });
  }
}
