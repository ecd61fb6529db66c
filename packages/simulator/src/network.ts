import { crc32 } from 'node:zlib';
import type { BulkSink, PeerHandler, PeerTransport } from '@coxswain/node';
import type { NodeId } from '@coxswain/raft';
import { BulkStream } from './bulk-stream.js';
import { EventKind, type EventLoop } from './event-loop.js';
import type { SimulatedProcess } from './process.js';
import type { SeededRandom } from './random.js';
import { WolfNetwork } from './wolf-network.js';

export interface NetworkOptions {
  readonly delayMinUs: number;
  /** The mean of the time that is added to the least delay. */
  readonly delayMeanUs: number;
  /** The mean time until the end of a broken connection is noticed. */
  readonly detectMeanUs: number;
  readonly redialMeanUs: number;
  /** The time without an answer after which a connection is dialled again. */
  readonly silenceUs: number;
  /** The probability that the connections of a link break when it is blocked, instead of only stalling. */
  readonly breakWhenBlockedProbability: number;
  /** The bytes that were not delivered yet with which a connection accepts no more. */
  readonly backlogBytesMax: number;
  /**
   * Probabilities per frame. TCP has none of these faults, but Raft must bear all of them, and a redialled connection
   * overtakes frames of the old one.
   */
  readonly dropProbability: number;
  readonly duplicateProbability: number;
  readonly reorderProbability: number;
  /** Per chunk of a bulk stream: the probability that the stream breaks there. */
  readonly bulkBreakProbability: number;
}

/** A bulk stream is given up after this many times `silenceUs`, since nothing replaces it. */
const SILENCES_OF_BULK = 10;

/** One direction between two machines. */
class Link {
  isBlocked = false;
  /** The time before which nothing is delivered. */
  cloggedUntilUs = 0;
}

/** One node on the network, from `start` until its process dies. */
class Endpoint {
  readonly outgoing = new Map<NodeId, Connection>();
  isClosed = false;
  constructor(
    readonly node: NodeId,
    readonly process: SimulatedProcess,
    readonly handler: PeerHandler,
  ) {}
}

interface Flight {
  readonly frame: Buffer;
  readonly dueUs: number;
}

/** A stream of frames from one process to another, in order as long as it holds. */
class Connection {
  readonly flights: Flight[] = [];
  backlogBytes = 0;
  isBroken = false;
  /** True when frames sent on the connection are silently lost. */
  isFrozen = false;
  /** True when the side that dialled hears nothing on the connection any more. */
  isSilent = false;
  isPumping = false;
  lastDueUs = 0;
  constructor(
    readonly from: Endpoint,
    readonly to: Endpoint,
    readonly link: Link,
  ) {}
}

/**
 * The network between the machines. A connection behaves like TCP: frames come in order, whole, at most once, until it
 * breaks; then the frames in flight are lost from some frame on. A blocked link holds frames back (TCP would send them
 * again) until it is unblocked or the connection breaks.
 */
export class SimulatedNetwork {
  readonly #endpoints = new Map<NodeId, Endpoint>();
  readonly #links = new Map<number, Link>();
  readonly #connections = new Set<Connection>();
  readonly #bulkStreams = new Set<BulkStream>();
  /** The number of frames delivered so far. */
  framesDelivered = 0;

  /** The calls of wolf.raft between the same machines. */
  readonly wolf: WolfNetwork;

  readonly #loop: EventLoop;
  readonly #random: SeededRandom;
  #currentOptions: NetworkOptions;

  constructor(loop: EventLoop, random: SeededRandom, currentOptions: NetworkOptions) {
    this.#loop = loop;
    this.#random = random;
    this.#currentOptions = currentOptions;
    this.wolf = new WolfNetwork(loop, () => random.fork('wolf'), this);
  }

  get options(): NetworkOptions {
    return this.#currentOptions;
  }

