import type { NodeId } from '@coxswain/raft';
import { type Clock, type Log, Waiters } from '@coxswain/runtime';
import { isStoreFull } from '@coxswain/table';
import { answersOf } from '../api/counted.js';
import type { SmallFiles } from '../api/environment.js';
import { type ApiError, errors } from '../api/errors.js';
import { nodeEvents } from '../events.js';
import type { FrameHeader, Introduce, StartRecord } from './frame.js';
import { DataDirectoryError, type Identity } from './identity.js';
import type { Peers } from './peers.js';

const FILE_NAME = 'peers.json';
/** The shortest interval between two stores of positions that moved: each costs a small file and two syncs. */
const STORE_INTERVAL_MS = 1000;

interface Start {
  readonly number: number;
  readonly boot: string;
  /** The furthest durable position of its log that the member showed in that start. */
  position: number;
}

/** What this node keeps about the starts of a member. */
interface Known {
  /** The newest of the member's starts that took part, as far as is known here. */
  tookPart: Start | undefined;
  /** A later start that introduced itself, and of which nothing was counted here. */
  introduced: Start | undefined;
}

/**
 * Lets a data directory take part only if it holds everything that its members have seen of it (T4). Each start of a
 * node has a number and a boot, and its members keep both, with the position up to which the node's log was durable. A
 * node that starts introduces itself. Each member answers with what it knows, and the node compares that with the
 * starts that its directory holds. If anything is missing, the directory was rolled back, and the node ends. Until a
 * quorum keeps its new start durably, a node does nothing but introduce itself. A copy that was refused leaves nothing
 * that would shut the newest directory out: a start that never took part is replaced, with the consent of every member.
 * DESIGN.md, "A disk that was rolled back" says what that proves and what it cannot.
 */
export class Admission {
  readonly #identity: Identity;
  readonly #peers: Peers;
  readonly #files: SmallFiles;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #patienceMs: number;
  readonly #onAdmitted: () => void;
  readonly #onRefused: (error: DataDirectoryError) => void;
  readonly #run: (work: Promise<unknown>) => void;
  readonly #known: Map<NodeId, Known>;
  /** The members that keep this start durably, by their last answers. */
  readonly #admittedBy = new Set<NodeId>();
  readonly #changes: Waiters;
  readonly #startedMs: number;
  /** The boots that took part although that is not stored yet. */
  readonly #unstored = new Set<string>();
  /** The claims of peers that were logged: each is logged once. */
  readonly #warned = new Set<string>();
  #isAdmitted = false;
  /**
   * Whether a member kept a start that this directory does not hold and that never took part. Then a quorum is not
   * enough.
   */
  #needsAll = false;
  #isDirty = false;
  #storedMs = 0;
  #stored: Promise<boolean> = Promise.resolve(true);

  constructor(options: {
    identity: Identity;
    peers: Peers;
    files: SmallFiles;
    clock: Clock;
    log: Log;
    records: readonly StartRecord[];
    /** How long a quorum waits for the answers of the other members, in milliseconds. */
    patienceMs: number;
    onAdmitted: () => void;
    onRefused: (error: DataDirectoryError) => void;
    run: (work: Promise<unknown>) => void;
  }) {
    this.#identity = options.identity;
    this.#peers = options.peers;
    this.#files = options.files;
    this.#clock = options.clock;
    this.#log = options.log;
    this.#patienceMs = options.patienceMs;
    this.#onAdmitted = options.onAdmitted;
    this.#onRefused = options.onRefused;
    this.#run = options.run;
    this.#changes = new Waiters(options.clock);
    this.#startedMs = options.clock.monotonicMs();
    this.#known = new Map();
    for (const { member, number, boot, position, tookPart } of options.records) {
      this.#knownOf(member)[tookPart ? 'tookPart' : 'introduced'] = { number, boot, position };
    }
    // Nobody else can know anything about the only member.
    this.#isAdmitted = [...options.peers.ids].length === 0;
  }

  /**
   * Reads what this node keeps about the starts of the other members. Throws DataDirectoryError when the file is
   * damaged.
   */
  static async read(files: SmallFiles): Promise<StartRecord[]> {
    const content = await files.read(FILE_NAME);
    if (content === undefined) return [];
    try {
      const { starts } = JSON.parse(content.toString('utf8')) as { starts: StartRecord[] };
      if (starts.every(isStartRecord)) return starts;
    } catch {
      // Falls through to the one answer for every kind of damage.
    }
    throw new DataDirectoryError(
      `${FILE_NAME} is damaged: remove that file, and the node learns anew what it holds of the other members`,
    );
  }

  /** Whether this node may vote, acknowledge and serve. */
  get isAdmitted(): boolean {
    return this.#isAdmitted;
  }

