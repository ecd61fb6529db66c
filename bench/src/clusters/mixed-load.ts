import { setTimeout as sleep } from 'node:timers/promises';
import { mvcc } from '@coxswain/protocol';
import { eventually } from '@coxswain/testing';
import {
  type NodeClient,
  type StoredPair,
  UnexpectedAnswer,
  type WriteOutcome,
} from '../faults/node-client.js';
import type { ClusterNode, ProcessCluster } from '../faults/process-cluster.js';
import type { BulkKeys } from './bulk-keys.js';
import { type Change, OwnedKeys } from './owned-keys.js';
import { SharedCounter } from './shared-counter.js';
import type { Violations } from './violations.js';

const CALL_TIMEOUT_MS = 5_000;
/** The pause between a failed call and the next one, so that a dead node is not asked in a busy loop. */
const PAUSE_AFTER_FAILURE_MS = 20;
const KEYS_PER_GROUP = 12;
/** The share of steps in which a client moves to a new group of keys, so that content grows. */
const NEW_GROUP_SHARE = 0.02;
const READ_BACK_SHARE = 0.25;
const COUNTERS_PER_TABLE = 2;
/** The pause between two compare-and-swaps of a client: without it hardly any would succeed. */
const SWAP_PAUSE_MS = 10;

/** The kinds of writes in the load. */
export type WriteKind = 'put' | 'delete' | 'range delete' | 'txn' | 'compare-and-swap';

interface Parts {
  readonly compare: mvcc.Compare[];
  readonly success: mvcc.RequestOp[];
  readonly failure: mvcc.RequestOp[];
}

/**
 * Clients that write through the nodes of a leader cluster and of its follower cluster, to several tables at once:
 * puts, deletes of keys and ranges, and transactions that compare versions and mod revisions. Each knows what must be
 * stored under keys of its own. All raise shared counters by compare-and-swap with values that they read on the
 * follower cluster, so that mod revisions must be the same on both.
 */
export class MixedLoad {
  /** The number of acknowledged calls by kind. */
  readonly counts: Record<WriteKind, number> = {
    put: 0,
    delete: 0,
    'range delete': 0,
    txn: 0,
    'compare-and-swap': 0,
  };
  refusedCount = 0;
  unknownCount = 0;
  /** The number of writes that were read back on the node that took them. */
  readBackCount = 0;
  readonly #follower: ProcessCluster;
  readonly #violations: Violations;
  readonly #bulk: BulkKeys;
  readonly #owned = new Map<string, { table: string; keys: OwnedKeys }>();
  readonly #counters = new Map<string, SharedCounter[]>();
  readonly #acknowledged = new Map<ProcessCluster, number>();
  readonly #clients: Promise<void>[] = [];
  #isStopped = false;

  constructor(options: {
    readonly leader: ProcessCluster;
    readonly follower: ProcessCluster;
    /** The tables; the first one holds the bulk keys. */
    readonly tables: readonly string[];
    readonly writersPerTable: number;
    readonly bulk: BulkKeys;
    readonly violations: Violations;
  }) {
    const { leader, follower, tables, writersPerTable, bulk, violations } = options;
    this.#follower = follower;
    this.#violations = violations;
    this.#bulk = bulk;
    const clusters = [leader, follower];
    for (const cluster of clusters) this.#acknowledged.set(cluster, 0);
    for (const table of tables) {
      const counters = Array.from(
        { length: COUNTERS_PER_TABLE },
        (_, index) => new SharedCounter(`counter-${index}`),
      );
      this.#counters.set(table, counters);
      for (const cluster of clusters) {
        for (let writer = 0; writer < writersPerTable; writer++) {
          this.#clients.push(this.#runWriter(cluster, table, `writer-${cluster.role}-${writer}/`, writer));
        }
        this.#clients.push(this.#runSwapper(cluster, table, counters));
      }
    }
    for (const cluster of clusters) this.#clients.push(this.#runEraser(cluster, tables[0]!));
  }

  get acknowledgedCount(): number {
    return Object.values(this.counts).reduce((sum, count) => sum + count);
  }

