import {
  ApiError,
  defaultNodeOptions,
  type Environment,
  Node,
  type NodeOptions,
  type PeerHandler,
  type Replica,
  type SmallFiles,
  Status,
  WOLF_SHARD,
} from '@coxswain/node';
import { mvcc } from '@coxswain/protocol';
import type { NodeId } from '@coxswain/raft';
import {
  EventKind,
  EventLoop,
  Inspections,
  Invariants,
  loseBatch,
  Machine,
  readAll,
  SeededRandom,
  SimulatedNetwork,
  SimulatedProcess,
  Trace,
  WolfNetwork,
  wholeRange,
} from '@coxswain/simulator';
import { type OrderedStore, type StoreDirectory, Table } from '@coxswain/table';
import type { WalDisk, WalFile } from '@coxswain/wal';

/** The table that every world has. */
export const TABLE = 'main';
/** A wait ends in an error after this much virtual time. */
const PATIENCE_US = 60_000_000;

/** Quick and steady: a scenario brings its own faults. */
const network = {
  delayMinUs: 100,
  delayMeanUs: 100,
  detectMeanUs: 1_000,
  redialMeanUs: 20_000,
  silenceUs: 400_000,
  breakWhenBlockedProbability: 0,
  backlogBytesMax: 64 * 1024 * 1024,
  dropProbability: 0,
  duplicateProbability: 0,
  reorderProbability: 0,
  bulkBreakProbability: 0,
};
const machine = {
  disk: { writeMeanUs: 20, syncMeanUs: 200, slowSyncProbability: 0, slowSyncUs: 0 },
  stores: { writeMeanUs: 30, flushMeanUs: 500, scanMeanUs: 30, awakeMax: 1_000 },
  clockDriftMax: 0,
  clockOffsetMsMax: 0,
};

/** What a machine is about to make durable, as `wal sync`, `store rename shard-10001.incoming`, `file replace node.json`. */
export type Step = string;

/** Comes before a step: may delay it, refuse it, kill the node, or have it done in appearance only (D4). */
export type BeforeStep = (step: Step) => Promise<void> | undefined | 'lost';

const justDoIt: BeforeStep = () => undefined;

export interface WorldOptions {
  readonly nodes?: number;
  readonly seed?: number;
  readonly options?: Partial<NodeOptions>;
  /** Each node is a cluster of its own, and what they share is the table, over wolf.raft. */
  readonly areApart?: boolean;
}

/** One machine, and the node that runs on it now. */
class Host {
  process: SimulatedProcess | undefined;
  node: Node | undefined;
  isServing = false;
  /** Why the node ended by itself. */
  end: unknown;
  isEndExpected = false;
  before = justDoIt;
  /** False: the frame is lost. */
  carries: (to: NodeId, frame: Buffer) => boolean = () => true;
  handler: PeerHandler | undefined;
  readonly log: string[] = [];
  constructor(readonly machine: Machine) {}
}

/**
 * A small cluster of real nodes on simulated machines, for scenarios told step by step. Every check of the
 * simulator's invariants runs after every event here too.
 */
export class World {
  readonly loop = new EventLoop(new Trace());
  readonly network: SimulatedNetwork;
  readonly ids: readonly NodeId[];
  /** Hears of each call of wolf.raft that a node makes. */
  onCall: (from: NodeId, path: string, request: Buffer) => void = () => undefined;
  readonly #options: Partial<NodeOptions>;
  readonly #areApart: boolean;
  readonly #random: SeededRandom;
  readonly #hosts = new Map<NodeId, Host>();
  readonly #invariants = new Invariants();
  readonly #inspections = new Inspections();
  #lives = 0;

