import { wolfRaft } from '@coxswain/protocol';
import type { InstallSnapshot } from '@coxswain/raft';
import type { Clock, Log } from '@coxswain/runtime';
import { type LoadedSnapshot, loadSnapshot, type StoreDirectory, writeSnapshot } from '@coxswain/table';
import {
  answerFailure,
  answerInstalled,
  checkLeader,
  type ReplicaView,
  receiveSnapshotChunk,
  type SecondLeader,
  SnapshotAssembly,
  snapshotChunks,
  tableSnapshotOf,
  toWolfId,
  WolfError,
  wolfErrors,
} from '@coxswain/wolf';
import type { WolfLink } from '../api/environment.js';
import { nodeEvents } from '../events.js';
import type { Replica } from '../group/replica.js';
import { incomingStoreName, type ReceivedSnapshot } from '../group/snapshots.js';
import { WOLF_SHARD } from '../meta/shards.js';
import { Pipe } from './pipe.js';
import type { WolfMember } from './wolf-member.js';

/** The size of a chunk, as stock peers send them (trap 5); it fits into one message of gRPC. */
const CHUNK_BYTES = 3 * 1024 * 1024;
/** The time limit of a chunk's answer: the last one is answered when the table is in place. */
const CHUNK_MS = 60_000;
/** The limit of a snapshot's JSON, which is up to four times as large as what it holds. */
const DOCUMENT_BYTES_MAX = 1024 ** 4;
/** A transfer to which nothing was added for this long is given up. */
const SILENCE_MS = 60_000;
const MSG_ID = 'coxswain';

const { installSnapshot } = wolfRaft.RaftService;
type Request = wolfRaft.RaftInstallSnapshotReq;
type Response = wolfRaft.RaftInstallSnapshotRes;

/** A snapshot that is arriving. */
interface Incoming {
  readonly pipe: Pipe;
  readonly loaded: Promise<LoadedSnapshot>;
  lastMs: number;
}

/** The parts of a node that WolfSnapshots uses. */
export interface WolfSnapshotsOptions {
  readonly stores: StoreDirectory;
  readonly link: WolfLink;
  readonly clock: Clock;
  readonly log: Log;
  /** The wolf.raft ids of all members. */
  readonly members: readonly number[];
  /** Hands a snapshot that has arrived to the replica. Resolves to false when it is no longer needed. */
  readonly received: (replica: Replica, snapshot: ReceivedSnapshot) => Promise<boolean>;
  /** Called when a chunk was refused, since its term has another leader. */
  readonly refusedLeader: (second: SecondLeader) => void;
}

/** Sends and receives whole tables over InstallSnapshot, in chunks (D7). */
export class WolfSnapshots {
  readonly #options: WolfSnapshotsOptions;
  readonly #assembly = new SnapshotAssembly({ documentBytesMax: DOCUMENT_BYTES_MAX });
  #incoming: Incoming | undefined;
  /** Ends when the chunks so far were taken: they are taken one after another. */
  #turn: Promise<unknown> = Promise.resolve();

  constructor(options: WolfSnapshotsOptions) {
    this.#options = options;
  }

  // ---- to a member

  /**
   * Sends the table as it is now, and steps the core with the answer. Reports the outcome to the core, whatever it is.
   */
  async send(replica: Replica, member: WolfMember, to: { id: number; address: string }): Promise<void> {
    const { raft } = replica;
    const { term } = raft;
    const { log } = this.#options;
    const isSent = await member.inLane(async () => {
      if (!replica.hasTable || !replica.isLeader || raft.term !== term) return false;
      return await this.#sendChunks(replica, member, to, term);
    });
    log(isSent ? nodeEvents.snapshotSent : nodeEvents.snapshotRefused, {
      group: replica.group,
      table: replica.name,
      peer: to.address,
    });
    if (replica.raft !== raft || replica.isClosed) return;
    raft.reportSnapshot(to.id, isSent);
    replica.wake();
  }

