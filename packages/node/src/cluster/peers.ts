import type { NodeId } from '@coxswain/raft';
import type { Log } from '@coxswain/runtime';
import type { PeerTransport } from '../api/environment.js';
import { nodeEvents } from '../events.js';
import {
  FRAME_BYTES_SOFT_MAX,
  type FrameHeader,
  FrameReader,
  FrameWriter,
  NO_CLUSTER,
  type PeerMessage,
} from './frame.js';
import type { Identity } from './identity.js';

interface Peer {
  readonly writer: FrameWriter;
  isConnected: boolean;
  /** Whether anything was sent to the peer since the last `keepAlive`. */
  wasSpokenTo: boolean;
  lastHeardMs: number;
  metaApplied: number;
}

/** The parts of a node that Peers uses. */
export interface PeersOptions {
  readonly identity: Identity;
  readonly transport: PeerTransport;
  readonly ids: Iterable<NodeId>;
  readonly log: Log;
  /** Gives this node's applied index in the meta group. */
  readonly metaApplied: () => number;
  /** Gives the position up to which this node's log is durable. */
  readonly position: () => number;
  /** Whether this start of the node takes part (T4). */
  readonly isAdmitted: () => boolean;
  /** Gives this node's wall time in milliseconds since 1970, whether it is believed or not (A7). */
  readonly wallMs: () => number;
  /** Notes a frame's header. Returns whether the frame comes from the start of its sender that this node keeps (T4). */
  readonly observe: (header: FrameHeader) => boolean;
  readonly nowMs: () => number;
}

/**
 * Knows the other members: collects the frames that go to them at the end of a turn, and keeps what this node knows of
 * each.
 */
export class Peers {
  readonly #options: PeersOptions;
  readonly #peers = new Map<NodeId, Peer>();
  /** The refusals that were logged: one per sender and reason, since they repeat with every frame. */
  readonly #refused = new Set<string>();
  bytesSent = 0;
  bytesReceived = 0;