  constructor({ nodes = 3, seed = 1, options = {}, areApart = false }: WorldOptions = {}) {
    this.#areApart = areApart;
    this.#random = new SeededRandom(seed);
    this.#options = options;
    this.network = new SimulatedNetwork(this.loop, this.#random.fork('network'), network);
    this.ids = Array.from({ length: nodes }, (_, i) => i + 1);
    for (const id of this.ids) this.replaceMachine(id);
    this.network.wolf.onVote = (id, term, candidate) =>
      this.#invariants.voted(id, WOLF_SHARD, term, candidate);
  }

  /** A cluster that has formed, and whose table every node serves. */
  static async formed(options: WorldOptions = {}): Promise<World> {
    const world = new World(options);
    for (const id of world.ids) world.start(id);
    await world.until('every node is ready', () => world.ids.every((id) => world.isReady(id)));
    await world.until('every group has a leader that all know', () =>
      [...world.node(1).inspect().groups].every(({ group }) => world.leader(group) !== undefined),
    );
    return world;
  }

  /** An empty machine in place of the one that was: its disks are gone (T4). */
  replaceMachine(id: NodeId): void {
    // A group over wolf.raft takes it back, and goes by what it had until it has caught up.
    if (this.#areApart) this.#invariants.diskLost(id);
    const random = this.#random.fork(`machine ${id}`);
    this.#hosts.set(id, new Host(new Machine(id, this.loop, this.network, random, machine)));
  }

  // ---- life and death

  start(id: NodeId, options: Partial<NodeOptions> = {}): void {
    const host = this.#host(id);
    if (host.process !== undefined) throw new Error(`node ${id} runs already`);
    const process = new SimulatedProcess(this.loop, ++this.#lives);
    host.process = process;
    host.end = undefined;
    host.isEndExpected = false;
    const ended = (error: unknown) => {
      if (!process.isAlive) return;
      host.end = error;
      this.#die(host);
      host.machine.processDied();
    };
    const environment = this.#environment(host, process, ended);
    const run = async () => {
      const node = await Node.open(this.nodeOptions(id, options), environment);
      host.node = node;
      host.machine.serveWolf(process, node.wolf);
      await node.start();
      host.isServing = true;
    };
    // In an event of its own, so that the steps of several starts come in turn.
    this.loop.schedule(0, EventKind.Fault, process, () => {
      run().catch(ended);
    });
  }

  nodeOptions(id: NodeId, more: Partial<NodeOptions> = {}): NodeOptions {
    return {
      ...defaultNodeOptions,
      initialMembers: new Map(this.ids.map((member) => [member, `node-${member}:5012`])),
      clientUrls: [],
      version: '0.0.0',
      nodeId: id,
      nodeName: `node-${id}`,
      walSegmentSizeBytes: 256 * 1024,
      initialTables: [TABLE],
      ...(this.#areApart && {
        initialMembers: new Map([[id, `node-${id}:5012`]]),
        initialTables: [],
        wolf: {
          table: TABLE,
          id: id - 1,
          members: new Map(this.ids.map((member) => [member - 1, WolfNetwork.address(member)])),
        },
      }),
      ...this.#options,
      ...more,
    };
  }

  /** SIGKILL: what was written stays, synced or not. */
  kill(id: NodeId): void {
    const host = this.#host(id);
    this.#die(host);
    host.machine.processDied();
  }

  /** The store of a group, on a node that is down, loses one of its last batches and keeps the last one (D4). */
  loseBatch(id: NodeId, group: number): void {
    const { stores } = this.#host(id).machine;
    const copy = stores.copy();
    loseBatch(copy, `shard-${group}`);
    stores.putBack(copy);
  }

  /** Power fails: what was not synced may be gone. */
  losePower(id: NodeId): void {
    const host = this.#host(id);
    this.#die(host);
    host.machine.losePower();
  }

  #die(host: Host): void {
    host.process?.kill();
    host.process = undefined;
    host.node = undefined;
    host.isServing = false;
    host.before = justDoIt;
    host.carries = () => true;
    this.#invariants.nodeDied(host.machine.node);
  }

  restart(id: NodeId): void {
    this.kill(id);
    this.start(id);
  }

  pause(id: NodeId): void {
    this.#host(id).process?.pause();
  }

  resume(id: NodeId): void {
    this.#host(id).process?.resume();
  }

  /** SIGTERM. */
  async stop(id: NodeId): Promise<void> {
    await this.settled(this.node(id).stop());
    this.kill(id);
  }

  /** The node that runs now is to give up by itself. */
  expectEnd(id: NodeId): void {
    this.#host(id).isEndExpected = true;
  }

  /** Waits until the node gives up by itself, and tells why. */
  async endOf(id: NodeId): Promise<Error> {
    const host = this.#host(id);
    this.expectEnd(id);
    await this.until(`node ${id} ends`, () => host.end !== undefined);
    if (!(host.end instanceof Error))
      throw new Error(`node ${id} ended without an error: ${String(host.end)}`);
    return host.end;
  }

  // ---- looking

  isUp(id: NodeId): boolean {
    return this.#host(id).process !== undefined;
  }

  isServing(id: NodeId): boolean {
    return this.#host(id).isServing;
  }

  isReady(id: NodeId): boolean {
    const { node, isServing } = this.#host(id);
    return isServing && node!.reports.readiness().isReady;
  }

  node(id: NodeId): Node {
    const { node } = this.#host(id);
    if (node === undefined) throw new Error(`node ${id} is not open`);
    return node;
  }

  machine(id: NodeId): Machine {
    return this.#host(id).machine;
  }

  /** Returns a line for each event of the node: its severity, its code, and its fields as JSON. */
  log(id: NodeId): readonly string[] {
    return this.#host(id).log;
  }

  replica(id: NodeId, group = this.shard()): Replica {
    for (const replica of this.node(id).inspect().groups) if (replica.group === group) return replica;
    throw new Error(`node ${id} has no replica of ${group}`);
  }

  hasReplica(id: NodeId, group: number): boolean {
    return [...this.node(id).inspect().groups].some((replica) => replica.group === group);
  }

  /** The first table's shard. */
  shard(): number {
    return 10_001;
  }

  /** The node that leads a group and is known to all others that are up, if there is one. */
  leader(group = this.shard()): NodeId | undefined {
    const up = this.ids.filter((id) => this.#host(id).isServing && this.hasReplica(id, group));
    const known = new Set(up.map((id) => this.replica(id, group).raft.leader));
    const [leader] = known;
    if (known.size !== 1 || leader === undefined || leader === 0 || !up.includes(leader)) return undefined;
    return this.replica(leader, group).isLeader ? leader : undefined;
  }

  /** The leader of a group, of the first table's by default, and the other nodes. */
  async roles(group = this.shard()): Promise<[leader: NodeId, follower: NodeId, other: NodeId]> {
    await this.until('a leader that all know', () => this.leader(group) !== undefined);
    const leader = this.leader(group)!;
    const [follower, other] = this.ids.filter((id) => id !== leader);
    return [leader, follower!, other!];
  }

  /** Every replica of the group has applied the same, and holds the same. */
  isEqual(group = this.shard()): boolean {
    const states = this.ids.map((id) => {
      if (!this.#host(id).isServing || !this.hasReplica(id, group)) return undefined;
      const { raft, ...status } = { raft: this.replica(id, group).raft, ...this.replica(id, group).status() };
      if (status.appliedIndex !== raft.lastIndex || status.contentHash === '') return undefined;
      return `${status.appliedIndex} ${status.contentHash}`;
    });
    return states[0] !== undefined && states.every((state) => state === states[0]);
  }

  async equal(group = this.shard()): Promise<void> {
    await this.until(`the replicas of ${group} are equal`, () => this.isEqual(group));
  }

  // ---- acting

  /** Sees every step by which the machine makes something durable, until the node dies. */
  beforeSteps(id: NodeId, before: BeforeStep): void {
    this.#host(id).before = before;
  }

  /** Holds every step of this kind until the gate is opened or the node dies. */
  gate(id: NodeId, holds: (step: Step) => boolean): Gate {
    const gate = new Gate();
    this.beforeSteps(id, (step) => (holds(step) ? gate.pass() : undefined));
    return gate;
  }

  /** Power fails instead of the `at`-th step; tells whether there were so many. */
  crashBefore(id: NodeId, at: number): () => boolean {
    let count = 0;
    let hasCrashed = false;
    this.beforeSteps(id, () => {
      if (++count < at) return undefined;
      // In an event of its own, so that what this one has done until now is seen and checked.
      if (count === at) {
        this.loop.schedule(0, EventKind.Fault, undefined, () => {
          this.losePower(id);
          hasCrashed = true;
        });
      }
      return new Promise(() => undefined);
    });
    return () => hasCrashed;
  }

  /** Loses the frames to a peer that `isLost` says, until the node dies. */
  loseFrames(id: NodeId, isLost: (to: NodeId, frame: Buffer) => boolean): void {
    this.#host(id).carries = (to, frame) => !isLost(to, frame);
  }

  /** A frame arrives at the node from nowhere: one that was delayed, repeated, or is a stranger's. */
  deliver(id: NodeId, frame: Buffer): void {
    this.#host(id).handler!.onFrame(frame);
  }

  /** Someone tampers with the files of a machine that does not run. */
  async tamper(
    id: NodeId,
    act: (files: { stores: StoreDirectory; walDisk: WalDisk; files: SmallFiles }) => Promise<void>,
  ): Promise<void> {
    const { machine } = this.#host(id);
    const process = new SimulatedProcess(this.loop, ++this.#lives);
    await this.settled(
      act({
        stores: machine.stores.attach(process),
        walDisk: machine.walDisk.attach(process),
        files: machine.files.attach(process),
      }),
    );
    process.kill();
  }

  isolate(id: NodeId): void {
    for (const other of this.ids) {
      if (other === id) continue;
      this.network.block(id, other);
      this.network.block(other, id);
    }
  }

  deadlineMs(id: NodeId, timeoutMs = 5_000): { deadlineMs: number } {
    return { deadlineMs: this.machine(id).clock.monotonicMs + timeoutMs };
  }

  /** Sends a put; what becomes of it is in the outcome once it is known. */
  put(id: NodeId, key: string, value: string | Buffer, more: { table?: string; timeoutMs?: number } = {}) {
    const command = mvcc.Command.fromPartial({
      type: mvcc.Command_CommandType.PUT,
      kv: { key: Buffer.from(key), value: Buffer.from(value) },
    });
    return this.propose(id, command, more);
  }

  propose(id: NodeId, command: mvcc.Command, { table = TABLE, timeoutMs = 5_000 } = {}) {
    return new Outcome(this.node(id).kv.propose(table, command, this.deadlineMs(id, timeoutMs)));
  }

  /** Reads a key. */
  get(id: NodeId, key: string, { table = TABLE, linearizable = true, timeoutMs = 5_000 } = {}) {
    const read = async () => {
      const readable = await this.node(id).kv.read(table, { linearizable }, this.deadlineMs(id, timeoutMs));
      const { record } = readable.table.get(Buffer.from(key));
      return (
        record && { value: record.value.toString(), version: record.version, revision: record.modRevision }
      );
    };
    return new Outcome(read());
  }

  /** A write that must succeed; gives its revision. */
  async write(id: NodeId, key: string, value: string | Buffer, table = TABLE): Promise<number> {
    const { result } = await this.answer(this.put(id, key, value, { table }));
    return result.revision;
  }

  /** A linearizable read that must succeed. */
  async value(id: NodeId, key: string, table = TABLE): Promise<string | undefined> {
    return (await this.answer(this.get(id, key, { table })))?.value;
  }

  /** All that a replica holds, key by key. */
  async contents(id: NodeId, table = TABLE): Promise<string[]> {
    const read = async () => {
      const readable = await this.node(id).kv.read(table, { linearizable: false }, this.deadlineMs(id));
      const { records } = await readAll(readable.table, wholeRange, (revision) => readable.header(revision));
      return records.map(({ key, value, version }) => `${key}=${value}/${version}`);
    };
    return await this.settled(read());
  }

  create(id: NodeId, name: string, timeoutMs = 5_000) {
    return new Outcome(this.node(id).tables.create(name, undefined, this.deadlineMs(id, timeoutMs)));
  }

  delete(id: NodeId, name: string, timeoutMs = 5_000) {
    return new Outcome(this.node(id).tables.delete(name, this.deadlineMs(id, timeoutMs)));
  }

  // ---- waiting

  async answer<T>(outcome: Outcome<T>): Promise<T> {
    await this.until('an answer', () => outcome.isSettled);
    return outcome.value;
  }

  /** How a request ended: `ok`, or the status of its error. */
  async fate(outcome: Outcome<unknown>): Promise<string> {
    await this.until('an answer', () => outcome.isSettled);
    return outcome.fate;
  }

  settled<T>(promise: Promise<T>): Promise<T> {
    return this.answer(new Outcome(promise));
  }

  async sleep(durationMs: number): Promise<void> {
    const endUs = this.loop.nowUs + durationMs * 1000;
    this.loop.schedule(durationMs * 1000, EventKind.Client, undefined, () => undefined);
    await this.until('time passes', () => this.loop.nowUs >= endUs);
  }

  async until(what: string, isReached: () => boolean): Promise<void> {
    const endUs = this.loop.nowUs + PATIENCE_US;
    const isDone = await this.loop.run(() => {
      this.#observe();
      if (isReached()) return true;
      if (this.loop.nowUs > endUs) throw new Error(`not within ${PATIENCE_US / 1e6} s: ${what}`);
      return false;
    });
    if (!isDone) throw new Error(`nothing happens any more: ${what}`);
  }

  #observe(): void {
    const owner = this.loop.lastOwner;
    for (const [id, { process, node, end, isEndExpected }] of this.#hosts) {
      if (end !== undefined && !isEndExpected) {
        throw new Error(`node ${id} ended by itself: ${describe(end)}`, { cause: end });
      }
      if (process !== undefined && process === owner && node !== undefined) {
        const groups = this.#inspections.of(node.inspect().groups);
        this.#invariants.observe(
          id,
          this.#areApart ? groups.filter(({ group }) => group === WOLF_SHARD) : groups,
        );
      }
    }
  }

  #environment(host: Host, process: SimulatedProcess, fatal: (error: unknown) => void): Environment {
    const environment = host.machine.environment(process, fatal);
    const take = async <T>(step: Step, act: () => Promise<T>): Promise<T> => {
      const fault = host.before(step);
      if (fault === 'lost') return undefined as T;
      await fault;
      // Nothing happens in the name of a process that was killed here.
      return process.isAlive ? act() : new Promise<T>(() => undefined);
    };
    const { files, transport, wolfLink } = environment;
    return {
      ...environment,
      ...(wolfLink && {
        wolfLink: {
          call: (address, path, request, timeoutMs) => {
            this.onCall(host.machine.node, path, request);
            return wolfLink.call(address, path, request, timeoutMs);
          },
          close: () => wolfLink.close(),
        },
      }),
      walDisk: hookedDisk(environment.walDisk, take),
      stores: hookedStores(environment.stores, take),
      files: {
        descriptors: () => files.descriptors(),
        read: (name) => files.read(name),
        replace: (name, content) => take(`file replace ${name}`, () => files.replace(name, content)),
      },
      transport: {
        start: (peers, handler) => {
          host.handler = handler;
          return transport.start(peers, handler);
        },
        send: (peer, frame) => (host.carries(peer, frame) ? transport.send(peer, frame) : false),
        openBulk: (peer, header) => transport.openBulk(peer, header),
        close: () => transport.close(),
      },
      log: (kind, fields) => {
        host.log.push(`${kind.severity} ${kind.code} ${JSON.stringify(fields ?? {})}`);
        environment.log(kind, fields);
      },
    };
  }

  #host(id: NodeId): Host {
    const host = this.#hosts.get(id);
    if (host === undefined) throw new RangeError(`no machine ${id}`);
    return host;
  }
}