  /** Resolves when `count` more calls were acknowledged through each cluster. */
  async untilAcknowledged(count: number): Promise<void> {
    const targets = [...this.#acknowledged].map(([cluster, before]) => ({ cluster, target: before + count }));
    for (const { cluster, target } of targets) {
      await eventually(
        `${count} more writes are acknowledged through the ${cluster.role} cluster`,
        () => this.#acknowledged.get(cluster)! >= target,
      );
    }
  }

  /** Begins no more calls, and resolves when those under way have ended. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    await Promise.all(this.#clients);
  }

  /** Checks the final content. `pairs` are those of a table, without bulk keys. */
  check(table: string, pairs: ReadonlyMap<string, StoredPair>): void {
    for (const [prefix, { table: itsTable, keys }] of this.#owned) {
      const owner = prefix.slice(prefix.indexOf(' ') + 1);
      if (itsTable !== table) continue;
      keys.check(new Map([...pairs].filter(([key]) => key.startsWith(owner))), this.#violations);
    }
    for (const counter of this.#counters.get(table)!) counter.check(pairs.get(counter.key), this.#violations);
  }

  async #runWriter(cluster: ProcessCluster, table: string, prefix: string, index: number): Promise<void> {
    const keys = new OwnedKeys();
    this.#owned.set(`${table} ${prefix}`, { table, keys });
    let group = 0;
    let serial = 0;
    await this.#run(cluster, index, async (node) => {
      if (Math.random() < NEW_GROUP_SHARE) group++;
      const key = `${prefix}${group}/${Math.floor(Math.random() * KEYS_PER_GROUP)}`;
      const client = node.client.forTable(table);
      const life = node.process.processId;
      const { kind, change, outcome } = await this.#write(client, keys, key, `${++serial}`);
      switch (outcome.kind) {
        case 'acknowledged':
          keys.acknowledged(change, outcome.revision);
          this.#acknowledge(cluster, kind);
          if (Math.random() < READ_BACK_SHARE) await this.#readBack(node, life, client, keys, key);
          return true;
        case 'refused':
          this.refusedCount++;
          return false;
        case 'unknown':
          this.unknownCount++;
          keys.unknown(change);
          group++;
          return false;
      }
    });
  }

