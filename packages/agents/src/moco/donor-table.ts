import { mvcc, replication } from '@coxswain/protocol';
import { type LeaderLink, readReplicateMessage } from '@coxswain/replication';
import { compressToFrames, FrameDecompressor } from '@coxswain/stream';

const SNAPSHOT_MS = 3_600_000;
const LOG_MS = 60_000;
/** Plain bytes of commands that are compressed at a time. */
const SLAB_BYTES = 256 * 1024;
const LENGTH_BYTES = 8;
/** What a DUMMY takes, with a table's name in it, and more. */
const DUMMY_BYTES_MAX = 1024;
const { DUMMY } = mvcc.Command_CommandType;

/** What the donor sent is not a table, or not all of one. Another attempt may get it. */
export class DonorError extends Error {
  override readonly name = 'DonorError';
}

/** A table as the donor's list has it. */
export interface DonorTable {
  readonly name: string;
  readonly clusterId: string;
  /** 0: the donor does not tell. */
  readonly shardId: bigint;
}

/** How the way to the donor is asked. */
export interface DonorCall {
  readonly nowMs: () => number;
  readonly signal: AbortSignal;
  /** Take the table as its snapshot has it where the log does not go on behind it any more. */
  readonly isSnapshotEnough: boolean;
}

/**
 * A table of the donor as a stream for `Restorer`: its snapshot, whose DUMMY says where the log goes on, and behind it
 * the commands of the log up to the donor's head. Throws DonorError, and the link's errors.
 */
export async function* donorTable(
  link: LeaderLink,
  table: DonorTable,
  { nowMs, signal, isSnapshotEnough }: DonorCall,
): AsyncGenerator<Buffer> {
  const name = Buffer.from(table.name);
  const request = replication.SnapshotRequest.fromPartial({ table: name, clusterId: table.clusterId });
  const end = new SnapshotEnd();
  for await (const { data } of link.snapshot(request, { deadlineMs: nowMs() + SNAPSHOT_MS, signal })) {
    end.push(data);
    yield data;
  }
  const asked = {
    table: name,
    clusterId: table.clusterId,
    shardId: table.shardId,
    leaderIndex: BigInt(end.leaderIndex() + 1),
    once: true,
  };
  const log = link.replicate(replication.ReplicateRequest.fromPartial(asked), {
    deadlineMs: nowMs() + LOG_MS,
    signal,
  });
  yield* commandsOf(log, isSnapshotEnough);
}

async function* commandsOf(log: AsyncIterable<Buffer>, isSnapshotEnough: boolean): AsyncGenerator<Buffer> {
  let slab: Buffer[] = [];
  let slabBytes = 0;
  for await (const bytes of log) {
    const { commands, error, isTerminal } = readReplicateMessage(bytes);
    if (error === replication.ReplicateError.USE_SNAPSHOT && !isSnapshotEnough) {
      throw new DonorError('its log does not reach back to the snapshot any more, or the table was replaced');
    }
    for (const { command } of commands) {
      const length = Buffer.alloc(LENGTH_BYTES);
      length.writeBigUInt64LE(BigInt(command.length));
      slab.push(length, command);
      slabBytes += LENGTH_BYTES + command.length;
      if (slabBytes < SLAB_BYTES) continue;
      yield compressToFrames(Buffer.concat(slab));
      slab = [];
      slabBytes = 0;
    }
    // The head that was asked for is reached; or it is behind the snapshot, which another node of the donor made.
    if (isTerminal || error !== undefined) break;
  }
  if (slabBytes > 0) yield compressToFrames(Buffer.concat(slab));
}

/** Finds the last record of a snapshot stream on its way, and holds nothing else of it. */
class SnapshotEnd {
  readonly #decompressor = new FrameDecompressor();
  readonly #length = Buffer.alloc(LENGTH_BYTES);
  #lengthBytes = 0;
  /** Of the record that is being passed. */
  #missingBytes = 0;
  /** The last record, or as much as there is of it, where it is small. */
  #record: Buffer[] = [];
  #isSmall = false;

  push(frames: Buffer): void {
    const plain = this.#decompressor.update(frames);
    for (let at = 0; at < plain.length; ) {
      if (this.#missingBytes === 0) {
        const taken = plain.copy(this.#length, this.#lengthBytes, at);
        at += taken;
        this.#lengthBytes += taken;
        if (this.#lengthBytes < LENGTH_BYTES) return;
        this.#lengthBytes = 0;
        this.#missingBytes = Number(this.#length.readBigUInt64LE());
        this.#record = [];
        this.#isSmall = this.#missingBytes <= DUMMY_BYTES_MAX;
      }
      const part = plain.subarray(at, at + this.#missingBytes);
      if (this.#isSmall) this.#record.push(Buffer.from(part));
      at += part.length;
      this.#missingBytes -= part.length;
    }
  }

  /** Where the log goes on behind. Throws DonorError where the stream does not end as a snapshot does. */
  leaderIndex(): number {
    const isWhole = this.#missingBytes === 0 && this.#lengthBytes === 0 && this.#isSmall;
    const last = isWhole ? decode(Buffer.concat(this.#record)) : undefined;
    if (last?.type !== DUMMY || last.leaderIndex === undefined) {
      throw new DonorError('a snapshot ends without a leader_index: it broke off');
    }
    return Number(last.leaderIndex);
  }
}

function decode(record: Buffer): mvcc.Command | undefined {
  try {
    return mvcc.Command.decode(record);
  } catch {
    return undefined;
  }
}
