import { SnapshotDamagedError } from './errors.js';
import { FrameDecompressor } from './snappy-frames.js';

const LENGTH_SIZE_BYTES = 8;
/** No accepted request makes a larger pair (P4). */
const RECORD_SIZE_BYTES_MAX = 16 * 1024 * 1024;
/** Compressed bytes that are handed over at a time, so that a large chunk does not hold up the event loop. */
const PIECE_SIZE_BYTES = 64 * 1024;

/**
 * Some whole records of a snapshot stream, as they stand in it: u64 length, then the record. They share the memory of
 * `bytes`, which is nobody's else.
 */
export class SnapshotRecords implements Iterable<Buffer> {
  readonly bytes: Buffer;
  /** Where each begins. */
  readonly starts: readonly number[];
  /** Where each ends. */
  readonly ends: readonly number[];

  constructor(bytes: Buffer, starts: readonly number[], ends: readonly number[]) {
    this.bytes = bytes;
    this.starts = starts;
    this.ends = ends;
  }

  /** Those from a place on. */
  from(place: number): SnapshotRecords {
    return new SnapshotRecords(this.bytes, this.starts.slice(place), this.ends.slice(place));
  }

  *[Symbol.iterator](): Generator<Buffer> {
    for (const [place, start] of this.starts.entries()) yield this.bytes.subarray(start, this.ends[place]);
  }
}

/** The records of a snapshot stream, some at a time. Rejects with SnapshotDamagedError. */
export async function* readSnapshotRecords(
  stream: AsyncIterable<Buffer>,
): AsyncGenerator<SnapshotRecords, void, undefined> {
  let pieces: Buffer[] = [];
  let sizeBytes = 0;
  let neededBytes = LENGTH_SIZE_BYTES;
  for await (const plain of decompress(stream)) {
    pieces.push(plain);
    sizeBytes += plain.length;
    // Pieces are joined when there is a whole record: joined one by one, a large record's bytes would be copied with each.
    if (sizeBytes < neededBytes) continue;
    const bytes = pieces.length === 1 ? plain : Buffer.concat(pieces, sizeBytes);
    const starts: number[] = [];
    const ends: number[] = [];
    let at = 0;
    neededBytes = LENGTH_SIZE_BYTES;
    while (bytes.length - at >= LENGTH_SIZE_BYTES) {
      const length = bytes.readUInt32LE(at);
      if (length > RECORD_SIZE_BYTES_MAX || bytes.readUInt32LE(at + 4) !== 0) {
        throw new SnapshotDamagedError('a record is larger than any that can be written');
      }
      const start = at + LENGTH_SIZE_BYTES;
      if (start + length > bytes.length) {
        neededBytes = LENGTH_SIZE_BYTES + length;
        break;
      }
      at = start + length;
      starts.push(start);
      ends.push(at);
    }
    pieces = at < bytes.length ? [bytes.subarray(at)] : [];
    sizeBytes = bytes.length - at;
    if (starts.length > 0) yield new SnapshotRecords(bytes, starts, ends);
  }
  if (sizeBytes > 0) throw new SnapshotDamagedError('it ends within a record');
}

/** An empty stream is as good as a bare header: stock leaves either of an empty table. */
async function* decompress(stream: AsyncIterable<Buffer>): AsyncGenerator<Buffer, void, undefined> {
  const decompressor = new FrameDecompressor();
  for await (const chunk of stream) {
    for (let at = 0; at < chunk.length; at += PIECE_SIZE_BYTES) {
      const plain = refusingDamage(() => decompressor.update(chunk.subarray(at, at + PIECE_SIZE_BYTES)));
      if (plain.length > 0) yield plain;
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
