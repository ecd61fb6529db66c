import { errors, type NodeParts } from '@coxswain/node';
import type { maintenance } from '@coxswain/protocol';
import type { RateLimit } from '@coxswain/runtime';
import { readSnapshotRecords } from '@coxswain/stream';
import type { StreamedCall } from './backup.js';
import type { Restorer } from './restorer.js';
import { checkLeaderRole } from './role.js';
import { noTransfers, type TransferCounters } from './transfer-counters.js';

export interface RestoresOptions {
  /** The rate limit that all restores of this node share: bytes that are not taken hold the sender up. */
  readonly rate: RateLimit;
  /** How many restores may run at a time. Calls above that get tooBusy. */
  readonly callsMax: number;
}

/** Maintenance.Restore (docs/protocol.md §4): replaces a table by the uploaded one, once the upload is complete. */
export class Restores {
  readonly #node: Pick<NodeParts, 'cluster'>;
  readonly #restorer: Restorer;
  readonly #options: RestoresOptions;
  readonly #counters: TransferCounters = noTransfers();

  constructor(node: Pick<NodeParts, 'cluster'>, restorer: Restorer, options: RestoresOptions) {
    this.#node = node;
    this.#restorer = restorer;
    this.#options = options;
  }

  get counters(): Readonly<TransferCounters> {
    return this.#counters;
  }

  /**
   * Takes the info first, then chunks; the caller ends them. An upload that breaks off or is damaged changes nothing.
   * Errors: notForThisRole, tooBusy, firstMessageNotInfo, tableNotSet, chunkExpected, and those of `Restorer.restore`.
   */
  async restore(
    messages: AsyncIterable<maintenance.RestoreMessage>,
    call: StreamedCall,
  ): Promise<maintenance.RestoreResponse> {
    checkLeaderRole(this.#node.cluster.role, 'Restore');
    const counters = this.#counters;
    if (counters.underWay >= this.#options.callsMax) throw errors.tooBusy();
    counters.underWay++;
    const upload = messages[Symbol.asyncIterator]();
    try {
      const { table, sizeBytes } = await readInfo(upload);
      const records = readSnapshotRecords(this.#chunks(upload, Number(sizeBytes), call));
      const { shardId, revision, keyCount } = await this.#restorer.restore(
        table.toString(),
        { records },
        call,
      );
      counters.succeeded++;
      counters.keys += keyCount;
      return { shardId: BigInt(shardId), revision: BigInt(revision), keyCount: BigInt(keyCount) };
    } catch (error) {
      counters.failed++;
      throw error;
    } finally {
      counters.underWay--;
      await upload.return?.();
    }
  }

  async *#chunks(
    upload: AsyncIterator<maintenance.RestoreMessage>,
    announcedBytes: number,
    { signal }: StreamedCall,
  ): AsyncGenerator<Buffer> {
    let receivedBytes = 0;
    for (let next = await upload.next(); !next.done; next = await upload.next()) {
      const { data } = next.value;
      if (data?.$case !== 'chunk') throw errors.chunkExpected();
      const bytes = data.value.data;
      this.#counters.bytes += bytes.length;
      receivedBytes += bytes.length;
      await this.#options.rate.pay(bytes.length, signal);
      yield bytes;
    }
    // Nothing was sent: that must not empty the table. The stream of an empty table has a header.
    if (receivedBytes === 0) throw errors.restoreWithoutSnapshot();
    if (announcedBytes !== 0 && receivedBytes !== announcedBytes) {
      throw errors.restoreDamaged(
        `it has ${receivedBytes} bytes, and not the ${announcedBytes} that were announced`,
      );
    }
  }
}

async function readInfo(upload: AsyncIterator<maintenance.RestoreMessage>): Promise<maintenance.RestoreInfo> {
  const first = await upload.next();
  const data = first.done ? undefined : first.value.data;
  if (data?.$case !== 'info') throw errors.firstMessageNotInfo();
  if (data.value.table.length === 0) throw errors.tableNotSet();
  return data.value;
}
