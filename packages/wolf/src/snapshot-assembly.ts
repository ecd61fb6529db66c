import type { wolfRaft } from '@coxswain/protocol';
import { wolfErrors } from './errors.js';
import { JsonError } from './json-reader.js';
import { toNumber } from './receive.js';
import { type SnapshotDocument, SnapshotDocumentReader } from './snapshot-document.js';

/** What one chunk brought. */
export interface AssembledPiece {
  /** A transfer begins with this chunk: whatever an earlier one brought is of no use any more. */
  readonly isFirst: boolean;
  /** The chunk was here already and brings nothing: a real leader sends it again when the answer takes 50 ms. */
  readonly isRepeat: boolean;
  /** The bytes of the state, in order: the table's snapshot stream, or a memstore's state. */
  readonly data: Buffer;
  /** Set when the snapshot is whole. */
  readonly document: SnapshotDocument | undefined;
}

type Chunk = Omit<wolfRaft.RaftInstallSnapshotReq, 'msgId'>;

interface Transfer {
  /** Which snapshot of which leader. */
  readonly name: string;
  readonly reader: SnapshotDocumentReader;
  nextOffset: number;
  last: { readonly offset: number; readonly data: Buffer; readonly done: boolean };
  document: SnapshotDocument | undefined;
}

/**
 * Puts the chunks of InstallSnapshot together, one transfer at a time. A chunk must begin where the one before it ended:
 * a gap or an overlap is refused and changes nothing, which the real one takes without a word. A chunk at offset 0 begins
 * anew, and the very same chunk as the last one is a repeat. Holds one chunk at a time.
 */
export class SnapshotAssembly {
  readonly #documentBytesMax: number;
  #transfer: Transfer | undefined;

  /** `documentBytesMax` bounds the document; its JSON is up to four times as large as the state. */
  constructor({ documentBytesMax }: { readonly documentBytesMax: number }) {
    this.#documentBytesMax = documentBytesMax;
  }

  /** Throws WolfError RAFT_INSTALL_SNAPSHOT_FAILED. Where the document itself is wrong the transfer is over. */
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

  /** Forgets the transfer, so that the next chunk must be a first one: its state could not be kept. */
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
