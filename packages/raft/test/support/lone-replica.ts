import {
  type Entry,
  EntryType,
  type Message,
  type NodeId,
  Raft,
  type RaftConfig,
  type Ready,
} from '../../src/index.js';
import { MemoryDisk } from './memory-disk.js';

/** What a test may say of a replica; the rest is the plainest group of three. */
export interface Scene extends Partial<RaftConfig> {
  readonly voters?: readonly NodeId[];
  /** The terms of the entries in the log, from index 1. */
  readonly logTerms?: readonly number[];
  readonly term?: number;
  readonly vote?: NodeId;
  readonly commit?: number;
}

export const ELECTION_TICKS = 10;

/** One replica with its disk, for tests that play the rest of the group by hand. */
export class LoneReplica {
  readonly disk: MemoryDisk;
  readonly raft: Raft;
  /** What was handed out for applying. */
  readonly applied: Entry[] = [];

  constructor({ voters = [1, 2, 3], logTerms = [], term, vote = 0, commit = 0, ...config }: Scene = {}) {
    const membership = { voters, learners: [] };
    this.disk = new MemoryDisk(membership);
    const entries = logTerms.map(
      (entryTerm, i): Entry => ({
        index: i + 1,
        term: entryTerm,
        type: EntryType.Normal,
        data: Buffer.from(`${entryTerm}.${i + 1}`),
      }),
    );
    this.disk.preset({ term: term ?? logTerms.at(-1) ?? 0, vote, commit }, entries);
    this.raft = new Raft({
      id: 1,
      electionTicks: ELECTION_TICKS,
      heartbeatTicks: 1,
      log: this.disk,
      hardState: this.disk.hardState,
      membership,
      applied: 0,
      preVote: false,
      checkQuorum: false,
      maxMessageBytes: 1_000_000,
      maxInflightMessages: 256,
      maxInflightBytes: 1_000_000,
      maxUncommittedBytes: 0,
      maxCommittedBytesPerReady: 1_000_000,
      random: () => 0,
      ...config,
    });
  }

  /** Takes one Ready without storing anything: the disk has not answered. */
  take(): Ready {
    const ready = this.raft.ready();
    if (ready.append !== undefined) this.disk.submit(ready.append);
    this.applied.push(...ready.committed);
    return ready;
  }

  /** Stores and applies until nothing is left to do, and returns what was sent. */
  settle(): Message[] {
    const sent: Message[] = [];
    while (this.raft.hasReady()) {
      const { messages, append, committed } = this.take();
      sent.push(...messages);
      if (append !== undefined) {
        this.disk.sync(append);
        this.raft.appended(append);
        sent.push(...append.responses);
      }
      if (committed.length > 0) this.raft.applied(committed.at(-1)!.index);
    }
    return sent;
  }

  /** Steps messages in and settles. */
  receive(...messages: Message[]): Message[] {
    for (const message of messages) this.raft.step(message);
    return this.settle();
  }

  tick(count: number): Message[] {
    for (let i = 0; i < count; i++) this.raft.tick();
    return this.settle();
  }

  /** Campaigns and is granted the votes of `voters`. */
  win(voters: readonly NodeId[] = [2, 3]): Message[] {
    this.raft.campaign();
    this.settle();
    const { term } = this.raft;
    return this.receive(
      ...voters.map((from): Message => ({ type: 'voteResponse', from, to: 1, term, granted: true })),
    );
  }

  get log(): string[] {
    return this.disk
      .entries(this.disk.firstIndex(), this.disk.lastIndex() + 1, Number.MAX_SAFE_INTEGER)
      .map(({ index, term }) => `${index}/${term}`);
  }
}
