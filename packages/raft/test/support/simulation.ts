import {
  type Entry,
  type InstallSnapshot,
  type Membership,
  type Message,
  type NodeId,
  Raft,
  type Ready,
  type StorageAppend,
} from '../../src/index.js';
import { MemoryDisk } from './memory-disk.js';
import { Random } from './random.js';

/** How bad the world is. Every probability is drawn from the seed, so that seeds differ in kind, not only in order. */
interface Weather {
  readonly drop: number;
  readonly duplicate: number;
  /** The chance that a packet stays where it is in a step. */
  readonly delay: number;
  /** The chance that a write completes in a step: the lower, the more writes are in flight. */
  readonly sync: number;
  readonly crash: number;
  /** The chance that a node campaigns out of turn. */
  readonly campaign: number;
  readonly partition: number;
  readonly compact: number;
  readonly propose: number;
  readonly read: number;
  /** The chance that a node, if it leads, begins to hand its leadership over. */
  readonly transfer: number;
}

/** What a state machine was given: enough to compare replicas. */
interface Applied {
  readonly term: number;
  readonly data: string;
}

/** A read waits for its index; `floor` is what had been acknowledged anywhere when it was asked for. */
interface PendingRead {
  readonly floor: number;
}

interface Replica {
  readonly id: NodeId;
  readonly disk: MemoryDisk;
  raft: Raft;
  isUp: boolean;
  /** The state machine, here its whole history. */
  applied: Applied[];
  appends: StorageAppend[];
  applies: (readonly Entry[])[];
  /** State that arrived for a snapshot, by its index. */
  arrived: Map<number, readonly Applied[]>;
  reads: Map<string, PendingRead>;
  /** What the last step saw, to tell that nothing went back. */
  seen: { term: number; commit: number; applied: number };
}

interface Packet {
  readonly message: Message;
  /** The state machine's image that travels with a snapshot. */
  readonly state?: readonly Applied[];
}

/**
 * A whole group of replicas on a random network and random disks, from one seed. After every step it checks the
 * invariants of the paper's figure 3 and D1, D2 and P2.
 */
export class Simulation {
  readonly replicas: Replica[] = [];
  readonly leaders = new Map<number, NodeId>();
  /** The history: what was applied at each index, by whoever applied it first. */
  readonly history: Applied[] = [];
  /** What really happened, so that a test can tell that it tested something. */
  readonly counts = {
    elections: 0,
    crashes: 0,
    snapshots: 0,
    reads: 0,
    lostWrites: 0,
    duplicates: 0,
    transfers: 0,
  };
  readonly #random: Random;
  /** Transfers draw from a source of their own, so that they change nothing else in the run of a seed. */
  readonly #transferRandom: Random;
  readonly #weather: Weather;
  readonly #membership: Membership;
  #packets: Packet[] = [];
  #cut = new Set<NodeId>();
  #isHealed = false;
  #proposals = 0;
  #contexts = 0;
  /** The highest index that a client was told is committed. */
  #acknowledged = 0;

