import type { Membership, NodeId, SnapshotMetadata } from '@coxswain/raft';
import type { Log, Random } from '@coxswain/runtime';
import { loadSnapshot, type StoreDirectory, writeSnapshot } from '@coxswain/table';
import type { GroupId } from '@coxswain/wal';
import { Packr } from 'msgpackr';
import type { BulkSource, PeerTransport } from '../api/environment.js';
import type { FrameHeader } from '../cluster/frame.js';
import { nodeEvents } from '../events.js';
import type { Replica } from './replica.js';

/** The limit of one chunk of a bulk stream (ARCHITECTURE.md, "Nodes among themselves"). */
const CHUNK_BYTES_MAX = 512 * 1024;
/** The limit of the snapshots that a node sends at a time; more would only share its disk and its link. */
const SENDING_MAX = 2;

const packr = new Packr({ useRecords: false });

/** The header of a bulk stream: who sends which group's state (T4), in which transfer (D7). */
interface TransferHeader {
  readonly clusterId: string;
  readonly from: NodeId;
  readonly incarnation: string;
  readonly boot: string;
  readonly group: GroupId;
  readonly term: number;
  readonly transferId: string;
  readonly membership: Membership;
}

/** A snapshot that has arrived whole and was checked, in a store of its own beside the live one. */
export interface ReceivedSnapshot {
  readonly metadata: SnapshotMetadata;
  readonly storeName: string;
  readonly from: NodeId;
  /** The term of the sender. */
  readonly term: number;
}

/** Gives the name of the store in which a group's snapshot arrives. */
export const incomingStoreName = (group: GroupId) => `shard-${group}.incoming`;

/** The parts of a node that Snapshots uses. */
export interface SnapshotsOptions {
  readonly transport: PeerTransport;
  readonly stores: StoreDirectory;
  readonly random: Random;
  readonly log: Log;
  readonly header: () => FrameHeader;
  /** Says why a sender is not believed (T4); undefined when it is. */
  readonly checkMember: (sender: {
    clusterId: string;
    from: NodeId;
    incarnation: string;
    boot: string;
  }) => string | undefined;
  readonly replica: (group: GroupId) => Replica | undefined;
  readonly received: (replica: Replica, snapshot: ReceivedSnapshot) => Promise<boolean>;
}

/** Sends and receives the state of groups, one stream each (D7). A broken stream starts over from nothing. */
export class Snapshots {
  readonly #options: SnapshotsOptions;
  readonly #sending = new Set<string>();
  readonly #receiving = new Set<GroupId>();
  sentCount = 0;
  receivedCount = 0;

  constructor(options: SnapshotsOptions) {
    this.#options = options;
  }

  /**
   * Sends a replica's state to a peer, and resolves to whether the peer has taken it. Resolves to false at once when
   * too many snapshots are being sent. Rejects when the table cannot be read.
   */
  async send(replica: Replica, to: NodeId): Promise<boolean> {
    const key = `${replica.group} ${to}`;
    if (!replica.hasTable || this.#sending.has(key) || this.#sending.size >= SENDING_MAX) return false;
    const view = replica.table.view();
    this.#sending.add(key);
    const { transport, random, log, header } = this.#options;
    const { clusterId, from, incarnation, boot } = header();
    const transfer: TransferHeader = {
      clusterId,
      from,
      incarnation,
      boot,
      group: replica.group,
      term: replica.raft.term,
      transferId: random.bytes(8).toString('hex'),
      membership: replica.membership,
    };
    const sink = transport.openBulk(to, Buffer.from(packr.pack(transfer)));
    try {
      for await (const data of writeSnapshot(view, { preamble: replica.group })) {
        for (let at = 0; at < data.length; at += CHUNK_BYTES_MAX) {
          await sink.write(data.subarray(at, at + CHUNK_BYTES_MAX));
        }
      }
      const { accepted, reason } = await sink.finish();
      log(accepted ? nodeEvents.snapshotSent : nodeEvents.snapshotRefused, {
        group: replica.group,
        table: replica.name,
        peer: to,
        transferId: transfer.transferId,
        ...(accepted ? {} : { reason }),
      });
      if (accepted) this.sentCount++;
      return accepted;
    } catch (error) {
      sink.abort();
      const { group, name } = replica;
      log(nodeEvents.snapshotSendFailed, { group, table: name, peer: to, reason: String(error) });
      return false;
    } finally {
      view.close();
      this.#sending.delete(key);
    }
  }

  /** Receives a snapshot, hands it to its group, and gives the verdict for the sender. */
  async receive(source: BulkSource): Promise<{ accepted: boolean; reason: string }> {
    const { checkMember, log, stores } = this.#options;
    const refuse = (reason: string) => ({ accepted: false, reason });
    const transfer = readTransfer(source.header);
    if (transfer === undefined) return refuse('the header of the stream cannot be read');
    const check = checkMember(transfer);
    if (check !== undefined) return refuse(check);
    const { group, from, term, membership } = transfer;
    const replica = this.#options.replica(group);
    if (replica === undefined) return refuse('the group is not known here');
    if (this.#receiving.has(group)) return refuse('another snapshot of the group is on its way');
    this.#receiving.add(group);
    const storeName = incomingStoreName(group);
    try {
      const loaded = await loadSnapshot(stores, storeName, source);
      if (loaded.group !== group) throw new Error(`it is of group ${loaded.group}`);
      const metadata = { index: loaded.index, term: loaded.term, membership };
      const isWanted = await this.#options.received(replica, { metadata, storeName, from, term });
      if (!isWanted) await stores.remove(storeName);
      else this.receivedCount++;
      log(isWanted ? nodeEvents.snapshotReceived : nodeEvents.snapshotUnneeded, {
        group,
        peer: from,
        index: loaded.index,
        transferId: transfer.transferId,
      });
      return { accepted: true, reason: '' };
    } catch (error) {
      await stores.remove(storeName);
      log(nodeEvents.snapshotReceiveFailed, { group, peer: from, reason: String(error) });
      return refuse('it did not arrive whole');
    } finally {
      this.#receiving.delete(group);
    }
  }
}

/**
 * Reads the header of a stream. Returns undefined for bytes that are no header: anyone who reaches the raft port may
 * send some.
 */
function readTransfer(bytes: Buffer): TransferHeader | undefined {
  let transfer: Partial<TransferHeader> | null | undefined;
  try {
    transfer = packr.unpack(bytes) as typeof transfer;
  } catch {
    return undefined;
  }
  const isCount = (value: unknown): boolean => Number.isSafeInteger(value) && (value as number) >= 0;
  const areIds = (ids: unknown): boolean => Array.isArray(ids) && ids.every(isCount);
  const { from, group, term, membership, clusterId, incarnation, transferId } = transfer ?? {};
  const isWhole =
    [from, group, term].every(isCount) &&
    [clusterId, incarnation, transferId].every((text) => typeof text === 'string') &&
    areIds(membership?.voters) &&
    areIds(membership?.learners);
  return isWhole ? (transfer as TransferHeader) : undefined;
}
