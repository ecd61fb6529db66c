import { wolfRaft } from '@coxswain/protocol';
import type { AppendRequest, Heartbeat, Message, NodeId, VoteRequest } from '@coxswain/raft';
import type { Clock } from '@coxswain/runtime';
import { type Call, PeerCalls } from '@coxswain/wolf';
import type { WolfLink } from '../api/environment.js';
import type { Replica } from '../group/replica.js';
import type { Outbox } from '../group/replica-host.js';

const { appendEntries, vote } = wolfRaft.RaftService;

/** Appends that wait while one is under way. The core sends one with entries at a time, and some without. */
const WAITING_MAX = 8;
/** Members give back the id of a call; those of one RPC may share one (trap 5). */
const MSG_ID = 'coxswain';

export interface WolfMemberOptions {
  /** This node, and the other one, as the core numbers them. */
  readonly self: NodeId;
  readonly id: NodeId;
  readonly address: string;
  readonly link: WolfLink;
  readonly clock: Clock;
  /** How long a call may take. */
  readonly callMs: number;
  /** How long nothing is sent after a call that failed. */
  readonly pauseMs: number;
  readonly replica: () => Replica | undefined;
  /** Takes what the core answers to this member's own calls. */
  readonly answered: (message: Message) => void;
  /** Runs work that nobody waits for. */
  readonly run: (work: Promise<unknown>) => void;
}

/** No call carries it. */
const ignore = (): void => undefined;

/** An AppendEntries of either kind. */
type Sent = AppendRequest | Heartbeat;

/**
 * What this node sends to one other member of a wolf.raft group. Calls that may change the member's log go one after
 * another, so none overtakes another; beside them one heartbeat and requests for votes may be under way.
 */
export class WolfMember implements Outbox {
  readonly #options: WolfMemberOptions;
  #calls: PeerCalls;
  /** Ends when the last of the calls so far that may change the member's log has ended. */
  #lane: Promise<unknown> = Promise.resolve();
  #waitingCount = 0;
  #heartbeat: Heartbeat | undefined;
  #isBeating = false;
  #isAlive = false;

  constructor(options: WolfMemberOptions) {
    this.#options = options;
    this.#calls = new PeerCalls(options.self, options.id);
  }

  /** The last call got an answer. */
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
        // No call carries the others (DESIGN.md); nothing of safety hangs on them.
        return;
    }
  }

  readonly forward = ignore;
  readonly refused = ignore;
  readonly quiesce = ignore;
  readonly snapshotWanted = ignore;

  // ---- calls

  /** Does something that may change the member's log when nothing else does. */
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

  /** The newest heartbeat stands for those before it: it carries the newest ReadIndex round and commit index. */
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

  /** False when no answer came, or one that says nothing. */
  async #exchange(message: Sent): Promise<boolean> {
    const replica = this.#options.replica();
    if (replica === undefined) return false;
    const matched = this.#matchIndex(replica);
    const calls = this.#calls;
    const call = calls.call(message, { termAt: (index) => replica.log.term(index) }, MSG_ID);
    if (call.method !== 'AppendEntries') return false;
    const response = await this.#call(call);
    if (response === undefined) return false;
    // It was forgotten meanwhile what this member has.
    if (calls !== this.#calls) return true;
    if (this.#hasLost(message, matched, response)) {
      // T4: its disk is another one. What it acknowledged counts no more.
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

  /** The answer's bytes; undefined when none came. */
  async #send(path: string, request: Buffer): Promise<Buffer | undefined> {
    const { link, address, callMs } = this.#options;
    try {
      const answer = await link.call(address, path, request, callMs);
      this.#isAlive = true;
      return answer;
    } catch {
      // As with a frame that finds no connection: Raft repeats what matters.
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

  /** It refuses, in this term, what it had acknowledged in it: that cannot happen to a disk that keeps what it has. */
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

/** Undefined for bytes that are no answer. */
function decoded<T>(decode: () => T): T | undefined {
  try {
    return decode();
  } catch {
    return undefined;
  }
}
