import { mvcc, replication } from '@coxswain/protocol';
import { type LeaderLink, readReplicateMessage } from '@coxswain/replication';
import { compressToFrames, FrameDecompressor } from '@coxswain/stream';

const SNAPSHOT_MS = 3_600_000;
const LOG_MS = 60_000;
/** Bytes of uncompressed commands that are gathered before they are compressed together. */
const SLAB_BYTES = 256 * 1024;
const LENGTH_BYTES = 8;
/** Upper bound in bytes for a DUMMY record, which holds a table's name and an index. */
const DUMMY_BYTES_MAX = 1024;
const { DUMMY } = mvcc.Command_CommandType;

/** The donor sent something that is not a table, or sent only part of a table. Another attempt may succeed. */
export class DonorError extends Error {
  override readonly name = 'DonorError';
}

/** One entry of the donor's list of tables. */
export interface DonorTable {
  readonly name: string;
  readonly clusterId: string;
  /** The table's shard id in the donor's cluster; 0 when the donor does not report one. */
  readonly shardId: bigint;
}

/** Options for reading one table from the donor. */
export interface DonorCall {
  readonly nowMs: () => number;
  readonly signal: AbortSignal;
  /** Accept the table as of its snapshot when the donor's log no longer reaches back to that snapshot. */
  readonly isSnapshotEnough: boolean;
}

/**
 * Streams a table of the donor in the form that `Restorer` reads: first its snapshot, whose closing DUMMY names the
 * index after which the log continues, then the commands of the log up to the donor's head. Throws DonorError, and the
 * errors of the link.
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
    // The stream has reached the head that was asked for, or this node of the donor has applied less than the node that
    // made the snapshot.
    if (isTerminal || error !== undefined) break;
  }
  if (slabBytes > 0) yield compressToFrames(Buffer.concat(slab));
}

/** Finds the last record of a snapshot stream while the stream passes through, and holds no other record. */
class SnapshotEnd {
  readonly #decompressor = new FrameDecompressor();
  readonly #length = Buffer.alloc(LENGTH_BYTES);
  #lengthBytes = 0;
  /** Bytes of the current record that have not come yet. */
  #missingBytes = 0;
  /** The last record, as far as it has come; empty when the record is larger than a DUMMY can be. */
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

  /**
   * Returns the index after which the log continues what the snapshot holds. Throws DonorError when the stream does not
   * end with the DUMMY of a snapshot.
   */
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
