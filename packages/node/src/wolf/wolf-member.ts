import { wolfRaft } from '@coxswain/protocol';
import type { AppendRequest, Heartbeat, Message, NodeId, VoteRequest } from '@coxswain/raft';
import type { Clock } from '@coxswain/runtime';
import { type Call, PeerCalls } from '@coxswain/wolf';
import type { WolfLink } from '../api/environment.js';
import type { Replica } from '../group/replica.js';
import type { Outbox } from '../group/replica-host.js';

const { appendEntries, vote } = wolfRaft.RaftService;

/**
 * The limit of the appends that wait while one is under way. The core sends one with entries at a time, and some
 * without.
 */
const WAITING_MAX = 8;
/** The id of every call, which members give back; the calls of one RPC may share one (trap 5). */
const MSG_ID = 'coxswain';

/** The parts of a node that a WolfMember uses. */
export interface WolfMemberOptions {
  /** This node, as the core numbers it. */
  readonly self: NodeId;
  /** The other member, as the core numbers it. */
  readonly id: NodeId;
  readonly address: string;
  readonly link: WolfLink;
  readonly clock: Clock;
  /** The time limit of a call, in milliseconds. */
  readonly callMs: number;
  /** The pause after a failed call, in milliseconds. */
  readonly pauseMs: number;
  readonly replica: () => Replica | undefined;
  /** Takes the core's answers to calls that this member has made. */
  readonly answered: (message: Message) => void;
  /** Runs background work. */
  readonly run: (work: Promise<unknown>) => void;
}

/** Drops a message that no call carries. */
const ignore = (): void => undefined;

/** A message that AppendEntries carries. */
type Sent = AppendRequest | Heartbeat;

/**
 * Sends this node's calls to one other member of a wolf.raft group. Calls that may change the member's log go one after
 * another, so none overtakes another; beside them one heartbeat and requests for votes may be under way.
 */
export class WolfMember implements Outbox {
  readonly #options: WolfMemberOptions;
  #calls: PeerCalls;
  /** Ends when all calls so far that may change the member's log have ended. */
  #lane: Promise<unknown> = Promise.resolve();
  #waitingCount = 0;
  #heartbeat: Heartbeat | undefined;
  #isBeating = false;
  #isAlive = false;

  constructor(options: WolfMemberOptions) {
    this.#options = options;
    this.#calls = new PeerCalls(options.self, options.id);
  }

  /** Whether the last call got an answer. */
  get isAlive(): boolean {
    return this.#isAlive;
  }

  // ---- Outbox

  raft(_group: number, message: Message): void {
    switch (message.type) {
      case 'append':
        this.#append(message);
        return;
      case 'heartbeat':
        this.#heartbeat = message;
        if (!this.#isBeating) this.#options.run(this.#beat());
        return;
      case 'vote':
        this.#options.run(this.#ask(message));
        return;
      case 'appendResponse':
      case 'voteResponse':
        this.#options.answered(message);
        return;
      default:
        // No call carries the others (DESIGN.md); safety does not depend on them.
        return;
    }
  }

  readonly forward = ignore;
  readonly traces = ignore;
  readonly refused = ignore;
  readonly quiesce = ignore;
  readonly snapshotWanted = ignore;

  // ---- calls

  /** Runs work that may change the member's log while nothing else does. */
  inLane<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#lane.then(work);
    this.#lane = done.catch(() => undefined);
    return done;
  }

  #append(message: AppendRequest): void {
    if (this.#waitingCount >= WAITING_MAX) {
      this.#unreachable();
      return;
    }
    this.#waitingCount++;
    this.#options.run(
      this.inLane(async () => {
        this.#waitingCount--;
        if (!this.#leadsIn(message.term)) return;
        if (!(await this.#exchange(message))) {
          this.#unreachable();
          await this.#pause();
        }
      }),
    );
  }

  /**
   * Sends heartbeats. The newest one stands for those before it: it carries the newest ReadIndex round and commit
   * index.
   */
  async #beat(): Promise<void> {
    this.#isBeating = true;
    try {
      for (let next = this.#heartbeat; next !== undefined; next = this.#heartbeat) {
        this.#heartbeat = undefined;
        if (this.#leadsIn(next.term) && !(await this.#exchange(next))) await this.#pause();
      }
    } finally {
      this.#isBeating = false;
    }
  }

