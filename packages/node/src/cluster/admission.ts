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
/** Positions that moved are stored this often at most: each costs a small file and two syncs. */
const STORE_INTERVAL_MS = 1000;

interface Start {
  readonly number: number;
  readonly boot: string;
  /** The furthest durable position of its log that it showed in that start. */
  position: number;
}

/** The start of a member that this node keeps. */
interface Known {
  /** The newest of its starts that took part, as far as is known here. */
  tookPart: Start | undefined;
  /** A start that introduced itself since, and of which nothing was counted here. */
  introduced: Start | undefined;
}

/**
 * Lets a data directory take part only if it holds everything that its members have seen of it (T4). Each start of a
 * node has a number and a boot, and its members keep both, with how far the node's log was durable. A node that starts
 * introduces itself: each member answers with what it knows, and the node compares that with the starts that its
 * directory holds. What it lacks, it lost: the directory was rolled back, and the node ends. It does nothing but
 * introduce itself until a quorum keeps its new start durably. A copy that was refused leaves nothing that would shut the
 * newest directory out: a start that never took part is replaced, with the consent of every member. DESIGN.md, "A disk
 * that was rolled back" says what that proves and what it cannot.
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
  /** The members that keep this start durably, by their last answer. */
  readonly #admittedBy = new Set<NodeId>();
  readonly #changes: Waiters;
  readonly #startedMs: number;
  /** Boots that took part, which is not stored yet. */
  readonly #unstored = new Set<string>();
  /** What peers claim is logged once for each. */
  readonly #warned = new Set<string>();
  #isAdmitted = false;
  /** A member kept a start that this directory does not hold and that never took part: a quorum is not enough. */
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
    /** How long a quorum waits for what the other members say. */
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
    // Nobody else can know anything of the only member.
    this.#isAdmitted = [...options.peers.ids].length === 0;
  }

  /** Reads what this node keeps of the others' starts. Throws DataDirectoryError when it is damaged. */
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

  /** This node may vote, acknowledge and serve. */
  get isAdmitted(): boolean {
    return this.#isAdmitted;
  }

  /** Resolves when this node may serve. Throws `noLeader` and `notReady` when that is not before the deadline. */
  async admitted(deadlineMs: number): Promise<void> {
    const waitMs = deadlineMs - this.#clock.monotonicMs();
    if (!(await this.#changes.until(() => this.#isAdmitted, waitMs))) throw this.#notAdmitted();
  }

  /** A node that reaches no quorum is in no cluster that could have a leader, as far as it knows. */
  #notAdmitted(): ApiError {
    const peers = [...this.#peers.ids];
    const members = peers.length + 1;
    const answering = 1 + peers.filter((id) => this.#peers.isConnected(id)).length;
    if (answering > members / 2) return errors.notReady();
    return errors.noLeader('', answersOf(answering, members));
  }

  /**
   * Whether a frame comes from the start of its sender that takes part, as this node keeps durably; then its position is
   * noted. The first frame of a start that says so is not counted yet: it is stored first.
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

  /** Why a sender's boot is not the one that this node keeps of it, or undefined. */
  checkBoot(from: NodeId, boot: string): string | undefined {
    const isKept = this.#known.get(from)?.tookPart?.boot === boot && !this.#unstored.has(boot);
    return isKept ? undefined : 'this start of it has not introduced itself';
  }

  /**
   * Also a member that kept this start is asked anew, until it answers: it may have started since from a directory that
   * does not hold this start, and counts nothing of it until then. Its answer holds what it knows of the others, too.
   */
  connected(peer: NodeId): void {
    this.#admittedBy.delete(peer);
    if (this.#identity.clusterId !== undefined) this.#introduce(peer, undefined);
  }

  /** Called at every tick: asks those that have not answered, and stores positions that moved. */
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

  /** Called a few times a second: a member that was out of reach keeps this start too, as soon as it can be asked. */
  housekeep(): void {
    if (!this.#isAdmitted || this.#identity.clusterId === undefined) return;
    for (const id of this.#peers.ids) {
      if (!this.#admittedBy.has(id) && this.#peers.isConnected(id)) this.#introduce(id, undefined);
    }
  }

  /** A member introduces itself: its start is kept once it has compared its directory with this node's record of it. */
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

  /** What a member knows of this node's starts, and of the others'. */
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

  /** Another member took part in starts that this node has not seen. */
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
    // One that is no newer than a start that took part never can.
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
    // One that a quorum does without may know what the quorum does not: it is waited for, but not for long.
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

  /** T4: an answer leaves when its content is durable, so that a crash forgets nothing that somebody relies on. */
  async #answer(to: NodeId): Promise<void> {
    if (this.#isDirty && !(await this.#store())) return;
    if (!(await this.#stored)) return;
    this.#peers.frameTo(to).records(this.#records());
    this.#peers.flush();
  }

  /** Of each member the start that took part, then the one that introduced itself since. */
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

  /** Confirms what it stores, whoever asked for it. False when there is no room (D6): whoever asked asks again. */
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
