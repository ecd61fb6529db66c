import type { NodeId } from '@coxswain/raft';
import type { Clock, Log, Random, Tracer } from '@coxswain/runtime';
import type { StoreDirectory } from '@coxswain/table';
import type { WalDisk } from '@coxswain/wal';
import type { DiskRoom } from '../disk/disk-room.js';

/** Small files of a few kilobytes, such as node.json, each of which is replaced as a whole. */
export interface SmallFiles {
  /**
   * Reads a file; resolves to undefined when there is none. The content that it gives is durable, even when a kill
   * cut a replacement short.
   */
  read(name: string): Promise<Buffer | undefined>;
  /**
   * Replaces a file: writes the content aside, syncs it, renames it, and syncs the directory. The content is durable
   * when this resolves.
   */
  replace(name: string, content: Buffer): Promise<void>;
  /**
   * Gives the number of descriptors that this process has in use, and its soft limit, which is infinite where the
   * system does not say.
   */
  descriptors(): Promise<{ readonly inUse: number; readonly max: number }>;
}

/** The disks that hold a node's data. */
export interface Disks {
  /** Gives the room that is left on each disk; parts of the data that share a disk appear once. */
  room(): Promise<readonly DiskRoom[]>;
  /** Frees the room that `holdReserve` took, so that the data can be opened on a full disk (D6). */
  releaseReserve(): Promise<void>;
  /**
   * Takes some room on the disks, which nobody else can then use, for the next start; leaves at least `leftBytes`
   * free, and takes less where there is less.
   */
  holdReserve(leftBytes: number): Promise<void>;
}

/** The sending end of one stream of bulk data to a peer: ordered, with back-pressure. */
export interface BulkSink {
  /**
   * Sends a chunk. Resolves when the stream can take another one, and rejects when the stream broke. The caller must
   * not change the chunk afterwards.
   */
  write(chunk: Buffer): Promise<void>;
  /** Ends the stream, and resolves with the receiver's verdict. */
  finish(): Promise<{ accepted: boolean; reason: string }>;
  /** Breaks the stream off; the receiver discards what it has. */
  abort(): void;
}
/** The receiving end of one stream of bulk data from a peer: yields the chunks that follow the header. */
export interface BulkSource extends AsyncIterable<Buffer> {
  /** The first message of the stream: says who sends what. */
  readonly header: Buffer;
}

/** Receives what peers send, and hears of the connections to them. */
export interface PeerHandler {
  /** Receives one frame. The frames of a connection arrive whole, in order, and at most once. */
  onFrame(frame: Buffer): void;
  /** Called when the outgoing connection to `peer` is up. */
  onConnected(peer: NodeId): void;
  /** Called when the outgoing connection to `peer` was lost. */
  onDisconnected(peer: NodeId): void;
  /** Reads a stream, and resolves with the verdict that the sender gets from `finish`. */
  onBulk(source: BulkSource): Promise<{ accepted: boolean; reason: string }>;
}

/** Carries frames and bulk streams between nodes without looking into them. */
export interface PeerTransport {
  /**
   * Listens, and from then on keeps a connection to each peer, by id and `host:port`; redials a lost one with
   * backoff.
   */
  start(peers: ReadonlyMap<NodeId, string>, handler: PeerHandler): Promise<void>;
  /**
   * Sends a frame. Returns false, and drops the frame as Raft allows, when the peer is not connected or its backlog
   * is full. The caller must not change a frame that was taken: it may leave from where it lies in memory.
   */
  send(peer: NodeId, frame: Buffer): boolean;
  /** Opens a stream of bulk data to a peer; `header` is its first message. */
  openBulk(peer: NodeId, header: Buffer): BulkSink;
  /** Stops listening, and breaks off every connection and stream. */
  close(): Promise<void>;
}

/**
 * Carries the calls of wolf.raft to the other members of its group: one request, and one answer or none
 * (docs/operations-protocols.md §1).
 */
export interface WolfLink {
  /**
   * Calls the gRPC method `path` at `address` (`host:port`); request and answer are protobuf. Rejects when no answer
   * has come within `timeoutMs`; the request may have arrived all the same.
   */
  call(address: string, path: string, request: Buffer, timeoutMs: number): Promise<Buffer>;
  close(): void;
}

/** Everything outside of a node that it uses (ARCHITECTURE.md, "Determinism"). The simulator supplies its own. */
export interface Environment {
  readonly clock: Clock;
  readonly random: Random;
  readonly transport: PeerTransport;
  /** The calls to the other members of a wolf.raft group. Required when `NodeOptions.wolf` is set. */
  readonly wolfLink?: WolfLink;
  readonly walDisk: WalDisk;
  readonly stores: StoreDirectory;
  readonly files: SmallFiles;
  readonly disks: Disks;
  /** Records spans; undefined when tracing is off. */
  readonly tracer?: Tracer | undefined;
  /** Takes what happens to the node. */
  readonly log: Log;
  /** Ends the process, loudly: an invariant is broken, or a disk cannot be trusted (D6). */
  readonly fatal: (error: unknown) => void;
}
