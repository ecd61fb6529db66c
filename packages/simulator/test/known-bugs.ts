import { Identity, TrustedClock } from '@coxswain/node';
import { type Message, type NodeId, Raft, type ReadContext, type ReadState } from '@coxswain/raft';
import { type OrderedStore, Table } from '@coxswain/table';
import { type GroupWrite, Wal } from '@coxswain/wal';
import { SimulatedNetwork } from '../src/index.js';
import type { Scenario } from '../src/swarm.js';

/** A bug that real systems had, put into the real code while a test runs. */
export interface KnownBug {
  readonly name: string;
  /** The properties whose checks must find it. */
  readonly properties: readonly string[];
  /** Found it, and soon, when this was written. Default: 1. */
  readonly firstSeed?: number;
  /** It is found by one of so many seeds from there on. Which one changes with every change of the real code. */
  readonly seedsMax: number;
  readonly steps: number;
  readonly adjust: (scenario: Scenario) => Scenario;
  /** Puts the bug in; what it gives takes it out again. */
  readonly plant: () => Planted;
}

interface Planted {
  remove(): void;
}

/** What the core does not show. */
interface Inside {
  readonly messages: Message[];
  readonly reads: ReadState[];
  readonly leadership: Leadership | undefined;
}

interface Leadership {
  firstIndexInTerm: number;
  readonly hasCommittedInTerm: boolean;
  advanceCommit(): void;
  releaseHeldReads(): void;
}

/** The part of the core that compares a candidate's log with its own. */
interface Voter {
  isUpToDate(message: Message): boolean;
}

const inside = (raft: Raft) => raft as unknown as Inside;

/** `advanceCommit` without the rule of §5.4.2. */
function commitByCounting(this: Leadership): void {
  const { firstIndexInTerm, hasCommittedInTerm } = this;
  this.firstIndexInTerm = 0;
  Object.getPrototypeOf(this).advanceCommit.call(this);
  this.firstIndexInTerm = firstIndexInTerm;
  if (!hasCommittedInTerm && this.hasCommittedInTerm) this.releaseHeldReads();
}

const noFaults = (scenario: Scenario): Scenario['faults']['weights'] => {
  const weights = { ...scenario.faults.weights };
  for (const kind of Object.keys(weights) as (keyof typeof weights)[]) weights[kind] = 0;
  return weights;
};

/** Three nodes that die and come back often, on an orderly network. */
function restless(scenario: Scenario, faults: Partial<Scenario['faults']['weights']>): Scenario {
  return {
    ...scenario,
    nodes: [1, 2, 3],
    fragileMachine: undefined,
    network: { ...scenario.network, dropProbability: 0, duplicateProbability: 0, reorderProbability: 0 },
    workload: { ...scenario.workload, clients: 8, thinkMeanUs: 2_000, valueSizeMeanBytes: 20 },
    faults: {
      weights: { ...noFaults(scenario), ...faults },
      intervalMeanUs: 50_000,
      durationMeanUs: 30_000,
    },
    nodeOptions: (node) => ({
      ...scenario.nodeOptions(node),
      initialMembers: new Map([1, 2, 3].map((id) => [id, `node-${id}:5012`])),
      tickMs: 10,
      electionTicks: 4,
      snapshotEntries: 20,
      compactionOverheadEntries: 5,
    }),
  };
}

/** Replaces a method, and gives what puts it back. */
function replace<T extends object, K extends keyof T>(
  target: T,
  name: K,
  make: (original: T[K]) => T[K],
): Planted {
  const original = target[name];
  target[name] = make(original);
  return {
    remove: () => {
      target[name] = original;
    },
  };
}

/** A store that writes the records of batches, which hold the applied index, before the rest of a flush. */
function tearFlushes(store: OrderedStore): OrderedStore {
  const recordsOfBatches = 0x4e;
  return {
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
    write: async (operations) => {
      const all = [...operations];
      await store.write(all.filter(({ storeKey }) => storeKey[0] === recordsOfBatches));
      await store.write(all.filter(({ storeKey }) => storeKey[0] !== recordsOfBatches));
    },
    flush: () => store.flush(),
    approximateSizeBytes: (range) => store.approximateSizeBytes(range),
    close: () => store.close(),
  };
}