  async #sendChunks(
    replica: Replica,
    member: WolfMember,
    to: { id: number; address: string },
    term: number,
  ): Promise<boolean> {
    const view = replica.table.view();
    try {
      const { appliedIndex: index, appliedTerm } = view.state;
      const from = replica.raft.id;
      const snapshot = { index, term: appliedTerm, membership: replica.membership };
      const message: InstallSnapshot = { type: 'installSnapshot', from, to: to.id, term, snapshot };
      const membership = { members: this.#options.members, membersAfterConsensus: undefined };
      const state = writeSnapshot(view, { preamble: WOLF_SHARD });
      for await (const chunk of snapshotChunks(
        { index, term: appliedTerm, membership },
        state,
        CHUNK_BYTES,
      )) {
        if (!replica.isLeader || replica.raft.term !== term) return false;
        const response = await this.#sendChunk(to.address, {
          msgId: MSG_ID,
          term: BigInt(term),
          leaderId: BigInt(toWolfId(from)!),
          lastIncludedIndex: BigInt(index),
          lastIncludedTerm: BigInt(appliedTerm),
          offset: BigInt(chunk.offset),
          done: chunk.done,
          data: chunk.data,
        });
        if (response.response?.$case !== 'okRes') return false;
        const isDeposed = response.response.value.term > BigInt(term);
        if (!chunk.done && !isDeposed) continue;
        const answer = member.calls.installed(message, response);
        if (answer === undefined) return false;
        replica.step(answer);
        return !isDeposed;
      }
      return false;
    } finally {
      view.close();
    }
  }

  /** Sends a chunk. Resolves to an answer without content when none came. */
  async #sendChunk(address: string, request: Request): Promise<Response> {
    const { link } = this.#options;
    try {
      const bytes = installSnapshot.requestSerialize(request);
      const answer = await link.call(address, installSnapshot.path, bytes, CHUNK_MS);
      return installSnapshot.responseDeserialize(answer);
    } catch {
      return { response: undefined };
    }
  }

  // ---- from a leader

  /** Answers one chunk; answers the last one when the snapshot is in place, durably (D7). */
  async receive(request: Request, replica: Replica, view: () => ReplicaView): Promise<Response> {
    const turn = this.#turn.then(() => this.#receive(request, replica, view));
    this.#turn = turn.catch(() => undefined);
    return await turn;
  }

  async #receive(request: Request, replica: Replica, view: () => ReplicaView): Promise<Response> {
    const { msgId } = request;
    const wanted = receiveSnapshotChunk(request, view());
    if (wanted.kind === 'decided') {
      if (wanted.secondLeader !== undefined) this.#options.refusedLeader(wanted.secondLeader);
      return wanted.response;
    }
    replica.step(wanted.contact);
    // This also answers the last chunk again, when its answer was lost.
    if (wanted.isCommitted) return answerInstalled(msgId, view().term);
    try {
      const piece = this.#assembly.accept(request);
      if (piece.isFirst) await this.#begin({ index: wanted.lastIndex, term: wanted.lastTerm });
      const incoming = this.#incoming;
      if (incoming === undefined) {
        this.#assembly.reset();
        throw wolfErrors.snapshotFailed('the transfer was given up: begin at offset 0');
      }
      incoming.lastMs = this.#options.clock.monotonicMs();
      if (piece.isRepeat) return answerInstalled(msgId, view().term);
      await Promise.race([incoming.pipe.push(piece.data), incoming.loaded]);
      if (piece.document === undefined) return answerInstalled(msgId, view().term);
      await this.#install(incoming, wanted, replica, view);
      return answerInstalled(msgId, Math.max(view().term, wanted.term));
    } catch (error) {
      await this.#giveUp();
      if (!(error instanceof WolfError)) {
        this.#options.log(nodeEvents.snapshotReceiveFailed, {
          group: WOLF_SHARD,
          reason: String(error),
        });
        return answerFailure(msgId, wolfErrors.snapshotFailed('the snapshot did not arrive whole'));
      }
      return answerFailure(msgId, error);
    }
  }

  async #begin(place: { readonly index: number; readonly term: number }): Promise<void> {
    await this.#abandon();
    const { stores, clock } = this.#options;
    const pipe = new Pipe();
    const stream = tableSnapshotOf(pipe, { group: WOLF_SHARD, ...place });
    const loaded = loadSnapshot(stores, incomingStoreName(WOLF_SHARD), stream);
    // The next chunk reports a failure.
    loaded.catch(() => undefined);
    this.#incoming = { pipe, loaded, lastMs: clock.monotonicMs() };
  }

  async #install(
    { pipe, loaded }: Incoming,
    { from, term, lastIndex, lastTerm }: Extract<ReturnType<typeof receiveSnapshotChunk>, { kind: 'chunk' }>,
    replica: Replica,
    view: () => ReplicaView,
  ): Promise<void> {
    const { stores, log, received } = this.#options;
    const storeName = incomingStoreName(WOLF_SHARD);
    // No further chunk is awaited.
    this.#incoming = undefined;
    pipe.end();
    const { index, term: ofIndex, group } = await loaded;
    try {
      if (group !== WOLF_SHARD || index !== lastIndex || ofIndex !== lastTerm)
        throw wolfErrors.snapshotFailed(
          `the state is at index ${index} and term ${ofIndex}, not where the chunks say`,
        );
      // The replica may have begun anew since the chunk came, and know another leader.
      checkLeader(from, term, view(), wolfErrors.snapshotFailed);
    } catch (error) {
      await stores.remove(storeName);
      throw error;
    }
    const metadata = { index, term: ofIndex, membership: replica.membership };
    const isWanted = await received(replica, { metadata, storeName, from, term });
    if (!isWanted) await stores.remove(storeName);
    if (replica.raft.commitIndex < index) {
      throw wolfErrors.snapshotFailed('the snapshot could not be installed now: send it again');
    }
    log(isWanted ? nodeEvents.snapshotReceived : nodeEvents.snapshotUnneeded, {
      group: WOLF_SHARD,
      peer: toWolfId(from),
      index,
    });
  }

  /** Called at every tick: gives up a transfer to which nothing is added any more. */
  tick(): void {
    const nowMs = this.#options.clock.monotonicMs();
    const incoming = this.#incoming;
    if (incoming === undefined || nowMs - incoming.lastMs < SILENCE_MS) return;
    this.#turn = this.#turn.then(() => (this.#incoming === incoming ? this.#giveUp() : undefined));
  }

  async #giveUp(): Promise<void> {
    this.#assembly.reset();
    await this.#abandon();
  }

  /** Gives up the snapshot that is arriving. Resolves when nothing of it is left. */
  async #abandon(): Promise<void> {
    const incoming = this.#incoming;
    this.#incoming = undefined;
    if (incoming === undefined) return;
    incoming.pipe.fail(new Error('the transfer was given up'));
    await incoming.loaded.catch(() => undefined);
  }
}
