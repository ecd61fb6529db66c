import { ApiError, type NodeParts } from '@coxswain/node';
import { mvcc, regatta, replication } from '@coxswain/protocol';
import type { NodeId } from '@coxswain/raft';
import { type LeaderLink, type LeaderReplication, type LinkCall, LinkError } from '@coxswain/replication';
import type { Clock } from '@coxswain/runtime';
import { EventKind, type EventLoop } from './event-loop.js';
import type { SimulatedProcess } from './process.js';
import type { SeededRandom } from './random.js';

export interface WideAreaOptions {
  readonly delayMinUs: number;
  readonly delayMeanUs: number;
  /** The probability per message that the connection breaks, so that the outcome of calls under way is unknown. */
  readonly breakProbability: number;
}

/** The parts of a node of the leader cluster that others may call. */
interface LeaderNode {
  readonly process: SimulatedProcess;
  readonly api: Pick<NodeParts, 'kv' | 'tables' | 'reports'>;
  readonly replication: LeaderReplication;
  readonly clock: Clock;
}

const UNAVAILABLE = 14;
const DEADLINE_EXCEEDED = 4;
const CANCELLED = 1;

/**
 * The network between two clusters. Messages travel as bytes, so that the clusters share no objects. Each may be late,
 * and the connection may break under any of them, because the way is blocked, a process died, or by chance.
 */
export class WideAreaNetwork {
  isBlocked = false;
  readonly #leaders = new Map<NodeId, LeaderNode>();

  readonly #loop: EventLoop;
  readonly #random: SeededRandom;
  #options: WideAreaOptions;

  constructor(loop: EventLoop, random: SeededRandom, options: WideAreaOptions) {
    this.#loop = loop;
    this.#random = random;
    this.#options = options;
  }

  /** Ends all faults of the network. */
  heal(): void {
    this.isBlocked = false;
    this.#options = { ...this.#options, breakProbability: 0 };
  }

  /** Lets the node be called until its process dies. */
  serve(id: NodeId, leader: LeaderNode): void {
    this.#leaders.set(id, leader);
    leader.process.onDeath(() => {
      if (this.#leaders.get(id) === leader) this.#leaders.delete(id);
    });
  }

  /** Returns the link of one process of a follower cluster to the nodes `ids`. */
  link(caller: SimulatedProcess, clock: Clock, ids: readonly NodeId[]): LeaderLink {
    return new SimulatedLink(this, caller, clock, ids);
  }

  delayUs(): number {
    return this.#options.delayMinUs + this.#random.exponential(this.#options.delayMeanUs);
  }

  /**
   * Sends one message and its answer. `act` runs in the leader's process, and its result comes back. Rejects with a
   * LinkError; a write whose answer was lost may have happened.
   */
  exchange<Answer>(
    id: NodeId,
    { caller, clock, call, isWrite }: Conversation,
    act: (leader: LeaderNode) => Promise<Answer>,
  ): Promise<Answer> {
    return new Promise((resolve, reject) => {
      let isOver = false;
      const settle = (end: () => void): void => {
        if (isOver) return;
        isOver = true;
        deadline.cancel();
        call.signal?.removeEventListener('abort', cancel);
        end();
      };
      const fail = (status: number, text: string, mayHaveHappened: boolean): void =>
        settle(() => reject(new LinkError(status, text, false, isWrite && mayHaveHappened)));
      const cancel = (): void => fail(CANCELLED, 'cancelled', true);
      const lose = (mayHaveHappened: boolean): void => {
        const text = mayHaveHappened ? 'connection dropped' : 'No connection established';
        this.#loop.schedule(this.delayUs(), EventKind.Network, caller, () =>
          fail(UNAVAILABLE, text, mayHaveHappened),
        );
      };
      const leftUs = (call.deadlineMs - clock.monotonicMs()) * 1000;
      const deadline = this.#loop.schedule(leftUs, EventKind.Timer, caller, () =>
        fail(DEADLINE_EXCEEDED, 'deadline exceeded', true),
      );
      call.signal?.addEventListener('abort', cancel);
      if (call.signal?.aborted) cancel();
      const leader = this.#leaders.get(id);
      if (this.isBlocked || leader === undefined) {
        lose(false);
        return;
      }
      leader.process.onDeath(() => {
        if (!isOver) lose(true);
      });
      const answer = (end: () => void): void => {
        if (this.isBlocked || this.#random.chance(this.#options.breakProbability)) lose(true);
        else this.#loop.schedule(this.delayUs(), EventKind.Network, caller, () => settle(end));
      };
      this.#loop.schedule(this.delayUs(), EventKind.Network, leader.process, () => {
        act(leader).then(
          (result) => answer(() => resolve(result)),
          (error: unknown) => {
            // Any other error is a broken invariant of the leader's, and ends the run.
            if (!(error instanceof ApiError)) throw error;
            answer(() =>
              reject(
                new LinkError(error.status, error.message, true, isWrite && error.isOutcomeUnknown, {
                  errorCode: error.code,
                }),
              ),
            );
          },
        );
      });
    });
  }

  /** Runs `act` in the leader's process, without an answer. */
  tell(id: NodeId, act: () => void): void {
    const leader = this.#leaders.get(id);
    if (leader !== undefined) this.#loop.schedule(this.delayUs(), EventKind.Network, leader.process, act);
  }
}