  /** Ends the faults of frames: from now on those of a connection arrive in order, and once. */
  becomeReliable(): void {
    this.#currentOptions = {
      ...this.options,
      dropProbability: 0,
      duplicateProbability: 0,
      reorderProbability: 0,
      bulkBreakProbability: 0,
    };
  }

  /** Returns the transport of one life of `node`. */
  transport(node: NodeId, process: SimulatedProcess): PeerTransport {
    let endpoint: Endpoint | undefined;
    return {
      start: async (peers, handler) => {
        const started = new Endpoint(node, process, handler);
        endpoint = started;
        this.#endpoints.set(node, started);
        process.onDeath(() => this.#leave(started));
        for (const peer of [...peers.keys()].sort((a, b) => a - b)) {
          if (peer !== node) this.#dial(started, peer, 0);
        }
      },
      send: (peer, frame) => {
        const connection = endpoint?.outgoing.get(peer);
        return connection !== undefined && this.#send(connection, frame);
      },
      openBulk: (peer, header) => {
        if (endpoint === undefined) throw new Error('openBulk before start');
        return this.#openBulk(endpoint, peer, header);
      },
      close: async () => {
        if (endpoint !== undefined) this.#leave(endpoint);
      },
    };
  }

  /** Blocks the way from one machine to the other; the way back is not affected. */
  block(from: NodeId, to: NodeId): void {
    const link = this.#link(from, to);
    if (link.isBlocked) return;
    link.isBlocked = true;
    for (const connection of this.#connections) {
      // The acknowledgements of the opposite direction travel on this link, so that one may break as well.
      if (connection.link !== link && connection.link !== this.#link(to, from)) continue;
      if (!this.#random.chance(this.options.breakWhenBlockedProbability)) continue;
      this.#loop.schedule(this.#detectUs(), EventKind.Network, undefined, () => {
        if (link.isBlocked) this.#break(connection);
      });
    }
    for (const stream of this.#bulkStreams) {
      if ((stream.from !== from || stream.to !== to) && (stream.from !== to || stream.to !== from)) continue;
      this.#loop.schedule(this.#detectUs(), EventKind.Network, undefined, () => {
        if (link.isBlocked) stream.fail('connection lost');
      });
    }
  }

  unblock(from: NodeId, to: NodeId): void {
    const link = this.#link(from, to);
    link.isBlocked = false;
    this.#pumpAll(link);
  }

  /** Holds everything on the link for a while, then delivers it at once. */
  clog(from: NodeId, to: NodeId, durationUs: number): void {
    const link = this.#link(from, to);
    // Rounded up to whole microseconds, the unit of events: a fraction would never be reached, and time would stand
    // still.
    link.cloggedUntilUs = Math.max(link.cloggedUntilUs, this.#loop.nowUs + Math.ceil(durationUs));
  }

  /** Makes every link work again. */
  heal(): void {
    for (const link of this.#links.values()) {
      link.isBlocked = false;
      link.cloggedUntilUs = 0;
      this.#pumpAll(link);
    }
  }

  /**
   * Silently loses everything that one machine sends to the other on their existing connections, for good; new
   * connections work. A middlebox that forgets flows does the same. Both directions of a connection are one flow: the
   * side that dialled misses either the acknowledgements of its own frames or the frames of those.
   */
  freeze(from: NodeId, to: NodeId): void {
    const [link, back] = [this.#link(from, to), this.#link(to, from)];
    for (const connection of this.#connections) {
      if (connection.link !== link && connection.link !== back) continue;
      connection.isFrozen ||= connection.link === link;
      if (connection.isSilent) continue;
      connection.isSilent = true;
      this.#loop.schedule(this.options.silenceUs, EventKind.Network, connection.from.process, () =>
        this.replaceSilent(connection),
      );
    }
    for (const stream of this.#bulkStreams) {
      if ((stream.from !== from || stream.to !== to) && (stream.from !== to || stream.to !== from)) continue;
      stream.freeze();
      const givenUpUs = this.options.silenceUs * SILENCES_OF_BULK;
      this.#loop.schedule(givenUpUs, EventKind.Network, undefined, () => stream.fail('the peer is silent'));
    }
  }

  /** Replaces a silent connection, as the real transport does: it stays in use until a new one is up. */
  replaceSilent(connection: Connection): void {
    const { from, to } = connection;
    if (connection.isBroken || from.isClosed) return;
    const peer = this.#endpoints.get(to.node);
    const isCut = connection.link.isBlocked || this.#link(to.node, from.node).isBlocked;
    if (peer === undefined || isCut) {
      const pauseUs = this.#random.exponential(this.options.redialMeanUs);
      this.#loop.schedule(pauseUs, EventKind.Network, from.process, () => this.replaceSilent(connection));
      return;
    }
    connection.isBroken = true;
    this.#connections.delete(connection);
    from.handler.onDisconnected(to.node);
    this.#connect(from, peer);
  }

  #connect(from: Endpoint, to: Endpoint): void {
    const connection = new Connection(from, to, this.#link(from.node, to.node));
    this.#connections.add(connection);
    from.outgoing.set(to.node, connection);
    from.handler.onConnected(to.node);
  }

  /** Breaks every connection between two machines, as a middlebox does that forgets them. */
  reset(a: NodeId, b: NodeId): void {
    for (const connection of this.#connections) {
      const { from, to } = connection;
      if ((from.node === a && to.node === b) || (from.node === b && to.node === a)) this.#break(connection);
    }
    for (const stream of this.#bulkStreams) {
      if ((stream.from === a && stream.to === b) || (stream.from === b && stream.to === a)) {
        stream.fail('connection reset');
      }
    }
  }

  #dial(from: Endpoint, peer: NodeId, delayUs: number): void {
    this.#loop.schedule(delayUs + this.#delayUs(), EventKind.Network, from.process, () => {
      if (from.isClosed) return;
      const to = this.#endpoints.get(peer);
      if (
        to === undefined ||
        this.#link(from.node, peer).isBlocked ||
        this.#link(peer, from.node).isBlocked
      ) {
        this.#dial(from, peer, this.#random.exponential(this.options.redialMeanUs));
        return;
      }
      this.#connect(from, to);
    });
  }

  #send(connection: Connection, frame: Buffer): boolean {
    const { options } = this;
    const random = this.#random;
    if (connection.backlogBytes >= options.backlogBytesMax) return false;
    const copy = Buffer.from(frame);
    if (random.chance(options.dropProbability)) return true;
    if (random.chance(options.duplicateProbability)) this.#sendAlone(connection, copy);
    if (random.chance(options.reorderProbability)) {
      this.#sendAlone(connection, copy);
      return true;
    }
    connection.lastDueUs = Math.max(connection.lastDueUs, this.#loop.nowUs + this.#delayUs());
    connection.flights.push({ frame: copy, dueUs: connection.lastDueUs });
    connection.backlogBytes += copy.length;
    this.#pump(connection);
    return true;
  }

  /** Sends a frame outside the order of its connection. */
  #sendAlone(connection: Connection, frame: Buffer): void {
    const delayUs = this.#delayUs() + this.#random.exponential(this.options.delayMeanUs * 10);
    this.#loop.schedule(delayUs, EventKind.Network, connection.to.process, () => {
      if (!connection.link.isBlocked && !connection.isFrozen) this.#deliver(connection.to, frame);
    });
  }

  /** Keeps one event under way for the first frame of the connection. */
  #pump(connection: Connection): void {
    const first = connection.flights[0];
    const { link } = connection;
    if (first === undefined || connection.isPumping || connection.isBroken || connection.isFrozen) return;
    if (link.isBlocked) return;
    connection.isPumping = true;
    const delayUs = Math.max(first.dueUs, link.cloggedUntilUs) - this.#loop.nowUs;
    this.#loop.schedule(delayUs, EventKind.Network, connection.to.process, () => {
      connection.isPumping = false;
      if (connection.isBroken || connection.isFrozen) return;
      if (!link.isBlocked && link.cloggedUntilUs <= this.#loop.nowUs) {
        connection.flights.shift();
        connection.backlogBytes -= first.frame.length;
        this.#deliver(connection.to, first.frame);
      }
      this.#pump(connection);
    });
  }

  #pumpAll(link: Link): void {
    for (const connection of this.#connections) if (connection.link === link) this.#pump(connection);
  }

  #deliver(to: Endpoint, frame: Buffer): void {
    if (to.isClosed) return;
    this.#loop.trace.number(crc32(frame));
    this.framesDelivered += 1;
    to.handler.onFrame(frame);
  }

  #openBulk(from: Endpoint, peer: NodeId, header: Buffer): BulkSink {
    const to = this.#endpoints.get(peer);
    const stream: BulkStream = new BulkStream(this.#loop, from.node, peer, from.process, to?.process, {
      delayUs: () => this.#bulkDelayUs(from.node, peer),
      breaksNow: () =>
        to === undefined ||
        this.#link(from.node, peer).isBlocked ||
        this.#random.chance(this.options.bulkBreakProbability),
      onEnd: () => this.#bulkStreams.delete(stream),
    });
    this.#bulkStreams.add(stream);
    stream.open(Buffer.from(header), (source) =>
      to === undefined || to.isClosed
        ? Promise.reject(new Error('connection refused'))
        : to.handler.onBulk(source),
    );
    return stream;
  }

  #bulkDelayUs(from: NodeId, to: NodeId): number {
    return this.#delayUs() + Math.max(0, this.#link(from, to).cloggedUntilUs - this.#loop.nowUs);
  }

  #break(connection: Connection): void {
    if (connection.isBroken) return;
    connection.isBroken = true;
    this.#connections.delete(connection);
    const { from, to } = connection;
    this.#loop.schedule(this.#detectUs(), EventKind.Network, from.process, () => {
      if (from.isClosed) return;
      from.outgoing.delete(to.node);
      from.handler.onDisconnected(to.node);
      this.#dial(from, to.node, this.#random.exponential(this.options.redialMeanUs));
    });
  }

  /** Removes an endpoint whose process is gone, or has stopped listening. */
  #leave(endpoint: Endpoint): void {
    endpoint.isClosed = true;
    if (this.#endpoints.get(endpoint.node) === endpoint) this.#endpoints.delete(endpoint.node);
    for (const connection of this.#connections) {
      if (connection.to === endpoint) this.#break(connection);
      // Frames of a dead process may still arrive, even after its next life has connected.
      else if (connection.from === endpoint && this.#random.chance(0.5)) this.#break(connection);
    }
    for (const stream of this.#bulkStreams) {
      if (stream.from === endpoint.node || stream.to === endpoint.node) stream.fail('connection reset');
    }
  }

  #link(from: NodeId, to: NodeId): Link {
    const key = from * 1024 + to;
    let link = this.#links.get(key);
    if (link === undefined) {
      link = new Link();
      this.#links.set(key, link);
    }
    return link;
  }

  /** Draws the delay of one frame, without the delays of links. */
  delayUs(): number {
    return this.#delayUs();
  }

  /** Returns the state of the way from one machine to another. */
  wayOf(from: NodeId, to: NodeId): { readonly isBlocked: boolean; readonly cloggedUntilUs: number } {
    return this.#link(from, to);
  }

  #delayUs(): number {
    return this.options.delayMinUs + this.#random.exponential(this.options.delayMeanUs);
  }

  #detectUs(): number {
    return this.#random.exponential(this.options.detectMeanUs);
  }
}
