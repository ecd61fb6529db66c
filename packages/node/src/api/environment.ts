import type { NodeId } from '@coxswain/raft';
import type { Clock, Log, Random } from '@coxswain/runtime';
import type { StoreDirectory } from '@coxswain/table';
import type { WalDisk } from '@coxswain/wal';
import type { DiskRoom } from '../disk/disk-room.js';

/** A file of a few kilobytes that is replaced as a whole: node.json. */
export interface SmallFiles {
  /** Undefined when there is no such file. What it gives is durable, also where a replacement was cut short by a kill. */
  read(name: string): Promise<Buffer | undefined>;
  /** Written aside, synced, renamed, parent synced: durable when it resolves. */
  replace(name: string, content: Buffer): Promise<void>;
  /** The descriptors that this process has in use, and its soft limit; no limit where the system does not say. */
  descriptors(): Promise<{ readonly inUse: number; readonly max: number }>;
}

/** The disks that hold a node's data. */
export interface Disks {
  /** Gives the room that is left on each of them; several parts of the data on one disk count as one. */
  room(): Promise<readonly DiskRoom[]>;
  /** Frees what `holdReserve` took, to open the data on a disk that is full (D6). */
  releaseReserve(): Promise<void>;
  /** Keeps some room from everybody until a start needs it, but leaves `leftBytes`. Takes less where there is less. */
  holdReserve(leftBytes: number): Promise<void>;
}

/** One stream of bulk data to or from a peer, in order, with back-pressure. */
export interface BulkSink {
  /** Resolves when the stream takes more. Rejects when it broke. The chunk must not be written to any more. */
  write(chunk: Buffer): Promise<void>;
  /** Ends the stream and waits for the receiver's verdict. */
  finish(): Promise<{ accepted: boolean; reason: string }>;
  abort(): void;
}
export interface BulkSource extends AsyncIterable<Buffer> {
  /** The first message: says who sends what. */
  readonly header: Buffer;
}

export interface PeerHandler {
  /** A frame of the small lane. Frames of one connection arrive in order, whole, at most once. */
  onFrame(frame: Buffer): void;
  /** The outgoing connection to `peer` is up, or was lost. */
  onConnected(peer: NodeId): void;
  onDisconnected(peer: NodeId): void;
  /** Resolves with the verdict that the sender's `finish` gets. */
  onBulk(source: BulkSource): Promise<{ accepted: boolean; reason: string }>;
}

/** Carries frames between nodes, whatever they hold. */
export interface PeerTransport {
  /** Listens, and from then on keeps a connection to each peer, redialling with backoff. */
  start(peers: ReadonlyMap<NodeId, string>, handler: PeerHandler): Promise<void>;
  /**
   * False when the peer is not connected or its backlog is full: the frame is dropped, as Raft allows. A frame that was
   * taken must not be written to any more: it may leave from where it is.
   */
  send(peer: NodeId, frame: Buffer): boolean;
  openBulk(peer: NodeId, header: Buffer): BulkSink;
  close(): Promise<void>;
}

/**
 * Carries the calls of wolf.raft to the other members of such a group: one request, and one answer or none
 * (docs/operations-protocols.md §1).
 */
export interface WolfLink {
  /**
   * Calls the method of that gRPC path at `host:port`, both messages as protobuf. Rejects when no answer has come within
   * `timeoutMs`; whether the request arrived is not known then.
   */
  call(address: string, path: string, request: Buffer, timeoutMs: number): Promise<Buffer>;
  close(): void;
}

/** All that a node touches of the world (ARCHITECTURE.md, "Determinism"). The simulator brings another one. */
export interface Environment {
  readonly clock: Clock;
  readonly random: Random;
  readonly transport: PeerTransport;
  /** Used where `NodeOptions.wolf` is set. */
  readonly wolfLink?: WolfLink;
  readonly walDisk: WalDisk;
  readonly stores: StoreDirectory;
  readonly files: SmallFiles;
  readonly disks: Disks;
  /** Takes what happens to the node. */
  readonly log: Log;
  /** A broken invariant, or a disk that cannot be trusted (D6): the process must end, loudly. */
  readonly fatal: (error: unknown) => void;
}