  /** Makes one write of any kind around the key; `change` holds all of its effects. */
  async #write(
    client: NodeClient,
    keys: OwnedKeys,
    key: string,
    value: string,
  ): Promise<{ kind: WriteKind; change: Change; outcome: WriteOutcome }> {
    const dice = Math.random();
    if (dice < 0.45) {
      const outcome = await client.put(key, value, CALL_TIMEOUT_MS);
      return { kind: 'put', change: new Map([[key, value]]), outcome };
    }
    if (dice < 0.6) {
      const expectedCount = keys.has(key) ? 1 : 0;
      const outcome = await client.delete(key, undefined, CALL_TIMEOUT_MS);
      this.#checkDeleted(key, outcome, expectedCount);
      return { kind: 'delete', change: new Map([[key, undefined]]), outcome };
    }
    const groupPrefix = key.slice(0, key.lastIndexOf('/') + 1);
    if (dice < 0.65) {
      const change = new Map(keys.withPrefix(groupPrefix).map((member) => [member, undefined]));
      // "0" is the character after "/".
      const outcome = await client.delete(groupPrefix, `${groupPrefix.slice(0, -1)}0`, CALL_TIMEOUT_MS);
      this.#checkDeleted(groupPrefix, outcome, change.size);
      return { kind: 'range delete', change, outcome };
    }
    return this.#transact(client, keys, key, `${groupPrefix}${KEYS_PER_GROUP}`, value);
  }

  /** Makes a transaction whose outcome is known beforehand, since nobody else writes these keys. */
  async #transact(
    client: NodeClient,
    keys: OwnedKeys,
    key: string,
    other: string,
    value: string,
  ): Promise<{ kind: WriteKind; change: Change; outcome: WriteOutcome }> {
    const mustSucceed = Math.random() < 0.7;
    const isRevisionCompared = Math.random() < 0.5;
    const operator = mustSucceed ? mvcc.Compare_CompareResult.EQUAL : mvcc.Compare_CompareResult.GREATER;
    const compare = isRevisionCompared
      ? compareRevision(key, operator, keys.revision(key) ?? 0)
      : compareVersion(key, operator, keys.version(key));
    const deletes = Math.random() < 0.3;
    const operations = [put(key, value), deletes ? remove(other) : put(other, value)];
    const never = [put(`${key}-of-the-wrong-branch`, value)];
    const parts: Parts = {
      compare: [compare],
      success: mustSucceed ? operations : never,
      failure: mustSucceed ? never : operations,
    };
    const outcome = await client.txn(parts, CALL_TIMEOUT_MS);
    if (outcome.kind === 'acknowledged' && outcome.succeeded !== mustSucceed) {
      this.#violations.add(`${key}: a transaction took the wrong branch`);
    }
    const change = new Map([
      [key, value],
      [other, deletes ? undefined : value],
    ]);
    return { kind: 'txn', change, outcome };
  }

  /**
   * Checks that a client reads its own writes on the node that it wrote through, even when that node had to forward
   * them.
   */
  async #readBack(
    node: ClusterNode,
    life: number | undefined,
    client: NodeClient,
    keys: OwnedKeys,
    key: string,
  ): Promise<void> {
    const outcome = await client.get(key, { linearizable: false, timeoutMs: CALL_TIMEOUT_MS });
    // A node that was killed in between may begin at an earlier state than its answer.
    if (outcome.kind === 'failed' || node.process.processId !== life) return;
    this.readBackCount++;
    if (!keys.isPossible(key, outcome.pair)) {
      this.#violations.add(`${key}: an acknowledged write is not seen on the node that took it`);
    }
  }

  async #runSwapper(
    cluster: ProcessCluster,
    table: string,
    counters: readonly SharedCounter[],
  ): Promise<void> {
    await this.#run(cluster, 0, async (node) => {
      await sleep(SWAP_PAUSE_MS);
      const counter = counters[Math.floor(Math.random() * counters.length)]!;
      const readers = this.#follower.nodes;
      const reader = readers[Math.floor(Math.random() * readers.length)]!.client.forTable(table);
      const read = await reader.get(counter.key, { linearizable: false, timeoutMs: CALL_TIMEOUT_MS });
      if (read.kind === 'failed') return false;
      const { value = '0', revision = 0 } = read.pair ?? {};
      const outcome = await node.client.forTable(table).txn(
        {
          compare: [compareRevision(counter.key, mvcc.Compare_CompareResult.EQUAL, revision)],
          success: [put(counter.key, String(Number(value) + 1))],
          failure: [],
        },
        CALL_TIMEOUT_MS,
      );
      if (outcome.kind === 'unknown') counter.unknown();
      if (outcome.kind !== 'acknowledged') return false;
      if (outcome.succeeded) {
        counter.raised(outcome.revision, this.#violations);
        this.#acknowledge(cluster, 'compare-and-swap');
      }
      return true;
    });
  }

  async #runEraser(cluster: ProcessCluster, table: string): Promise<void> {
    await this.#run(cluster, 0, async (node) => {
      const window = this.#bulk.takeWindow();
      if (window === undefined) {
        await sleep(SWAP_PAUSE_MS);
        return true;
      }
      // Counts as unknown until the outcome is known, also for an unexpected answer.
      this.#bulk.mark(window, 'unknown');
      const outcome = await node.client.forTable(table).delete(window.first, window.end, CALL_TIMEOUT_MS);
      if (outcome.kind === 'refused') this.#bulk.mark(window, 'kept');
      if (outcome.kind !== 'acknowledged') return false;
      this.#bulk.mark(window, 'erased');
      this.#checkDeleted(window.first, outcome, window.keyCount);
      this.#acknowledge(cluster, 'range delete');
      await sleep(SWAP_PAUSE_MS);
      return true;
    });
  }

  /** Calls `act` again and again, on the next node after a call that did not succeed. */
  async #run(
    cluster: ProcessCluster,
    firstNode: number,
    act: (node: ClusterNode) => Promise<boolean>,
  ): Promise<void> {
    let turn = firstNode;
    while (!this.#isStopped) {
      let isDone = false;
      try {
        isDone = await act(cluster.nodes[turn % cluster.nodes.length]!);
      } catch (error) {
        if (!(error instanceof UnexpectedAnswer)) throw error;
        this.#violations.add(error.message);
      }
      if (!isDone) {
        turn++;
        await sleep(PAUSE_AFTER_FAILURE_MS);
      }
    }
  }

  #acknowledge(cluster: ProcessCluster, kind: WriteKind): void {
    this.counts[kind]++;
    this.#acknowledged.set(cluster, this.#acknowledged.get(cluster)! + 1);
  }

  #checkDeleted(
    what: string,
    outcome: WriteOutcome<{ readonly deletedCount: number }>,
    expectedCount: number,
  ): void {
    if (outcome.kind !== 'acknowledged' || outcome.deletedCount === expectedCount) return;
    this.#violations.add(`${what}: ${outcome.deletedCount} keys were deleted, not ${expectedCount}`);
  }
}

function compareRevision(key: string, result: mvcc.Compare_CompareResult, revision: number): mvcc.Compare {
  return mvcc.Compare.create({
    key: Buffer.from(key),
    result,
    target: mvcc.Compare_CompareTarget.MOD,
    targetUnion: { $case: 'modRevision', value: BigInt(revision) },
  });
}

function compareVersion(key: string, result: mvcc.Compare_CompareResult, version: number): mvcc.Compare {
  return mvcc.Compare.create({
    key: Buffer.from(key),
    result,
    target: mvcc.Compare_CompareTarget.VERSION,
    targetUnion: { $case: 'version', value: BigInt(version) },
  });
}

function put(key: string, value: string): mvcc.RequestOp {
  return {
    request: {
      $case: 'requestPut',
      value: mvcc.RequestOp_Put.create({ key: Buffer.from(key), value: Buffer.from(value) }),
    },
  };
}

function remove(key: string): mvcc.RequestOp {
  return {
    request: {
      $case: 'requestDeleteRange',
      value: mvcc.RequestOp_DeleteRange.create({ key: Buffer.from(key) }),
    },
  };
}
