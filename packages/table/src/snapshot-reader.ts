import { SnapshotDamagedError } from './errors.js';
import { FrameDecompressor } from './snappy-frames.js';

const LENGTH_SIZE_BYTES = 8;
/** No accepted request makes a larger pair (P4). */
const RECORD_SIZE_BYTES_MAX = 16 * 1024 * 1024;
/** Compressed bytes that are handed over at a time, so that a large chunk does not hold up the event loop. */
const PIECE_SIZE_BYTES = 64 * 1024;

/** The records of a snapshot stream, some at a time. Rejects with SnapshotDamagedError. */
export async function* readSnapshotRecords(
  stream: AsyncIterable<Buffer>,
): AsyncGenerator<Buffer[], void, undefined> {
  let rest: Buffer = Buffer.alloc(0);
  for await (const plain of decompress(stream)) {
    const buffer = rest.length === 0 ? plain : Buffer.concat([rest, plain]);
    const records: Buffer[] = [];
    let at = 0;
    while (buffer.length - at >= LENGTH_SIZE_BYTES) {
      const length = buffer.readUInt32LE(at);
      if (length > RECORD_SIZE_BYTES_MAX || buffer.readUInt32LE(at + 4) !== 0) {
        throw new SnapshotDamagedError('a record is larger than any that can be written');
      }
      const end = at + LENGTH_SIZE_BYTES + length;
      if (end > buffer.length) break;
      records.push(buffer.subarray(at + LENGTH_SIZE_BYTES, end));
      at = end;
    }
    rest = buffer.subarray(at);
    if (records.length > 0) yield records;
  }
  if (rest.length > 0) throw new SnapshotDamagedError('it ends within a record');
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