  /**
   * Sends an AppendEntries, and steps the core with its answer. Resolves to false when no answer came, or one that says
   * nothing.
   */
  async #exchange(message: Sent): Promise<boolean> {
    const replica = this.#options.replica();
    if (replica === undefined) return false;
    const matched = this.#matchIndex(replica);
    const calls = this.#calls;
    const call = calls.call(message, { termAt: (index) => replica.log.term(index) }, MSG_ID);
    if (call.method !== 'AppendEntries') return false;
    const response = await this.#call(call);
    if (response === undefined) return false;
    // The member's match point was forgotten meanwhile.
    if (calls !== this.#calls) return true;
    if (this.#hasLost(message, matched, response)) {
      // T4: the member has another disk, so its acknowledgements count no more.
      this.#calls = new PeerCalls(this.#options.self, this.#options.id);
      replica.raft.reportLost(this.#options.id);
      replica.wake();
      return true;
    }
    const answer = call.answered(response);
    if (answer === undefined) return false;
    replica.step(answer);
    return true;
  }

  async #ask(message: VoteRequest): Promise<void> {
    const replica = this.#options.replica();
    if (replica === undefined) return;
    const call = this.#calls.call(message, { termAt: (index) => replica.log.term(index) }, MSG_ID);
    if (call.method !== 'Vote') return;
    const bytes = await this.#send(vote.path, vote.requestSerialize(call.request));
    const answer = bytes && decoded(() => call.answered(vote.responseDeserialize(bytes)));
    if (answer !== undefined) this.#options.replica()?.step(answer);
  }

  async #call(
    call: Call & { readonly method: 'AppendEntries' },
  ): Promise<wolfRaft.RaftAppendEntriesRes | undefined> {
    const bytes = await this.#send(appendEntries.path, appendEntries.requestSerialize(call.request));
    return bytes && decoded(() => appendEntries.responseDeserialize(bytes));
  }

  /** Sends a request. Resolves to the answer's bytes, or to undefined when none came. */
  async #send(path: string, request: Buffer): Promise<Buffer | undefined> {
    const { link, address, callMs } = this.#options;
    try {
      const answer = await link.call(address, path, request, callMs);
      this.#isAlive = true;
      return answer;
    } catch {
      // As with a frame that finds no connection, Raft repeats what matters.
      this.#isAlive = false;
      return undefined;
    }
  }

  #pause(): Promise<void> {
    const { clock, pauseMs } = this.#options;
    return new Promise((resolve) => clock.startTimer(pauseMs, resolve));
  }

  #leadsIn(term: number): boolean {
    const replica = this.#options.replica();
    return replica !== undefined && !replica.isClosed && replica.isLeader && replica.raft.term === term;
  }

  #unreachable(): void {
    const replica = this.#options.replica();
    if (replica === undefined || replica.isClosed) return;
    replica.raft.reportUnreachable(this.#options.id);
    replica.wake();
  }

  #matchIndex(replica: Replica): number {
    return replica.raft.peerStatuses().find(({ id }) => id === this.#options.id)?.match ?? 0;
  }

  /**
   * Whether the member refuses, in this term, entries that it had acknowledged in it: that cannot happen to a disk that
   * keeps what it has.
   */
  #hasLost(message: Sent, matched: number, { response }: wolfRaft.RaftAppendEntriesRes): boolean {
    if (response?.$case !== 'okRes' || response.value.success) return false;
    const { term, conflictOpt } = response.value;
    const prevIndex = message.type === 'append' ? message.prevIndex : message.commit;
    return (
      conflictOpt !== undefined &&
      term === BigInt(message.term) &&
      this.#leadsIn(message.term) &&
      prevIndex <= matched &&
      conflictOpt.index < BigInt(prevIndex)
    );
  }

  // ---- for snapshots

  get calls(): PeerCalls {
    return this.#calls;
  }
}

/** Decodes an answer. Returns undefined for bytes that are none. */
function decoded<T>(decode: () => T): T | undefined {
  try {
    return decode();
  } catch {
    return undefined;
  }
}
