import { mvcc } from '@coxswain/protocol';
import { compressToFrames, STREAM_IDENTIFIER } from '@coxswain/stream';
import { ContentHash } from './content-hash.js';
import { writeRecordHeader } from './layout.js';
import { newRecordBlock } from './record-block.js';
import { encodePreamble } from './snapshot-preamble.js';

const LENGTH_SIZE_BYTES = 8;
const SLAB_SIZE_BYTES = 256 * 1024;

/** A pair of the state of another state machine. */
export interface SnapshotPair {
  readonly key: Buffer;
  readonly value: Buffer;
}

/**
 * Yields the stream of a Raft snapshot, as `loadSnapshot` takes it, for the state of another state machine: pairs
 * without a history, whose keys differ and are in byte order. Each pair gets the snapshot's index for its revisions,
 * and version 1.
 */
export function* snapshotOfPairs(
  pairs: readonly SnapshotPair[],
  { group, index, term }: { readonly group: number; readonly index: number; readonly term: number },
): Generator<Buffer, void, undefined> {
  const contentHash = new ContentHash();
  for (const { key, value } of pairs) {
    const { identity, record } = newRecordBlock(key, value);
    writeRecordHeader(record, index, index, 1);
    contentHash.add(identity);
  }
  const state = {
    appliedIndex: index,
    appliedTerm: term,
    revision: index,
    leaderIndex: undefined,
    lastTimeMs: 0,
    historyFloor: index,
    keyCount: pairs.length,
    contentHash: contentHash.toBuffer(),
    sealedBy: undefined,
    changeCount: 0,
    deletions: [],
    swept: [],
  };
  yield STREAM_IDENTIFIER;
  let parts = framed(encodePreamble({ group, state }));
  let sizeBytes = 0;
  const revision = BigInt(index);
  for (const { key, value } of pairs) {
    const kv = { key, value, createRevision: revision, modRevision: revision, version: 1n };
    const command = mvcc.Command.fromPartial({ type: mvcc.Command_CommandType.PUT, kv });
    const record = mvcc.Command.encode(command).finish() as Buffer;
    parts.push(...framed(record));
    sizeBytes += record.length;
    if (sizeBytes < SLAB_SIZE_BYTES) continue;
    yield compressToFrames(Buffer.concat(parts));
    parts = [];
    sizeBytes = 0;
  }
  yield compressToFrames(Buffer.concat(parts));
}

function framed(record: Buffer): Buffer[] {
  const length = Buffer.alloc(LENGTH_SIZE_BYTES);
  length.writeUInt32LE(record.length, 0);
  return [length, record];
}