/** Holds those who pass until it is opened. */
export class Gate {
  #isOpen = false;
  readonly #waiting: Array<() => void> = [];

  /** How many wait now. */
  get waiting(): number {
    return this.#isOpen ? 0 : this.#waiting.length;
  }

  pass(): Promise<void> {
    return new Promise((resolve) => {
      if (this.#isOpen) resolve();
      else this.#waiting.push(resolve);
    });
  }

  open(): void {
    this.#isOpen = true;
    for (const resolve of this.#waiting) resolve();
  }
}

/** What becomes of a request. */
export class Outcome<T> {
  #settled: { value: T } | { error: unknown } | undefined;
  /** Resolves when it is known, and never rejects. */
  readonly settled: Promise<void>;

  constructor(promise: Promise<T>) {
    this.settled = promise.then(
      (value) => {
        this.#settled = { value };
      },
      (error: unknown) => {
        this.#settled = { error };
      },
    );
  }

  get isSettled(): boolean {
    return this.#settled !== undefined;
  }

  get value(): T {
    if (this.#settled === undefined) throw new Error('there is no answer yet');
    if ('error' in this.#settled) throw this.#settled.error;
    return this.#settled.value;
  }

  get error(): unknown {
    return this.#settled !== undefined && 'error' in this.#settled ? this.#settled.error : undefined;
  }

  /** `ok`, the name of the status, or `pending`. */
  get fate(): string {
    if (this.#settled === undefined) return 'pending';
    if ('value' in this.#settled) return 'ok';
    const { error } = this.#settled;
    if (!(error instanceof ApiError)) throw error;
    return Status[error.status]!;
  }
}

type Take = <T>(step: Step, act: () => Promise<T>) => Promise<T>;

function hookedDisk(disk: WalDisk, take: Take): WalDisk {
  const hooked = (file: WalFile): WalFile => ({
    name: file.name,
    sizeBytes: file.sizeBytes,
    write: (buffers, offset) => {
      // The caller may reuse its buffers only once this settles, so they need no copy meanwhile.
      return take('wal write', () => file.write(buffers, offset));
    },
    sync: () => take('wal sync', () => file.sync()),
    readSync: (offset, lengthBytes, memory) => file.readSync(offset, lengthBytes, memory),
    close: () => file.close(),
  });
  return {
    list: () => disk.list(),
    create: (name, sizeBytes) =>
      take(`wal create ${name}`, async () => hooked(await disk.create(name, sizeBytes))),
    open: async (name) => hooked(await disk.open(name)),
    rename: (from, to) => take(`wal rename ${from}`, () => disk.rename(from, to)),
    remove: (name) => take(`wal remove ${name}`, () => disk.remove(name)),
  };
}

const takesOf = new WeakMap<StoreDirectory, Take>();

// A table applies entries in memory: what holds one up there is no business of its store.
const openTable = Table.open.bind(Table);
Table.open = async (options) => {
  const table = await openTable(options);
  const take = takesOf.get(options.directory);
  if (take === undefined) return table;
  const apply = table.apply.bind(table);
  let before: Promise<unknown> = Promise.resolve();
  table.apply = (entries) => {
    const begun = before.then(() => take(`apply ${options.name}`, async () => ({ results: apply(entries) })));
    before = begun;
    return begun.then(({ results }) => results);
  };
  return table;
};

function hookedStores(stores: StoreDirectory, take: Take): StoreDirectory {
  const hooked = (name: string, store: OrderedStore): OrderedStore => ({
    get isAwake() {
      return store.isAwake;
    },
    hold: () => store.hold(),
    release: () => store.release(),
    getSync: (key, snapshot) => store.getSync(key, snapshot),
    getMany: (keys, snapshot) => store.getMany(keys, snapshot),
    scan: (options) => store.scan(options),
    count: (range) => store.count(range),
    countParts: (range, partEntries) => store.countParts(range, partEntries),
    snapshot: () => store.snapshot(),
    turn: () => store.turn(),
    write: (operations) => take(`store write ${name}`, () => store.write(operations)),
    flush: () => take(`store flush ${name}`, () => store.flush()),
    approximateSizeBytes: (range) => store.approximateSizeBytes(range),
    close: () => store.close(),
  });
  const directory: StoreDirectory = {
    list: () => stores.list(),
    open: (name, options) =>
      take(`store open ${name}`, async () => hooked(name, await stores.open(name, options))),
    rename: (from, to) => take(`store rename ${from}`, () => stores.rename(from, to)),
    remove: (name) => take(`store remove ${name}`, () => stores.remove(name)),
  };
  takesOf.set(directory, take);
  return directory;
}

function describe(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
