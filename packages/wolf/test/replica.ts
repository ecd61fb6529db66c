import {
  type Entry,
  type LogReader,
  type Message,
  type NodeId,
  Raft,
  type StorageAppend,
} from '@coxswain/raft';
import type { ReplicaView } from '../src/index.js';

/** A log in memory, for a real core: the first entry has index 1. */
class MemoryLog implements LogReader {
  stored: Entry[] = [];

  firstIndex(): number {
    return 1;
  }

  lastIndex(): number {
    return this.stored.length;
  }

  term(index: number): number | undefined {
    return index === 0 ? 0 : this.stored[index - 1]?.term;
  }

  entries(from: number, to: number): Entry[] {
    return this.stored.slice(from - 1, to - 1);
  }

  snapshot(): undefined {
    return undefined;
  }

  write({ entries }: StorageAppend): void {
    const first = entries[0];
    if (first === undefined) return;
    this.stored.length = first.index - 1;
    this.stored.push(...entries);
  }
}

export interface ReplicaOptions {
  readonly id?: NodeId;
  readonly members?: readonly NodeId[];
  readonly entries?: readonly Entry[];
  readonly commit?: number;
  readonly term?: number;
}

/** One replica of the real core whose disk is instantaneous unless `isDiskSlow`. */
export class TestReplica implements ReplicaView {
  readonly raft: Raft;
  readonly members: readonly NodeId[];
  readonly log = new MemoryLog();
  readonly committed: Entry[] = [];
  /** Writes wait for `flush`. */
  isDiskSlow = false;
  readonly #writes: StorageAppend[] = [];

  constructor({ id = 1, members = [1, 2, 3], entries = [], commit = 0, term }: ReplicaOptions = {}) {
    this.members = members;
    this.log.stored = [...entries];
    this.raft = new Raft({
      id,
      electionTicks: 10,
      heartbeatTicks: 1,
      log: this.log,
      hardState: { term: term ?? entries.at(-1)?.term ?? 0, vote: 0, commit },
      membership: { voters: members, learners: [] },
      applied: 0,
      preVote: false,
      checkQuorum: true,
      maxMessageBytes: 1024 * 1024,
      maxInflightMessages: 1,
      maxInflightBytes: 1024 * 1024,
      maxUncommittedBytes: 0,
      maxCommittedBytesPerReady: 1024 * 1024,
      random: () => 0.5,
    });
  }

  get id(): NodeId {
    return this.raft.id;
  }

  get term(): number {
    return this.raft.term;
  }

  get isLeader(): boolean {
    return this.raft.role === 'leader';
  }

  get leaderOfTerm(): NodeId {
    return this.raft.leaderOfTerm;
  }

  get commitIndex(): number {
    return this.raft.commitIndex;
  }

  termAt(index: number): number | undefined {
    return this.raft.termAt(index);
  }

  /** What the core has to say after everything that it asked for is done. */
  take(): Message[] {
    const messages: Message[] = [];
    while (this.raft.hasReady()) {
      const ready = this.raft.ready();
      messages.push(...ready.messages);
      if (ready.append !== undefined) {
        this.log.write(ready.append);
        if (this.isDiskSlow) this.#writes.push(ready.append);
        else messages.push(...this.#written(ready.append));
      }
      this.committed.push(...ready.committed);
      const last = ready.committed.at(-1);
      if (last !== undefined) this.raft.applied(last.index);
    }
    return messages;
  }

  /** The slow disk has written all that it was given. */
  flush(): Message[] {
    const messages = this.#writes.splice(0).flatMap((append) => this.#written(append));
    return [...messages, ...this.take()];
  }

  #written(append: StorageAppend): readonly Message[] {
    this.raft.appended(append);
    return append.responses;
  }
}