  constructor(options: PeersOptions) {
    this.#options = options;
    for (const id of options.ids) {
      this.#peers.set(id, {
        writer: new FrameWriter(id),
        isConnected: false,
        wasSpokenTo: false,
        lastHeardMs: 0,
        metaApplied: 0,
      });
    }
  }

  get ids(): Iterable<NodeId> {
    return this.#peers.keys();
  }

  isConnected(id: NodeId): boolean {
    return this.#peers.get(id)?.isConnected ?? false;
  }

  setConnected(id: NodeId, isConnected: boolean): void {
    const peer = this.#peer(id);
    peer.isConnected = isConnected;
    peer.lastHeardMs = this.#options.nowMs();
  }

  /**
   * Gives the time since anything came from `id`, in milliseconds. It serves to wake quiet groups, and never stands in
   * for a group's own quorum (P2).
   */
  silenceMs(id: NodeId): number {
    return this.#options.nowMs() - this.#peer(id).lastHeardMs;
  }

  /** The lowest applied index of the meta group among all members, as far as this node knows (T2). */
  get lowestMetaApplied(): number {
    let lowest = this.#options.metaApplied();
    for (const peer of this.#peers.values()) lowest = Math.min(lowest, peer.metaApplied);
    return lowest;
  }

  /** Gives the index up to which `id` is known to have applied the meta group. */
  metaAppliedOf(id: NodeId): number {
    return this.#peer(id).metaApplied;
  }

  /** Gives the frame that goes to `id` at the end of the turn. */
  frameTo(id: NodeId): FrameWriter {
    const peer = this.#peer(id);
    if (peer.writer.lengthBytes > FRAME_BYTES_SOFT_MAX) this.#send(id, peer);
    return peer.writer;
  }

  /** Ends a turn: sends one frame to each peer for which there are messages. */
  flush(): void {
    for (const [id, peer] of this.#peers) if (!peer.writer.isEmpty) this.#send(id, peer);
  }

  /** Called at a steady interval: sends a sign of life to the peers to which nothing was sent since the last call. */
  keepAlive(): void {
    for (const [id, peer] of this.#peers) {
      if (!peer.wasSpokenTo && peer.isConnected) this.#send(id, peer);
      peer.wasSpokenTo = false;
    }
  }

  /** Makes the header of a frame that leaves now. */
  header(): FrameHeader {
    const { identity, metaApplied, position, wallMs, isAdmitted } = this.#options;
    return {
      clusterId: identity.clusterId ?? NO_CLUSTER,
      from: identity.nodeId,
      incarnation: identity.incarnation,
      boot: identity.boot,
      metaApplied: metaApplied(),
      position: position(),
      timeMs: Math.max(0, Math.floor(wallMs())),
      isAdmitted: isAdmitted(),
    };
  }

  /**
   * Checks who sent a frame (T4). Returns undefined for a frame that is refused. `isMember` is false when the sender or
   * this node belongs to no cluster yet: then only greetings count. `isKnown` is false for a start of a member that
   * this node does not keep yet: then only its introduction counts.
   */
  receive(frame: Buffer): { reader: FrameReader; isMember: boolean; isKnown: boolean } | undefined {
    const { identity, nowMs } = this.#options;
    let reader: FrameReader;
    try {
      reader = new FrameReader(frame, identity.nodeId);
    } catch (error) {
      this.#refuse('unreadable', { reason: String(error) });
      return undefined;
    }
    this.bytesReceived += frame.length;
    const { header } = reader;
    const peer = this.#peers.get(header.from);
    if (peer === undefined) {
      this.#refuse(`${header.from}`, { peer: header.from, reason: 'not a member' });
      return undefined;
    }
    if (header.clusterId === NO_CLUSTER || identity.clusterId === undefined)
      return { reader, isMember: false, isKnown: false };
    const check = this.checkMember(header);
    if (check !== undefined) {
      this.#refuse(`${header.from} ${check}`, { peer: header.from, reason: check });
      return undefined;
    }
    const isKnown = this.#options.observe(header);
    if (isKnown) {
      peer.lastHeardMs = nowMs();
      peer.metaApplied = header.metaApplied;
    }
    return { reader, isMember: true, isKnown };
  }

  /** Says why a peer that claims to be a member is not believed (T4); undefined when it is. */
  checkMember(sender: { clusterId: string; from: NodeId; incarnation: string }): string | undefined {
    const { identity } = this.#options;
    if (sender.clusterId !== identity.clusterId) return `it belongs to cluster ${sender.clusterId}`;
    if (sender.incarnation !== identity.incarnationOf(sender.from)) {
      return 'its data directory is not the one that joined the cluster';
    }
    return undefined;
  }

  /**
   * Reads the next message of a frame. Returns undefined for bytes that are none; then nothing of the rest is believed.
   */
  next(reader: FrameReader): PeerMessage | undefined {
    try {
      return reader.next();
    } catch (error) {
      this.#refuse('unreadable', { peer: reader.header.from, reason: String(error) });
      return undefined;
    }
  }

  #refuse(key: string, fields: { readonly peer?: NodeId; readonly reason: string }): void {
    if (this.#refused.has(key) || this.#refused.size >= 1000) return;
    this.#refused.add(key);
    this.#options.log(nodeEvents.peerMessageRefused, fields);
  }

  #send(id: NodeId, peer: Peer): void {
    const frame = peer.writer.take(this.header());
    peer.wasSpokenTo = true;
    // A frame that finds no connection is lost, as Raft allows; what must arrive is repeated.
    if (this.#options.transport.send(id, frame)) this.bytesSent += frame.length;
  }

  #peer(id: NodeId): Peer {
    const peer = this.#peers.get(id);
    if (peer === undefined) throw new Error(`node ${id} is not a member`);
    return peer;
  }
}