/** The caller of an exchange, and its limits. */
interface Conversation {
  readonly caller: SimulatedProcess;
  readonly clock: Clock;
  readonly call: LinkCall;
  readonly isWrite: boolean;
}

interface Codec<Message> {
  encode(message: Message): { finish(): Buffer };
  decode(bytes: Buffer): Message;
}

/** Returns a message as the other side receives it. */
function carried<Message>(codec: Codec<Message>, message: Message): Message {
  return codec.decode(Buffer.from(codec.encode(message).finish()));
}

class SimulatedLink implements LeaderLink {
  #at = 0;

  readonly #network: WideAreaNetwork;
  readonly #caller: SimulatedProcess;
  readonly #clock: Clock;
  readonly #ids: readonly NodeId[];

  constructor(network: WideAreaNetwork, caller: SimulatedProcess, clock: Clock, ids: readonly NodeId[]) {
    this.#network = network;
    this.#caller = caller;
    this.#clock = clock;
    this.#ids = ids;
  }

  get address(): string {
    return `leader-${this.#id}`;
  }

  get #id(): NodeId {
    return this.#ids[this.#at % this.#ids.length]!;
  }

  metadata(request: replication.MetadataRequest, call: LinkCall): Promise<replication.MetadataResponse> {
    return this.#exchange(call, false, async (leader, leaderCall) => {
      const message = carried(replication.MetadataRequest, request);
      return carried(replication.MetadataResponse, await leader.replication.metadata(message, leaderCall));
    });
  }

  replicate(request: replication.ReplicateRequest, call: LinkCall): AsyncIterable<Buffer> {
    return this.#stream(call, (leader, leaderCall) =>
      leader.replication.replicate(carried(replication.ReplicateRequest, request), leaderCall),
    );
  }

  async *snapshot(
    request: replication.SnapshotRequest,
    call: LinkCall,
  ): AsyncGenerator<replication.SnapshotChunk> {
    const chunks = this.#stream(call, (leader, leaderCall) =>
      leader.replication.snapshot(carried(replication.SnapshotRequest, request), leaderCall),
    );
    for await (const chunk of chunks) yield carried(replication.SnapshotChunk, chunk);
  }

  async range(): Promise<regatta.RangeResponse> {
    throw new Error('no client asks for it here');
  }

  put(request: regatta.PutRequest, call: LinkCall): Promise<regatta.PutResponse> {
    return this.#exchange(call, true, async (leader, leaderCall) => {
      const { table, key, value, prevKv } = carried(regatta.PutRequest, request);
      const command = mvcc.Command.fromPartial({ table, kv: { key, value }, prevKvs: prevKv });
      const { result, header } = await leader.api.kv.propose(table.toString(), command, leaderCall);
      const put = result.responses[0]?.response;
      return carried(
        regatta.PutResponse,
        regatta.PutResponse.fromPartial({
          header: toWire(header),
          ...(put?.$case === 'responsePut' && { prevKv: put.value.prevKv }),
        }),
      );
    });
  }

  deleteRange(request: regatta.DeleteRangeRequest, call: LinkCall): Promise<regatta.DeleteRangeResponse> {
    return this.#exchange(call, true, async (leader, leaderCall) => {
      const { table, key, rangeEnd, prevKv, count } = carried(regatta.DeleteRangeRequest, request);
      const command = mvcc.Command.fromPartial({
        table,
        type: mvcc.Command_CommandType.DELETE,
        kv: { key },
        ...(rangeEnd.length > 0 && { rangeEnd }),
        prevKvs: prevKv,
        count,
      });
      const { result, header } = await leader.api.kv.propose(table.toString(), command, leaderCall);
      const deleted = result.responses[0]?.response;
      return carried(
        regatta.DeleteRangeResponse,
        regatta.DeleteRangeResponse.fromPartial({
          header: toWire(header),
          ...(deleted?.$case === 'responseDeleteRange' && deleted.value),
        }),
      );
    });
  }

  txn(request: regatta.TxnRequest, call: LinkCall): Promise<regatta.TxnResponse> {
    return this.#exchange(call, true, async (leader, leaderCall) => {
      const { table, compare, success, failure } = carried(regatta.TxnRequest, request);
      const command = mvcc.Command.fromPartial({
        table,
        type: mvcc.Command_CommandType.TXN,
        txn: { compare, success, failure },
      });
      const { result, header } = await leader.api.kv.propose(table.toString(), command, leaderCall);
      const { succeeded, responses } = result;
      return carried(regatta.TxnResponse, { header: toWire(header), succeeded, responses });
    });
  }

  close(): void {
    // Everything ends with its process.
  }

  async #exchange<Answer>(
    call: LinkCall,
    isWrite: boolean,
    act: (leader: LeaderNode, call: LeaderSideCall) => Promise<Answer>,
  ): Promise<Answer> {
    const caller = this.#caller;
    const clock = this.#clock;
    const id = this.#id;
    const leftMs = call.deadlineMs - clock.monotonicMs();
    try {
      return await this.#network.exchange(id, { caller, clock, call, isWrite }, (leader) =>
        act(leader, leaderSideCall(leader, leftMs)),
      );
    } catch (error) {
      this.#turnFrom(id, error);
      throw error;
    }
  }

  /** Streams messages one at a time, and asks for each when the one before it was taken. */
  async *#stream<Message>(
    call: LinkCall,
    open: (leader: LeaderNode, call: LeaderSideCall) => AsyncGenerator<Message>,
  ): AsyncGenerator<Message> {
    const caller = this.#caller;
    const clock = this.#clock;
    const id = this.#id;
    const leftMs = call.deadlineMs - clock.monotonicMs();
    const aborter = new AbortController();
    let opened:
      | { readonly process: SimulatedProcess; readonly messages: AsyncGenerator<Message> }
      | undefined;
    const next = (leader: LeaderNode): Promise<IteratorResult<Message>> => {
      opened ??= {
        process: leader.process,
        messages: open(leader, { ...leaderSideCall(leader, leftMs), signal: aborter.signal }),
      };
      // The process that had begun the stream is gone, and another one does not know it.
      if (opened.process !== leader.process) {
        return Promise.reject(new ApiError(UNAVAILABLE, 'connection dropped'));
      }
      return opened.messages.next();
    };
    try {
      for (;;) {
        const { done, value } = await this.#network.exchange(
          id,
          { caller, clock, call, isWrite: false },
          next,
        );
        if (done) return;
        yield value;
      }
    } catch (error) {
      this.#turnFrom(id, error);
      throw error;
    } finally {
      this.#network.tell(id, () => {
        aborter.abort();
        // Before the first message there is nothing to end.
        opened?.messages.return(undefined).catch(() => undefined);
      });
    }
  }

  #turnFrom(id: NodeId, error: unknown): void {
    if (error instanceof LinkError && error.status === UNAVAILABLE && id === this.#id) this.#at++;
  }
}

interface LeaderSideCall {
  readonly deadlineMs: number;
  readonly signal: AbortSignal;
  readonly peer: string;
}

function leaderSideCall({ clock }: LeaderNode, leftMs: number): LeaderSideCall {
  return { deadlineMs: clock.monotonicMs() + leftMs, signal: new AbortController().signal, peer: 'far away' };
}

function toWire(header: Awaited<ReturnType<NodeParts['kv']['propose']>>['header']): regatta.ResponseHeader {
  return {
    shardId: BigInt(header.shardId),
    replicaId: BigInt(header.replicaId),
    revision: BigInt(header.revision),
    raftTerm: BigInt(header.raftTerm),
    raftLeaderId: BigInt(header.raftLeaderId),
  };
}