  constructor(
    readonly seed: number,
    voters: number,
    learners: number,
    weather: Partial<Weather> = {},
  ) {
    const random = new Random(seed);
    this.#random = random;
    this.#transferRandom = new Random(seed + 1_000_000);
    this.#weather = {
      drop: random.next() * 0.2,
      duplicate: random.next() * 0.2,
      delay: random.next() ** 2 * 0.95,
      sync: 0.03 + random.next() ** 2 * 0.9,
      crash: random.next() * 0.02,
      campaign: random.next() ** 3 * 0.1,
      partition: random.next() * 0.01,
      compact: random.next() * 0.02,
      propose: random.next() * 0.4,
      read: random.next() * 0.1,
      transfer: this.#transferRandom.next() ** 2 * 0.05,
      ...weather,
    };
    this.#membership = {
      voters: Array.from({ length: voters }, (_, i) => i + 1),
      learners: Array.from({ length: learners }, (_, i) => voters + i + 1),
    };
    for (const id of [...this.#membership.voters, ...this.#membership.learners]) {
      const replica = {
        id,
        disk: new MemoryDisk(this.#membership),
        isUp: true,
        applied: [],
        seen: { term: 0, commit: 0, applied: 0 },
      } as unknown as Replica;
      this.#start(replica);
      this.replicas.push(replica);
    }
  }

  /** A bad time: faults while clients work. */
  disturb(steps: number): void {
    for (let i = 0; i < steps; i++) this.#step();
  }

  /** The world heals, and the group must get a leader that serves a write and a read everywhere. */
  heal(maxSteps: number): void {
    this.#isHealed = true;
    this.#cut.clear();
    for (const replica of this.replicas) if (!replica.isUp) this.#start(replica);
    const goal = Math.max(...this.replicas.map(({ raft }) => raft.lastIndex));
    const reads = this.counts.reads;
    for (let i = 0; i < maxSteps; i++) {
      this.#step();
      const client = this.#random.pick(this.replicas);
      this.#propose(client);
      this.#read(client);
      const isApplied = this.replicas.every(({ applied }) => applied.length > goal);
      if (isApplied && this.counts.reads > reads) return;
    }
    throw this.#violation(`no progress in ${maxSteps} steps after the faults were healed`);
  }

  #start(replica: Replica): void {
    replica.isUp = true;
    replica.appends = [];
    replica.applies = [];
    replica.arrived = new Map();
    replica.reads = new Map();
    replica.raft = new Raft({
      id: replica.id,
      electionTicks: 10,
      heartbeatTicks: 2,
      log: replica.disk,
      hardState: replica.disk.hardState,
      membership: this.#membership,
      applied: replica.applied.length,
      preVote: this.seed % 3 !== 0,
      checkQuorum: this.seed % 4 !== 0,
      maxMessageBytes: 40,
      maxInflightMessages: 4,
      maxInflightBytes: 200,
      maxUncommittedBytes: 400,
      maxCommittedBytesPerReady: 60,
      random: this.#random.next,
    });
  }

  #violation(what: string): Error {
    return new Error(`seed ${this.seed}: ${what}`);
  }

  #step(): void {
    const random = this.#random;
    const weather = this.#weather;
    for (const replica of this.replicas) {
      if (!replica.isUp) {
        if (random.chance(0.05)) this.#start(replica);
        continue;
      }
      if (random.chance(0.5)) replica.raft.tick();
      if (random.chance(weather.propose)) this.#propose(replica);
      if (random.chance(weather.read)) this.#read(replica);
      if (!this.#isHealed && random.chance(weather.campaign)) replica.raft.campaign();
      if (!this.#isHealed && this.#transferRandom.chance(weather.transfer)) this.#transfer(replica);
      if (random.chance(weather.compact)) this.#compact(replica);
      if (random.chance(0.8) && replica.raft.hasReady()) this.#handle(replica, replica.raft.ready());
      while (replica.appends.length > 0 && random.chance(this.#isHealed ? 0.6 : weather.sync))
        this.#completeAppend(replica);
      while (replica.applies.length > 0 && random.chance(0.7)) this.#completeApply(replica);
      if (!this.#isHealed && random.chance(weather.crash)) this.#crash(replica);
    }
    if (!this.#isHealed) this.#disturbNetwork();
    for (let i = this.#packets.length; i > 0; i--) this.#deliverOne();
    for (const replica of this.replicas) this.#check(replica);
  }

  #disturbNetwork(): void {
    const random = this.#random;
    const weather = this.#weather;
    if (!random.chance(weather.partition)) return;
    this.#cut = new Set(random.chance(0.5) ? this.#membership.voters.filter(() => random.chance(0.4)) : []);
  }

  #propose(replica: Replica): void {
    const count = 1 + this.#random.below(3);
    const data = Array.from({ length: count }, () => Buffer.from(`p${++this.#proposals}`));
    replica.raft.propose(data);
  }

  /** P2: whatever anybody was told before the question was asked must be in the answer. */
  #read(replica: Replica): void {
    const context = `r${++this.#contexts}`;
    if (replica.raft.readIndex(context)) replica.reads.set(context, { floor: this.#acknowledged });
  }

  /** To any member, also one that is down, behind, a learner or the leader itself. */
  #transfer(replica: Replica): void {
    replica.raft.transferLeadership(this.#transferRandom.pick(this.replicas).id);
  }

  #compact(replica: Replica): void {
    const index = replica.disk.snapshot().index;
    replica.disk.compact(Math.max(0, index - this.#random.below(5)));
  }

  #crash(replica: Replica): void {
    this.counts.crashes++;
    this.counts.lostWrites += replica.appends.length;
    replica.isUp = false;
    // A random number of the writes in flight reached the disk, in order.
    while (replica.appends.length > 0 && this.#random.chance(0.5))
      this.#persist(replica, replica.appends.shift()!);
    replica.disk.crash();
    // The state machine may come back older, but not older than what the log was truncated for (D4).
    const floor = replica.disk.firstIndex() - 1;
    const index = floor + this.#random.below(replica.applied.length - floor + 1);
    replica.applied = replica.applied.slice(0, index);
    const term = replica.applied.at(-1)?.term ?? 0;
    replica.disk.saveSnapshot({ index, term, membership: this.#membership });
    replica.seen = { term: 0, commit: 0, applied: 0 };
  }

  #handle(replica: Replica, ready: Ready): void {
    this.#send(replica, ready.messages);
    if (ready.append !== undefined) {
      replica.disk.submit(ready.append);
      replica.appends.push(ready.append);
    }
    if (ready.committed.length > 0) {
      const last = ready.committed.at(-1)!;
      const durable = replica.disk.durableLastIndex;
      if (last.index > durable) throw this.#violation(`D2: ${last.index} handed out, ${durable} durable`);
      replica.applies.push(ready.committed);
    }
    for (const { context, index } of ready.reads) this.#checkRead(replica, context, index);
  }

  #checkRead(replica: Replica, context: string, index: number): void {
    const read = replica.reads.get(context);
    if (read === undefined) return;
    replica.reads.delete(context);
    this.counts.reads++;
    if (index < read.floor) throw this.#violation(`P2: a read at ${index} misses acknowledged ${read.floor}`);
  }

  #persist(replica: Replica, append: StorageAppend): void {
    replica.disk.sync(append);
    if (append.snapshot !== undefined) {
      this.counts.snapshots++;
      replica.applied = [...replica.arrived.get(append.snapshot.index)!];
      replica.applies = [];
    }
  }

  #completeAppend(replica: Replica): void {
    const append = replica.appends.shift()!;
    this.#persist(replica, append);
    replica.raft.appended(append);
    this.#send(replica, append.responses);
  }

  #completeApply(replica: Replica): void {
    const entries = replica.applies.shift()!;
    for (const { index, term, data } of entries) {
      if (index !== replica.applied.length + 1) {
        throw this.#violation(`node ${replica.id} applies ${index} after ${replica.applied.length}`);
      }
      const applied = { term, data: data.toString() };
      replica.applied.push(applied);
      this.#checkHistory(replica.id, index, applied);
    }
    const last = entries.at(-1)!;
    this.#acknowledged = Math.max(this.#acknowledged, last.index);
    if (last.index > replica.disk.snapshot().index) {
      replica.disk.saveSnapshot({ index: last.index, term: last.term, membership: this.#membership });
    }
    replica.raft.applied(last.index);
  }

  /** State machine safety: nobody applies anything else at the same index, ever. */
  #checkHistory(id: NodeId, index: number, applied: Applied): void {
    const known = this.history[index - 1];
    if (known === undefined) this.history[index - 1] = applied;
    else if (known.term !== applied.term || known.data !== applied.data) {
      throw this.#violation(
        `node ${id} applied ${applied.data} of term ${applied.term} at ${index}, where ${known.data} of term ${known.term} was applied`,
      );
    }
  }

  #send(replica: Replica, messages: readonly Message[]): void {
    for (const message of messages) {
      const packet: Packet =
        message.type === 'installSnapshot'
          ? { message: this.#currentSnapshot(replica, message), state: [...replica.applied] }
          : { message };
      this.#packets.push(packet);
    }
  }

  /** The image is taken when the transfer begins, so it may be newer than what the core knew. */
  #currentSnapshot(replica: Replica, message: InstallSnapshot): InstallSnapshot {
    const index = replica.applied.length;
    const term = replica.applied.at(-1)!.term;
    return { ...message, snapshot: { ...message.snapshot, index, term } };
  }

  /** Any packet may be next, may be lost or may come again much later, also after its sender has crashed. */
  #deliverOne(): void {
    const random = this.#random;
    const weather = this.#weather;
    if (this.#packets.length === 0 || random.chance(this.#isHealed ? 0.3 : weather.delay)) return;
    const position = random.below(this.#packets.length);
    const packet = this.#packets[position]!;
    const isRepeated = !this.#isHealed && random.chance(weather.duplicate);
    if (isRepeated) this.counts.duplicates++;
    else {
      this.#packets[position] = this.#packets.at(-1)!;
      this.#packets.pop();
    }
    const { message, state } = packet;
    const { from, to } = message;
    const isCut = this.#cut.has(from) !== this.#cut.has(to);
    const isLost = isCut || (!this.#isHealed && random.chance(weather.drop));
    const target = this.replicas[to - 1]!;
    const isDelivered = !isLost && target.isUp;
    if (isDelivered) {
      if (message.type === 'installSnapshot') target.arrived.set(message.snapshot.index, state!);
      target.raft.step(message);
      if (message.type === 'timeoutNow' && target.raft.role === 'candidate') this.counts.transfers++;
    }
    if (message.type === 'installSnapshot' && !isRepeated) {
      this.replicas[from - 1]!.raft.reportSnapshot(to, isDelivered);
    }
  }

  #check(replica: Replica): void {
    const { raft, id, seen } = replica;
    if (!replica.isUp) return;
    if (raft.role === 'leader') this.#checkLeader(replica);
    const now = { term: raft.term, commit: raft.commitIndex, applied: raft.appliedIndex };
    if (now.term < seen.term || now.commit < seen.commit || now.applied < seen.applied) {
      throw this.#violation(`node ${id} went back from ${JSON.stringify(seen)} to ${JSON.stringify(now)}`);
    }
    if (now.applied > now.commit || now.commit > raft.lastIndex) {
      throw this.#violation(`node ${id}: applied ${now.applied} commit ${now.commit} last ${raft.lastIndex}`);
    }
    replica.seen = now;
    this.#checkLogMatching(replica);
  }

  /** Election safety, and leader completeness: a leader has everything that anybody applied before its term. */
  #checkLeader({ raft, id, disk }: Replica): void {
    const known = this.leaders.get(raft.term);
    if (known !== undefined && known !== id) {
      throw this.#violation(`nodes ${known} and ${id} lead term ${raft.term}`);
    }
    if (known !== undefined) return;
    this.counts.elections++;
    this.leaders.set(raft.term, id);
    for (let index = disk.firstIndex(); index <= this.history.length; index++) {
      const applied = this.history[index - 1]!;
      if (applied.term < raft.term && disk.term(index) !== applied.term) {
        throw this.#violation(`leader ${id} of term ${raft.term} lacks committed entry ${index}`);
      }
    }
  }

  /** Log matching, against every other log: equal (index, term) means equal data and an equal past. */
  #checkLogMatching({ disk, id }: Replica): void {
    for (const other of this.replicas) {
      if (other.id <= id) continue;
      const first = Math.max(disk.firstIndex(), other.disk.firstIndex());
      const last = Math.min(disk.lastIndex(), other.disk.lastIndex());
      let mustMatch = false;
      for (let index = last; index >= first; index--) {
        const isMatch = disk.term(index) === other.disk.term(index);
        if (mustMatch && !isMatch) {
          throw this.#violation(`the logs of ${id} and ${other.id} match after ${index} but not there`);
        }
        if (!isMatch) continue;
        mustMatch = true;
        const [mine] = disk.entries(index, index + 1, 0);
        const [theirs] = other.disk.entries(index, index + 1, 0);
        if (!mine!.data.equals(theirs!.data)) {
          throw this.#violation(`two entries ${index} of term ${mine!.term} differ on ${id} and ${other.id}`);
        }
      }
    }
  }
}
