import { mvcc } from '@coxswain/protocol';
import { compressToFrames } from '@coxswain/stream';
import type { ArchivedEntry } from './log-object.js';

/** What is compressed at a time. */
const PORTION_BYTES = 64 * 1024;
const LENGTH_BYTES = 8;
const END_OF_PAIRS = mvcc.Command.encode(
  mvcc.Command.fromPartial({ type: mvcc.Command_CommandType.DUMMY, leaderIndex: 0n }),
).finish() as Buffer;

/**
 * What stands after the pairs of a stream that `Restorer` takes: a DUMMY, and the commands of a log that are run again, as
 * framed snappy without the header of a stream. The same entries make the same bytes, however they are grouped.
 */
export async function* replayedStream(
  entries: AsyncIterable<readonly ArchivedEntry[]> | Iterable<readonly ArchivedEntry[]>,
): AsyncGenerator<Buffer> {
  let portion = [record(END_OF_PAIRS)];
  let portionBytes = 0;
  for await (const some of entries) {
    for (const { command } of some) {
      if (command.length === 0) continue;
      portion.push(record(command));
      portionBytes += command.length;
      if (portionBytes < PORTION_BYTES) continue;
      yield compressToFrames(Buffer.concat(portion));
      portion = [];
      portionBytes = 0;
    }
  }
  if (portion.length > 0) yield compressToFrames(Buffer.concat(portion));
}

function record(command: Buffer): Buffer {
  const length = Buffer.allocUnsafe(LENGTH_BYTES);
  length.writeBigUInt64LE(BigInt(command.length));
  return Buffer.concat([length, command]);
}