export const knownBugs: readonly KnownBug[] = [
  {
    name: 'a vote is not persisted',
    properties: ['election safety', 'log matching', 'state machine safety'],
    firstSeed: 39,
    seedsMax: 100,
    steps: 6_000,
    // Elections all the time, by nodes that are back before the others have voted.
    adjust: (scenario) => {
      const given = restless(scenario, { kill: 1 });
      return {
        ...given,
        network: { ...given.network, delayMinUs: 1_000, delayMeanUs: 2_000, redialMeanUs: 1_000 },
        workload: { ...given.workload, clients: 1, thinkMeanUs: 50_000 },
        faults: { ...given.faults, intervalMeanUs: 12_000, durationMeanUs: 1_000 },
        nodeOptions: (node) => ({ ...given.nodeOptions(node), electionTicks: 3 }),
      };
    },
    plant: () =>
      replace(
        Wal.prototype,
        'append',
        (append) =>
          function (this: Wal, writes: readonly GroupWrite[]) {
            const forgetful = writes.map((write) =>
              write.hardState === undefined
                ? write
                : { ...write, hardState: { ...write.hardState, vote: 0 } },
            );
            return append.call(this, forgetful);
          },
      ),
  },
  {
    name: 'an append is acknowledged before fsync',
    properties: ['committed on a quorum'],
    firstSeed: 2,
    seedsMax: 60,
    steps: 8_000,
    adjust: (scenario) => restless(scenario, { losePower: 1 }),
    plant: () =>
      replace(
        Wal.prototype,
        'append',
        (append) =>
          function (this: Wal, writes: readonly GroupWrite[]) {
            append.call(this, writes).catch(() => undefined);
            return Promise.resolve();
          },
      ),
  },
  {
    name: 'the applied index is written apart from the data',
    properties: ['equal hashes'],
    firstSeed: 7,
    seedsMax: 60,
    steps: 8_000,
    adjust: (scenario) => restless(scenario, { kill: 1 }),
    plant: () =>
      replace(
        Table,
        'open',
        (open) => (options) =>
          open.call(Table, {
            ...options,
            directory: {
              list: () => options.directory.list(),
              open: async (name, how) => tearFlushes(await options.directory.open(name, how)),
              rename: (from, to) => options.directory.rename(from, to),
              remove: (name) => options.directory.remove(name),
            },
          }),
      ),
  },
  {
    name: 'a leader answers reads without asking a quorum',
    properties: ['no stale answer'],
    firstSeed: 43,
    seedsMax: 60,
    steps: 8_000,
    adjust: (scenario) => restless(scenario, { pause: 1, isolate: 1 }),
    plant: () =>
      replace(
        Raft.prototype,
        'readIndex',
        (readIndex) =>
          function (this: Raft, context: ReadContext) {
            if (this.role !== 'leader') return readIndex.call(this, context);
            inside(this).reads.push({ context, index: this.commitIndex });
            return true;
          },
      ),
  },
  {
    name: 'a leader commits an entry of an old term by counting',
    properties: ['a leader commits by counting only in its own term'],
    firstSeed: 5,
    seedsMax: 60,
    steps: 8_000,
    // Long syncs: what a new leader appends is on its peers well before it is on its own disk, and is lost there.
    adjust: (scenario) => {
      const { disk } = scenario.machine;
      const machine = { ...scenario.machine, disk: { ...disk, syncMeanUs: 30_000, slowSyncProbability: 0 } };
      const network = { ...scenario.network, delayMinUs: 50, delayMeanUs: 300 };
      const given = restless({ ...scenario, machine, network }, { losePower: 1, isolate: 1, kill: 0.5 });
      return {
        ...given,
        workload: { ...given.workload, clients: 4, thinkMeanUs: 10_000 },
        faults: { ...given.faults, intervalMeanUs: 40_000, durationMeanUs: 80_000 },
      };
    },
    plant: () =>
      replace(
        Raft.prototype,
        'step',
        (step) =>
          function (this: Raft, message: Message) {
            step.call(this, message);
            const { leadership } = inside(this);
            if (leadership !== undefined && !Object.hasOwn(leadership, 'advanceCommit')) {
              leadership.advanceCommit = commitByCounting;
            }
          },
      ),
  },
  {
    name: 'leadership is handed over to a node that lacks entries, and nobody compares logs',
    properties: ['leader completeness', 'committed on a quorum', 'state machine safety'],
    firstSeed: 6,
    seedsMax: 60,
    steps: 8_000,
    adjust: (scenario) => restless(scenario, { handOver: 1 }),
    plant: () => {
      const transfer = replace(
        Raft.prototype,
        'transferLeadership',
        (transferLeadership) =>
          function (this: Raft, to: NodeId) {
            if (!transferLeadership.call(this, to)) return false;
            inside(this).messages.push({ type: 'timeoutNow', from: this.id, to, term: this.term });
            return true;
          },
      );
      const votes = replace(
        Raft.prototype as unknown as Voter,
        'isUpToDate',
        (isUpToDate) =>
          function (this: Voter, message: Message) {
            return (message.type === 'vote' && message.isTransfer) || isUpToDate.call(this, message);
          },
      );
      return {
        remove: () => {
          transfer.remove();
          votes.remove();
        },
      };
    },
  },
  {
    name: 'the log is truncated past what the store has synced',
    properties: ['a node runs until it is stopped'],
    firstSeed: 5,
    seedsMax: 60,
    steps: 8_000,
    adjust: (scenario) => restless(scenario, { losePower: 1 }),
    plant: () => {
      const original = Object.getOwnPropertyDescriptor(Table.prototype, 'checkpointIndex')!;
      Object.defineProperty(Table.prototype, 'checkpointIndex', {
        configurable: true,
        get(this: Table) {
          return this.appliedIndex;
        },
      });
      return { remove: () => Object.defineProperty(Table.prototype, 'checkpointIndex', original) };
    },
  },
  {
    name: 'a start of a node is not compared with what its members know',
    properties: ['a node that was rolled back takes no part'],
    firstSeed: 2,
    seedsMax: 60,
    steps: 8_000,
    adjust: (scenario) => restless(scenario, { rollBack: 1 }),
    plant: () => {
      const { lacks } = Identity.prototype;
      Identity.prototype.lacks = () => undefined;
      return {
        remove: () => {
          Identity.prototype.lacks = lacks;
        },
      };
    },
  },
  {
    name: 'a silent connection is not dialled again',
    properties: ['liveness'],
    firstSeed: 3,
    seedsMax: 20,
    steps: 1_000,
    adjust: (scenario) => restless(scenario, { freeze: 1 }),
    plant: () => replace(SimulatedNetwork.prototype, 'replaceSilent', () => () => undefined),
  },
  {
    name: "a leader believes its clock, whatever the members' clocks show",
    properties: ['a stamp is not far ahead of the time'],
    firstSeed: 5,
    seedsMax: 60,
    steps: 8_000,
    adjust: (scenario) => ({
      ...restless(scenario, { clockJump: 1 }),
      machine: { ...scenario.machine, clockOffsetMsMax: 0 },
    }),
    plant: () => replace(TrustedClock.prototype, 'now', () => (wallMs) => wallMs),
  },
];
