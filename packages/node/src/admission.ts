import type { NodeId } from '@coxswain/raft';
import type { Clock, Log, SmallFiles } from './environment.js';
import { errors } from './errors.js';
import type { FrameHeader, Introduce, StartRecord } from './frame.js';
import { DataDirectoryError, type Identity } from './identity.js';
import type { Peers } from './peers.js';
import { Waiters } from './waiters.js';

const FILE_NAME = 'peers.json';
/** Positions that moved are stored this often at most: each costs a small file and two syncs. */
const STORE_INTERVAL_MS = 1000;

interface Known {
  number: number;
  boot: string;
  /** The furthest durable position of its log that it showed in that start. */
  position: number;
}

/**
 * Lets a data directory take part only if it holds everything that its members have seen of it (T4). Each start of a
 * node has a number and a boot, and its members keep both, with how far the node's log was durable. A node that starts
 * introduces itself: each member answers with what it knows, and the node compares that with the starts that its
 * directory holds. What it lacks, it lost: the directory was rolled back, and the node ends. It does nothing but
 * introduce itself until a quorum keeps its new start durably. DESIGN.md ("A disk that was rolled back") says what that
 * proves and what it cannot.
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
  /** The members that keep this start durably. */
  readonly #admittedBy = new Set<NodeId>();
  readonly #changes: Waiters;
  readonly #startedMs: number;
  /** What peers claim is logged once for each. */
  readonly #warned = new Set<string>();
  #isAdmitted = false;
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
    this.#known = new Map(
      options.records.map(({ member, number, boot, position }) => [member, { number, boot, position }]),
    );
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

  /** Resolves when this node may serve. Throws `notReady` when that is not before the deadline. */
  async admitted(deadlineMs: number): Promise<void> {
    const waitMs = deadlineMs - this.#clock.monotonicMs();
    if (!(await this.#changes.until(() => this.#isAdmitted, waitMs))) throw errors.notReady();
  }

  /** Whether a frame comes from the start of its sender that this node keeps; then its position is noted. */
  observe({ from, boot, position }: FrameHeader): boolean {
    const known = this.#known.get(from);
    if (known?.boot !== boot) return false;
    if (position > known.position) {
      known.position = position;
      this.#isDirty = true;
    }
    return true;
  }

  /** Why a sender's boot is not the one that this node keeps of it, or undefined. */
  checkBoot(from: NodeId, boot: string): string | undefined {
    return this.#known.get(from)?.boot === boot ? undefined : 'this start of it has not introduced itself';
  }

  /** Also to a member that keeps this start: its answer holds what it knows of the others. */
  connected(peer: NodeId): void {
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

  /** A member introduces itself: its start is kept once it has compared its directory with what is known here. */
  onIntroduce({ from, boot, position }: FrameHeader, { number, judged }: Introduce): void {
    const known = this.#known.get(from);
    if (known?.boot !== boot) {
      const isJudged =
        known === undefined ||
        (judged !== undefined &&
          judged.boot === known.boot &&
          judged.number === known.number &&
          judged.position >= known.position);
      if (isJudged && number > (known?.number ?? 0)) {
        this.#known.set(from, { number, boot, position });
        this.#isDirty = true;
      } else if (known !== undefined && number <= known.number) {
        this.#warn(from, number, known.number);
      }
    }
    this.#run(this.#answer(from));
  }

  /** What a member knows of this node's starts, and of the others'. */
  onRecords(from: NodeId, records: readonly StartRecord[]): void {
    const { nodeId } = this.#identity;
    for (const record of records) if (record.member !== nodeId) this.#merge(record);
    const own = records.find(({ member }) => member === nodeId);
    if (own === undefined) return;
    const lost = this.#identity.lacks(own);
    if (lost !== undefined) {
      this.#onRefused(
        new DataDirectoryError(
          `the data directory of node ${nodeId} was put back to an earlier state: node ${from} knows ${lost}. What this node acknowledged since then is missing, so it could vote twice and lose writes. Bring its newest data directory back; an older copy and an empty one are refused. If the newest is lost, leave this node stopped, and take a backup of the others`,
        ),
      );
      return;
    }
    if (own.boot !== this.#identity.boot) {
      this.#introduce(from, own);
      return;
    }
    this.#admittedBy.add(from);
    this.#admitIfPossible();
  }

  /** Another member was asked by starts that this node has not seen. */
  #merge({ member, number, boot, position }: StartRecord): void {
    const known = this.#known.get(member);
    if (known !== undefined && known.number === number && known.boot !== boot) {
      this.#warn(member, number, known.number);
      return;
    }
    const isNews =
      known === undefined || number > known.number || (number === known.number && position > known.position);
    if (!isNews) return;
    this.#known.set(member, { number, boot, position });
    this.#isDirty = true;
  }

  #warn(member: NodeId, number: number, known: number): void {
    const key = `${member} ${number}`;
    if (this.#warned.has(key) || this.#warned.size >= 1000) return;
    this.#warned.add(key);
    this.#log('warn', 'a member was started from an older copy of its data directory, or twice: refused', {
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
    if (holders < members && !(isPatienceOver && holders > members / 2)) return;
    this.#isAdmitted = true;
    this.#changes.notify();
    this.#onAdmitted();
  }

  #introduce(to: NodeId, judged: StartRecord | undefined): void {
    this.#peers.frameTo(to).introduce({ number: this.#identity.startNumber, judged });
    this.#peers.flush();
  }

  /** T4: what is answered is durable, so that a crash forgets nothing that somebody relies on. */
  async #answer(to: NodeId): Promise<void> {
    if (this.#isDirty && !(await this.#store())) return;
    if (!(await this.#stored)) return;
    const records = [...this.#known].map(([member, known]) => ({ member, ...known }));
    this.#peers.frameTo(to).records(records);
    this.#peers.flush();
  }

  /** False when there is no room (D6): whoever asked asks again. */
  #store(): Promise<boolean> {
    this.#isDirty = false;
    const starts = [...this.#known].map(([member, known]) => ({ member, ...known }));
    const content = Buffer.from(`${JSON.stringify({ starts }, null, 2)}\n`);
    this.#stored = this.#stored.then(async () => {
      try {
        await this.#files.replace(FILE_NAME, content);
        return true;
      } catch (error) {
        if ((error as { code?: unknown }).code !== 'ENOSPC') throw error;
        this.#isDirty = true;
        return false;
      }
    });
    return this.#stored;
  }
}

function isStartRecord({ member, number, boot, position }: StartRecord): boolean {
  return [member, number, position].every(Number.isSafeInteger) && /^[0-9a-f]{16}$/.test(boot);
}
