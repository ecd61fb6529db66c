import { STREAM_IDENTIFIER } from '@coxswain/stream';
import { snapshotOfPairs } from '@coxswain/table';
import { wolfErrors } from './errors.js';
import { JsonError } from './json-reader.js';
import { memstorePairs } from './memstore-state.js';

/**
 * Bytes of the largest memstore state that is read. A memstore holds its state in memory, and so does this code while
 * it reads it.
 */
const MEMSTORE_STATE_BYTES_MAX = 64 * 1024 * 1024;

/**
 * Converts the state from InstallSnapshot to the stream that the table's `loadSnapshot` takes. The snapshot stream of a
 * node of ours passes through piece by piece; the JSON of a memstore's state, of at most 64 MiB, is read whole and
 * converted. Throws WolfError RAFT_INSTALL_SNAPSHOT_FAILED for any other state.
 */
export async function* tableSnapshotOf(
  state: AsyncIterable<Buffer>,
  place: { readonly group: number; readonly index: number; readonly term: number },
): AsyncGenerator<Buffer, void, undefined> {
  const held: Buffer[] = [];
  let heldBytes = 0;
  let isOurs: boolean | undefined;
  for await (const piece of state) {
    if (piece.length === 0) continue;
    isOurs ??= piece[0] === STREAM_IDENTIFIER[0];
    if (isOurs) {
      yield piece;
      continue;
    }
    held.push(piece);
    heldBytes += piece.length;
    if (heldBytes > MEMSTORE_STATE_BYTES_MAX)
      throw wolfErrors.snapshotFailed(
        'the state is neither a snapshot stream nor the JSON of a memstore of at most 64 MiB',
      );
  }
  if (isOurs !== true) yield* snapshotOfPairs(pairsOf(Buffer.concat(held, heldBytes)), place);
}

function pairsOf(bytes: Buffer): ReturnType<typeof memstorePairs> {
  try {
    return memstorePairs(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes));
  } catch (error) {
    const reason = error instanceof JsonError ? error.message : 'it is not UTF-8';
    throw wolfErrors.snapshotFailed(
      `the state is neither a snapshot stream nor the JSON of a memstore: ${reason}`,
    );
  }
}
