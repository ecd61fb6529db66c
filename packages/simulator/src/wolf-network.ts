import { crc32 } from 'node:zlib';
import type { Wolf, WolfLink } from '@coxswain/node';
import { wolfRaft } from '@coxswain/protocol';
import type { NodeId } from '@coxswain/raft';
import { EventKind, type EventLoop } from './event-loop.js';
import type { SimulatedProcess } from './process.js';
import type { SeededRandom } from './random.js';

/** Answers the calls of wolf.raft to one life of a node. */
interface Server {
  readonly process: SimulatedProcess;
  readonly wolf: Wolf;
}

/** The network that carries the calls. */
interface Ways {
  readonly options: {
    readonly delayMeanUs: number;
    readonly dropProbability: number;
    readonly duplicateProbability: number;
    readonly reorderProbability: number;
  };
  /** Draws one delay, without the delays of links. */
  delayUs(): number;
  wayOf(from: NodeId, to: NodeId): { readonly isBlocked: boolean; readonly cloggedUntilUs: number };
}

/** An answer that left a node. */
export type WolfAnswer = wolfRaft.RaftAppendEntriesRes;

type Method = (wolf: Wolf, request: Buffer) => Promise<Buffer>;

const { RaftService: service } = wolfRaft;
const methods = new Map<string, Method>([
  [
    service.vote.path,
    async (wolf, request) =>
      service.vote.responseSerialize(await wolf.vote(service.vote.requestDeserialize(request))),
  ],
  [
    service.appendEntries.path,
    async (wolf, request) =>
      service.appendEntries.responseSerialize(
        await wolf.appendEntries(service.appendEntries.requestDeserialize(request)),
      ),
  ],
  [
    service.installSnapshot.path,
    async (wolf, request) =>
      service.installSnapshot.responseSerialize(
        await wolf.installSnapshot(service.installSnapshot.requestDeserialize(request)),
      ),
  ],
  [
    service.getMetrics.path,
    async (wolf, request) =>
      service.getMetrics.responseSerialize(
        await wolf.getMetrics(service.getMetrics.requestDeserialize(request)),
      ),
  ],
]);

/** The time until a connection is refused, and the time between two attempts on a blocked way, in microseconds. */
const REFUSAL_US = 500;
const RETRY_US = 20_000;

/**
 * Carries the calls of wolf.raft between machines, over the links of their network. Each direction takes its delay,
 * waits while its link is blocked or clogged (the caller gives up meanwhile, and its request may still arrive), and may
 * lose, repeat or delay its content, as the network does with frames.
 */
export class WolfNetwork {
  readonly #servers = new Map<NodeId, Server>();
  #random: SeededRandom | undefined;
  /** Called with each answer to AppendEntries when it leaves a node. */
  onAnswer: (node: NodeId, answer: WolfAnswer) => void = () => undefined;
  /** Called with each vote when it leaves a node, including that of a candidate for itself. */
  onVote: (node: NodeId, term: bigint, candidate: NodeId) => void = () => undefined;

  readonly #loop: EventLoop;
  /**
   * Makes the random generator. Called once, and only when there is a call to carry, so that other runs draw the same
   * numbers as without this network.
   */
  readonly #fork: () => SeededRandom;
  readonly #network: Ways;

  constructor(loop: EventLoop, fork: () => SeededRandom, network: Ways) {
    this.#loop = loop;
    this.#fork = fork;
    this.#network = network;
  }

  /** Returns the address of a node's wolf.raft listener. */
  static address(node: NodeId): string {
    return `node-${node}:5300`;
  }

  /** Lets calls to `node` be answered until the process dies. */
  serve(node: NodeId, process: SimulatedProcess, wolf: Wolf): void {
    const server = { process, wolf };
    this.#servers.set(node, server);
    process.onDeath(() => {
      if (this.#servers.get(node) === server) this.#servers.delete(node);
    });
  }

  /** Returns the link through which one life of `node` calls the others. */
  link(node: NodeId, process: SimulatedProcess): WolfLink {
    let isClosed = false;
    return {
      call: (address, path, request, timeoutMs) => {
        if (isClosed) return Promise.reject(new Error('closed'));
        return this.#call(node, process, Number(/^node-(\d+):/.exec(address)![1]), path, request, timeoutMs);
      },
      close: () => {
        isClosed = true;
      },
    };
  }

  #call(
    from: NodeId,
    caller: SimulatedProcess,
    to: NodeId,
    path: string,
    request: Buffer,
    timeoutMs: number,
  ): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      this.#loop.schedule(timeoutMs * 1_000, EventKind.Network, caller, () => reject(new Error('no answer')));
      const bytes = Buffer.from(request);
      this.#carry(from, to, () => {
        const server = this.#servers.get(to);
        if (server === undefined) {
          this.#loop.schedule(REFUSAL_US, EventKind.Network, caller, () => reject(new Error('refused')));
          return;
        }
        // The node runs under its own process.
        this.#loop.schedule(0, EventKind.Network, server.process, () => {
          this.#loop.trace.number(crc32(bytes));
          this.#answer(caller, to, server.wolf, path, bytes).then((answer) => {
            this.#carry(to, from, () => {
              this.#loop.schedule(0, EventKind.Network, caller, () => {
                this.#loop.trace.number(crc32(answer));
                resolve(answer);
              });
            });
          }, reject);
        });
      });
    });
  }

  async #answer(
    caller: SimulatedProcess,
    node: NodeId,
    wolf: Wolf,
    path: string,
    request: Buffer,
  ): Promise<Buffer> {
    const answer = await methods.get(path)!(wolf, request);
    if (path === service.vote.path) {
      const { term, candidateId } = service.vote.requestDeserialize(request);
      const { response } = service.vote.responseDeserialize(answer);
      const candidate = Number(candidateId) + 1;
      this.#loop.schedule(0, EventKind.Network, undefined, () => {
        // A request that outlives its candidate elects nobody.
        if (caller.isAlive) this.onVote(candidate, term, candidate);
        if (response?.$case === 'okRes' && response.value.voteGranted) this.onVote(node, term, candidate);
      });
    }
    if (path === service.appendEntries.path) {
      const left = service.appendEntries.responseDeserialize(answer);
      // Runs in an event of its own, so that an error that it throws ends the run.
      this.#loop.schedule(0, EventKind.Network, undefined, () => this.onAnswer(node, left));
    }
    return answer;
  }

  /** Carries a message in one direction, with the faults of the network. */
  #carry(from: NodeId, to: NodeId, arrive: () => void): void {
    const network = this.#network;
    const { options } = network;
    this.#random ??= this.#fork();
    const random = this.#random;
    if (random.chance(options.dropProbability)) return;
    let delayUs = network.delayUs();
    if (random.chance(options.duplicateProbability)) {
      this.#deliver(from, to, delayUs + random.exponential(options.delayMeanUs * 10), arrive);
    }
    if (random.chance(options.reorderProbability)) delayUs += random.exponential(options.delayMeanUs * 10);
    this.#deliver(from, to, delayUs, arrive);
  }

  #deliver(from: NodeId, to: NodeId, delayUs: number, arrive: () => void): void {
    this.#loop.schedule(delayUs, EventKind.Network, undefined, () => {
      const { isBlocked, cloggedUntilUs } = this.#network.wayOf(from, to);
      const waitUs = isBlocked ? RETRY_US : cloggedUntilUs - this.#loop.nowUs;
      if (waitUs > 0) this.#deliver(from, to, waitUs, arrive);
      else arrive();
    });
  }
}
