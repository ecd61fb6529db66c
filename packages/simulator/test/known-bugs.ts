import { Identity, TrustedClock } from '@coxswain/node';
import { type OrderedStore, Table } from '@coxswain/table';
import { type GroupWrite, Wal } from '@coxswain/wal';
import { SimulatedNetwork } from '../src/index.js';
import type { Scenario } from '../src/swarm.js';
import { restless } from './restless.js';

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