  /** Resolves when this node may serve. Throws `noLeader` or `notReady` when it may not by the deadline. */
  async admitted(deadlineMs: number): Promise<void> {
    const waitMs = deadlineMs - this.#clock.monotonicMs();
    if (!(await this.#changes.until(() => this.#isAdmitted, waitMs))) throw this.#notAdmitted();
  }

  /**
   * Makes the error of a node that may not serve. As far as a node that reaches no quorum knows, its cluster cannot
   * have a leader.
   */
  #notAdmitted(): ApiError {
    const peers = [...this.#peers.ids];
    const members = peers.length + 1;
    const answering = 1 + peers.filter((id) => this.#peers.isConnected(id)).length;
    if (answering > members / 2) return errors.notReady();
    return errors.noLeader('', answersOf(answering, members));
  }

  /**
   * Whether a frame comes from the start of its sender that takes part, as this node keeps it durably; then notes the
   * frame's position. The first frame of a start that says that it takes part does not count yet: that is stored first.
   */
  observe({ from, boot, position, isAdmitted }: FrameHeader): boolean {
    const known = this.#known.get(from);
    if (known?.tookPart?.boot === boot) {
      if (position > known.tookPart.position) {
        known.tookPart.position = position;
        this.#isDirty = true;
      }
      return !this.#unstored.has(boot);
    }
    if (!isAdmitted || known?.introduced?.boot !== boot) return false;
    known.tookPart = { ...known.introduced, position };
    known.introduced = undefined;
    this.#unstored.add(boot);
    this.#isDirty = true;
    this.#run(this.#store());
    return false;
  }

  /** Says why a sender's boot is not the one that this node keeps of it; undefined when it is. */
  checkBoot(from: NodeId, boot: string): string | undefined {
    const isKept = this.#known.get(from)?.tookPart?.boot === boot && !this.#unstored.has(boot);
    return isKept ? undefined : 'this start of it has not introduced itself';
  }

  /**
   * Called when the connection to `peer` is up: asks it anew until it answers, even if it kept this start. It may have
   * started since from a directory that does not hold this start, and counts nothing of this node until it answers. Its
   * answer also holds what it knows about the others.
   */
  connected(peer: NodeId): void {
    this.#admittedBy.delete(peer);
    if (this.#identity.clusterId !== undefined) this.#introduce(peer, undefined);
  }

  /** Called at every tick: asks the members that have not answered, and stores positions that moved. */
  tick(): void {
    if (this.#identity.clusterId === undefined) return;
    if (!this.#isAdmitted) {
      for (const id of this.#peers.ids) if (!this.#admittedBy.has(id)) this.#introduce(id, undefined);
      this.#admitIfPossible();
    }
    const nowMs = this.#clock.monotonicMs();
    if (!this.#isDirty || nowMs - this.#storedMs < STORE_INTERVAL_MS) return;
    this.#storedMs = nowMs;
    this.#run(this.#store());
  }

  /**
   * Called a few times a second: lets a member that was out of reach keep this start too, as soon as it can be asked.
   */
  housekeep(): void {
    if (!this.#isAdmitted || this.#identity.clusterId === undefined) return;
    for (const id of this.#peers.ids) {
      if (!this.#admittedBy.has(id) && this.#peers.isConnected(id)) this.#introduce(id, undefined);
    }
  }

  /**
   * Called when a member introduces itself: keeps its start once the member has compared its directory with this node's
   * record of it.
   */
  onIntroduce({ from, boot, position }: FrameHeader, { number, judged }: Introduce): void {
    const known = this.#knownOf(from);
    const { tookPart, introduced } = known;
    if (tookPart?.boot !== boot && introduced?.boot !== boot) {
      const newest = newestOf(from, known);
      const isJudged =
        newest === undefined ||
        (judged !== undefined &&
          judged.boot === newest.boot &&
          judged.number === newest.number &&
          judged.tookPart === newest.tookPart &&
          (!newest.tookPart || judged.position >= newest.position));
      if (isJudged && number > (tookPart?.number ?? 0)) {
        known.introduced = { number, boot, position };
        this.#isDirty = true;
      } else if (tookPart !== undefined && number <= tookPart.number) {
        this.#warn(from, number, tookPart.number);
      }
    }
    this.#run(this.#answer(from));
  }

  /** Called with what a member knows about the starts of this node and of the others. */
  onRecords(from: NodeId, records: readonly StartRecord[]): void {
    const { nodeId } = this.#identity;
    for (const record of records) if (record.member !== nodeId && record.tookPart) this.#merge(record);
    const own = records.filter(({ member }) => member === nodeId);
    for (const record of own) {
      const lost = this.#identity.lacks(record);
      if (lost === undefined) continue;
      if (!record.tookPart) {
        this.#needsAll = true;
        continue;
      }
      this.#onRefused(
        new DataDirectoryError(
          `the data directory of node ${nodeId} was put back to an earlier state: node ${from} knows ${lost}. What this node acknowledged since then is missing, so it could vote twice and lose writes. Bring its newest data directory back; an older copy and an empty one are refused. If the newest is lost, leave this node stopped, and take a backup of the others`,
          'putBack',
        ),
      );
      return;
    }
    const newest = own.at(-1);
    if (newest === undefined) return;
    if (newest.boot !== this.#identity.boot) {
      this.#admittedBy.delete(from);
      this.#introduce(from, newest);
      return;
    }
    this.#admittedBy.add(from);
    this.#admitIfPossible();
  }

  /** Takes in a start in which another member took part and which this node may not have seen. */
  #merge({ member, number, boot, position }: StartRecord): void {
    const known = this.#knownOf(member);
    const { tookPart, introduced } = known;
    if (tookPart !== undefined && tookPart.number === number && tookPart.boot !== boot) {
      this.#warn(member, number, tookPart.number);
      return;
    }
    const isNews =
      tookPart === undefined ||
      number > tookPart.number ||
      (number === tookPart.number && position > tookPart.position);
    if (!isNews) return;
    known.tookPart = { number, boot, position };
    if (tookPart?.boot !== boot) this.#unstored.add(boot);
    // A start that is no newer than one that took part can never take part.
    if (introduced !== undefined && introduced.number <= number) known.introduced = undefined;
    this.#isDirty = true;
  }

  #warn(member: NodeId, number: number, known: number): void {
    const key = `${member} ${number}`;
    if (this.#warned.has(key) || this.#warned.size >= 1000) return;
    this.#warned.add(key);
    this.#log(nodeEvents.memberStartRefused, {
      peer: member,
      start: number,
      knownStart: known,
    });
  }

  #admitIfPossible(): void {
    if (this.#isAdmitted) return;
    const members = [...this.#peers.ids].length + 1;
    const holders = this.#admittedBy.size + 1;
    // A member beyond the quorum may know what the quorum does not, so it is waited for, but not for long.
    const isPatienceOver = this.#clock.monotonicMs() - this.#startedMs >= this.#patienceMs;
    const isQuorumEnough = isPatienceOver && !this.#needsAll;
    if (holders < members && !(isQuorumEnough && holders > members / 2)) return;
    this.#isAdmitted = true;
    this.#changes.notify();
    this.#onAdmitted();
  }

  #introduce(to: NodeId, judged: StartRecord | undefined): void {
    this.#peers.frameTo(to).introduce({ number: this.#identity.startNumber, judged });
    this.#peers.flush();
  }

  /**
   * Answers a member once the content of the answer is durable, so that a crash forgets nothing on which somebody
   * relies (T4).
   */
  async #answer(to: NodeId): Promise<void> {
    if (this.#isDirty && !(await this.#store())) return;
    if (!(await this.#stored)) return;
    this.#peers.frameTo(to).records(this.#records());
    this.#peers.flush();
  }

  /** Gives, for each member, the start that took part and then the one that introduced itself since. */
  #records(): StartRecord[] {
    return [...this.#known].flatMap(([member, { tookPart, introduced }]) => [
      ...(tookPart === undefined ? [] : [{ member, ...tookPart, tookPart: true }]),
      ...(introduced === undefined ? [] : [{ member, ...introduced, tookPart: false }]),
    ]);
  }

  #knownOf(member: NodeId): Known {
    let known = this.#known.get(member);
    if (known === undefined) {
      known = { tookPart: undefined, introduced: undefined };
      this.#known.set(member, known);
    }
    return known;
  }

  /**
   * Stores the starts, and confirms all that it stores, whoever asked for it. Resolves to false when there is no room
   * (D6); then the member asks again.
   */
  #store(): Promise<boolean> {
    this.#isDirty = false;
    const confirmed = [...this.#unstored];
    const content = Buffer.from(`${JSON.stringify({ starts: this.#records() }, null, 2)}\n`);
    this.#stored = this.#stored.then(async () => {
      try {
        await this.#files.replace(FILE_NAME, content);
        for (const boot of confirmed) this.#unstored.delete(boot);
        return true;
      } catch (error) {
        if (!isStoreFull(error)) throw error;
        this.#isDirty = true;
        return false;
      }
    });
    return this.#stored;
  }
}

function newestOf(member: NodeId, { tookPart, introduced }: Known): StartRecord | undefined {
  if (introduced !== undefined) return { member, ...introduced, tookPart: false };
  return tookPart && { member, ...tookPart, tookPart: true };
}

function isStartRecord({ member, number, boot, position, tookPart }: StartRecord): boolean {
  const isWhole = [member, number, position].every(Number.isSafeInteger) && typeof tookPart === 'boolean';
  return isWhole && /^[0-9a-f]{16}$/.test(boot);
}
