import { STREAM_IDENTIFIER } from '@coxswain/stream';
import { snapshotOfPairs } from '@coxswain/table';
import { wolfErrors } from './errors.js';
import { JsonError } from './json-reader.js';
import { memstorePairs } from './memstore-state.js';

/** A memstore holds its whole state in memory, and so must we while we read it. */
const MEMSTORE_STATE_BYTES_MAX = 64 * 1024 * 1024;

/**
 * The state that InstallSnapshot brought as the stream that `loadSnapshot` of the table takes. The snapshot stream of a
 * node of ours goes through as it is, piece by piece; the JSON of a memstore's state, of at most 64 MiB, is read whole and
 * becomes one. Throws WolfError RAFT_INSTALL_SNAPSHOT_FAILED for anything else.
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
