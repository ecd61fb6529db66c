import type { wolfRaft } from '@coxswain/protocol';
import { wolfErrors } from './errors.js';
import { JsonError } from './json-reader.js';
import { toNumber } from './receive.js';
import { type SnapshotDocument, SnapshotDocumentReader } from './snapshot-document.js';

/** The content of one chunk. */
export interface AssembledPiece {
  /** True when a transfer begins with this chunk, so that the content of an earlier transfer is void. */
  readonly isFirst: boolean;
  /**
   * True when the chunk was already here and brings nothing: a real leader sends it again when the answer takes 50 ms.
   */
  readonly isRepeat: boolean;
  /** Bytes of the state, in order: the table's snapshot stream, or a memstore's state. */
  readonly data: Buffer;
  /** The head of the document, set when the snapshot is complete. */
  readonly document: SnapshotDocument | undefined;
}

type Chunk = Omit<wolfRaft.RaftInstallSnapshotReq, 'msgId'>;

interface Transfer {
  /** Identifies the snapshot and its leader. */
  readonly name: string;
  readonly reader: SnapshotDocumentReader;
  nextOffset: number;
  last: { readonly offset: number; readonly data: Buffer; readonly done: boolean };
  document: SnapshotDocument | undefined;
}

/**
 * Joins the chunks of InstallSnapshot, one transfer at a time. A chunk must begin where the one before it ended: a gap
 * or an overlap, which the real server silently accepts, is refused and changes nothing. A chunk at offset 0 starts
 * over, and a chunk identical to the last one is a repeat. It holds one chunk at a time.
 */
export class SnapshotAssembly {
  readonly #documentBytesMax: number;
  #transfer: Transfer | undefined;

  /** `documentBytesMax` is the limit for the document, whose JSON is up to four times as large as the state. */
  constructor({ documentBytesMax }: { readonly documentBytesMax: number }) {
    this.#documentBytesMax = documentBytesMax;
  }

  /**
   * Takes a chunk. Throws WolfError RAFT_INSTALL_SNAPSHOT_FAILED. When the document itself is wrong, the transfer is
   * over.
   */
  accept(chunk: Chunk): AssembledPiece {
    const { done, data } = chunk;
    const offset = toNumber(chunk.offset, 'offset', wolfErrors.snapshotFailed);
    const name = `${chunk.leaderId}/${chunk.term}/${chunk.lastIncludedIndex}/${chunk.lastIncludedTerm}`;
    let transfer = this.#transfer?.name === name ? this.#transfer : undefined;
    if (transfer !== undefined && isRepeat(transfer, { offset, data, done }))
      return { isFirst: false, isRepeat: true, data: Buffer.alloc(0), document: transfer.document };
    const isFirst = offset === 0;
    if (isFirst) {
      transfer = {
        name,
        reader: new SnapshotDocumentReader(),
        nextOffset: 0,
        last: { offset, data, done },
        document: undefined,
      };
      this.#transfer = transfer;
    }
    if (transfer === undefined || transfer.document !== undefined)
      throw wolfErrors.snapshotFailed(
        `the chunk is at offset ${offset}, but no such snapshot is on its way: begin at offset 0`,
      );
    if (offset !== transfer.nextOffset)
      throw wolfErrors.snapshotFailed(
        `the chunk is at offset ${offset}, but the next one begins at ${transfer.nextOffset}`,
      );
    try {
      return { isFirst, isRepeat: false, ...this.#take(transfer, chunk, offset) };
    } catch (error) {
      this.#transfer = undefined;
      throw error;
    }
  }

  /** Drops the transfer, so that the next chunk must be a first one, after its state could not be stored. */
  reset(): void {
    this.#transfer = undefined;
  }

  #take(transfer: Transfer, chunk: Chunk, offset: number): Pick<AssembledPiece, 'data' | 'document'> {
    const { data, done } = chunk;
    transfer.nextOffset = offset + data.length;
    if (transfer.nextOffset > this.#documentBytesMax)
      throw wolfErrors.snapshotFailed(
        `the snapshot is larger than ${this.#documentBytesMax} bytes, the most that is taken`,
      );
    transfer.last = { offset, data, done };
    try {
      const state = transfer.reader.push(data);
      if (done) transfer.document = transfer.reader.end();
      const { document } = transfer;
      const isNamed =
        document === undefined ||
        (BigInt(document.index) === chunk.lastIncludedIndex &&
          BigInt(document.term) === chunk.lastIncludedTerm);
      if (!isNamed)
        throw wolfErrors.snapshotFailed(
          'the snapshot is of another index or term than last_included_index and last_included_term',
        );
      return { data: state, document };
    } catch (error) {
      if (error instanceof JsonError)
        throw wolfErrors.snapshotFailed(
          `the snapshot is not the JSON of one: ${error.reason} at byte ${error.at}`,
        );
      throw error;
    }
  }
}

function isRepeat({ last }: Transfer, chunk: Transfer['last']): boolean {
  return last.offset === chunk.offset && last.done === chunk.done && last.data.equals(chunk.data);
}
