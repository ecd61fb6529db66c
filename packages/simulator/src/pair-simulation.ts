import { ApiError, errors, type KvApi, type Node, type NodeOptions, type Proposed } from '@coxswain/node';
import { mvcc, regatta } from '@coxswain/protocol';
import type { NodeId } from '@coxswain/raft';
import {
  defaultFollowerOptions,
  Follower,
  type ForwardedWrites,
  LeaderReplication,
} from '@coxswain/replication';
import { SimulatedClock } from './clock.js';
import { Cluster } from './cluster.js';
import { EventKind, EventLoop } from './event-loop.js';
import { Faults } from './faults.js';
import { History } from './history.js';
import { Invariants } from './invariants.js';
import { Machine } from './machine.js';
import { SimulatedNetwork } from './network.js';
import { SimulatedProcess } from './process.js';
import { SeededRandom } from './random.js';
import { RangeDeletions } from './range-deletions.js';
import { ReplicasOfReplicas } from './replicas-of-replicas.js';
import type { SimulationOptions, SimulationResult } from './simulation.js';
import { StockFollower } from './stock-follower.js';
import { drawScenario, type Scenario } from './swarm.js';
import { readAll, wholeRange } from './table-reading.js';
import { Trace } from './trace.js';
import { Violation } from './violation.js';
import { WideAreaNetwork } from './wide-area-network.js';
import { MAIN_TABLE, type OperationKind, type Server } from './workload/options.js';
import { Workload } from './workload/workload.js';

const PROGRESS_BOUND_US = 120_000_000;
const CONVERGENCE_BOUND_US = 240_000_000;
/** Processes of the follower cluster have ids above this number. */
const FIRST_FOLLOWER_LIFE = 30_000;
/** The process id of the stock follower. */
const STOCK_LIFE = 29_999;
/**
 * The operations that clients of a follower cluster send: writes through it. Their reads there would not be a
 * linearizable history.
 */
const forwardedKinds: readonly OperationKind[] = [
  'put',
  'putPrevious',
  'delete',
  'deleteRange',
  'compareAndSet',
  'transfer',
  'putMany',
  'replaceRange',
];

export interface PairResult extends Omit<SimulationResult, 'wipedDisks' | 'damagedDisks'> {
  /** The number of states of the follower cluster that were compared with the leader cluster's. */
  readonly compared: number;
  readonly snapshotsTaken: number;
}

/**
 * Runs one seed with a leader cluster and a follower cluster of the real code, and a network between them: first faults
 * on all three while clients write through both clusters, then healing, progress, equality.
 */
export async function simulatePair(options: SimulationOptions): Promise<PairResult> {
  const simulation = new PairSimulation(options);
  let violation: Error | undefined;
  try {
    await simulation.run();
  } catch (error) {
    violation = error instanceof Error ? error : new Error(String(error));
  }
  return simulation.result(violation);
}

/** A cluster with its own network and its own faults. */
interface Side {
  readonly cluster: Cluster;
  readonly network: SimulatedNetwork;
  readonly faults: Faults;
}

class PairSimulation {
  readonly #loop: EventLoop;
  readonly #random: SeededRandom;
  readonly #history = new History();
  readonly #deletions = new RangeDeletions();
  readonly #leader: Side;
  readonly #follower: Side;
  readonly #wide: WideAreaNetwork;
  readonly #workload: Workload;
  readonly #forwarded: Workload;
  readonly #comparison = new ReplicasOfReplicas();
  readonly #followers = new Map<NodeId, { readonly node: Node; readonly follower: Follower }>();
  readonly #stock: StockFollower;
  #snapshotsTaken = 0;
  #isHealed = false;

  readonly #options: SimulationOptions;

  constructor(options: SimulationOptions) {
    this.#options = options;
    const random = new SeededRandom(options.seed);
    this.#random = random.fork('pair');
    const loop = new EventLoop(new Trace(options.onLine));
    this.#loop = loop;
    this.#wide = new WideAreaNetwork(loop, random.fork('wide'), {
      delayMinUs: this.#random.integer(100, 20_000),
      delayMeanUs: this.#random.integer(100, 20_000),
      breakProbability: this.#random.pick([0, 0.002, 0.02]),
    });
    const drawn = drawScenario(random.fork('leader scenario'));
    const leaderScenario = small(options.adjust?.(drawn) ?? drawn, this.#random);
    const followerScenario = small(drawScenario(random.fork('follower scenario')), this.#random);
    this.#leader = this.#side('leader ', leaderScenario, random.fork('leader'), {});
    this.#follower = this.#side('follower ', followerScenario, random.fork('follower'), { role: 'follower' });
    this.#workload = new Workload(
      loop,
      random.fork('workload'),
      leaderScenario.workload,
      this.#history,
      () => this.#leader.cluster.servers(),
      this.#deletions,
    );
    const stockProcess = new SimulatedProcess(loop, STOCK_LIFE);
    const stockClock = new SimulatedClock(loop, 1, 0).attach(stockProcess);
    const stockLink = this.#wide.link(stockProcess, stockClock, this.#leader.cluster.ids);
    this.#stock = new StockFollower(stockLink, stockClock);
    const operations = { ...leaderScenario.workload.operations };
    for (const kind of Object.keys(operations) as OperationKind[]) {
      if (!forwardedKinds.includes(kind)) operations[kind] = 0;
    }
    operations.put += 0.2;
    this.#forwarded = new Workload(
      loop,
      random.fork('forwarded'),
      { ...leaderScenario.workload, clients: 2, operations, valuePrefix: 'f' },
      this.#history,
      () => this.#forwardingServers(),
    );
  }

  #side(label: string, scenario: Scenario, random: SeededRandom, also: Partial<NodeOptions>): Side {
    const loop = this.#loop;
    const isLeader = also.role !== 'follower';
    const network = new SimulatedNetwork(loop, random.fork('network'), scenario.network);
    const machines = scenario.nodes.map(
      (id) =>
        new Machine(id, loop, network, random.fork(`machine ${id}`), scenario.machine, `${label}node ${id}`),
    );
    const cluster: Cluster = new Cluster(loop, machines, new Invariants(), {
      ...scenario,
      nodeOptions: (id) => ({ ...scenario.nodeOptions(id), ...also }),
      label,
      deletions: this.#deletions,
      firstLife: isLeader ? 0 : FIRST_FOLLOWER_LIFE,
      onDeath: (process) => {
        this.#workload.processDied(process);
        this.#forwarded.processDied(process);
      },
      onServing: (id, node, process, environment) => {
        const { clock } = environment;
        if (isLeader) {
          const replication = new LeaderReplication(node, {
            clock,
            messageBytesMax: 64 * 1024,
            logCallsMax: 1000,
            snapshotCallsMax: 4,
          });
          this.#wide.serve(id, { process, api: node, replication, clock });
          return {
            stop: async () => replication.drain(),
          };
        }
        const follower = new Follower(
          node,
          { ...environment, link: this.#wide.link(process, clock, this.#leader.cluster.ids) },
          {
            ...defaultFollowerOptions,
            pollIntervalMs: 200,
            reconcileIntervalMs: 2_000,
            logRpcTimeoutMs: 4_000,
            snapshotRpcTimeoutMs: 30_000,
            sequenceBytesMax: 4096,
            followerName: `node-${id}`,
          },
        );
        follower.start();
        const running = { node, follower };
        this.#followers.set(id, running);
        process.onDeath(() => {
          this.#snapshotsTaken += follower.status().snapshotsTaken;
          if (this.#followers.get(id) === running) this.#followers.delete(id);
        });
        return follower;
      },
    });
    const faults = new Faults(loop, random.fork('faults'), scenario.faults, cluster, network);
    return { cluster, network, faults };
  }

  async run(): Promise<void> {
    const sides = [this.#leader, this.#follower];
    for (const { cluster } of sides) {
      for (const id of this.#random.shuffled(cluster.ids)) cluster.start(id);
    }
    const isReady = ({ cluster }: Side) =>
      cluster.nodes().some(({ node }) => node.reports.readiness().isReady);
    await this.#reach('both clusters become ready', PROGRESS_BOUND_US, () => sides.every(isReady));
    let stockFailure: { error: unknown } | undefined;
    this.#stock.run().catch((error: unknown) => {
      stockFailure = { error };
    });
    this.#workload.start();
    this.#forwarded.start();
    for (const { faults } of sides) faults.start();
    this.#disturb();
    await this.#loop.run(() => {
      this.#observe();
      if (stockFailure !== undefined) throw stockFailure.error;
      return this.#loop.steps >= this.#options.steps;
    });
    this.#workload.stop();
    this.#forwarded.stop();
    this.#isHealed = true;
    this.#wide.heal();
    for (const { faults } of sides) faults.heal();
    for (const id of this.#leader.cluster.ids) {
      await this.#makeProgress(`leader node ${id}`, () => {
        const server = this.#leader.cluster.nodes().find((node) => node.id === id)?.server;
        return server && this.#workload.probe(server);
      });
    }
    for (const id of this.#follower.cluster.ids) {
      await this.#makeProgress(`follower node ${id}`, () => {
        const server = this.#forwardingServers().find((each) => each.id === id);
        return server && this.#forwarded.probeWrite(server);
      });
    }
    const isIdle = () => this.#workload.pendingCount + this.#forwarded.pendingCount === 0;
    await this.#reach('every request ends', CONVERGENCE_BOUND_US, isIdle);
    await this.#reach('the follower cluster equals its leader cluster', CONVERGENCE_BOUND_US, () =>
      this.#isEqual(),
    );
    await this.#compareWithStock(() => stockFailure);
    this.#history.check();
  }

  /**
   * Checks that the stock follower has made of the leader cluster's commands and snapshots the same content as the
   * leader cluster (R3).
   */
  async #compareWithStock(failure: () => { error: unknown } | undefined): Promise<void> {
    const [leader] = this.#leader.cluster.nodes();
    const tables = () => leader!.node.reports.status().tables;
    await this.#reach('the stock follower has everything', CONVERGENCE_BOUND_US, () => {
      const failed = failure();
      if (failed !== undefined) throw failed.error;
      return tables().every(
        ({ name, appliedIndex }) => this.#stock.tables.get(name)?.leaderIndex === appliedIndex,
      );
    });
    const contents = new Map<string, string[]>();
    const read = async () => {
      for (const { name } of tables()) {
        const call = { deadlineMs: leader!.server.monotonicMs() + 10_000 };
        const readable = await leader!.node.kv.read(name, { linearizable: false }, call);
        const { records } = await readAll(readable.table, wholeRange, (revision) =>
          readable.header(revision),
        );
        contents.set(name, records.map(({ key, value }) => `${key}=${value}`).sort());
      }
    };
    let isDone = false;
    read().then(
      () => {
        isDone = true;
      },
      (error: unknown) => {
        throw error;
      },
    );
    await this.#reach('serializable reads end', CONVERGENCE_BOUND_US, () => isDone);
    for (const [name, content] of contents) {
      const stock = this.#stock.content(name);
      if (stock.join('\n') === content.join('\n')) continue;
      throw new Violation(
        'a stock follower ends equal',
        `table ${name}: ${stock.length} keys, not ${content.length}, or other values`,
      );
    }
  }

  result(violation: Error | undefined): PairResult {
    const { trace } = this.#loop;
    let snapshotsTaken = this.#snapshotsTaken;
    for (const { follower } of this.#followers.values()) snapshotsTaken += follower.status().snapshotsTaken;
    return {
      seed: this.#options.seed,
      steps: this.#loop.steps,
      faults: this.#leader.faults.count + this.#follower.faults.count,
      operations: this.#history.answered,
      restored: this.#workload.restored,
      refusedRollbacks: this.#leader.cluster.refusedRollbacks + this.#follower.cluster.refusedRollbacks,
      deletions: this.#deletions.counts,
      virtualSeconds: this.#loop.nowUs / 1e6,
      traceHash: trace.hash(),
      violation,
      lines: trace.lines(),
      compared: this.#comparison.compared,
      snapshotsTaken,
    };
  }

  #observe(): void {
    const owner = this.#loop.lastOwner;
    if (owner === undefined) return;
    if (owner.id === STOCK_LIFE) return;
    const isLeader = owner.id < FIRST_FOLLOWER_LIFE;
    const { cluster } = isLeader ? this.#leader : this.#follower;
    cluster.observe();
    const here = cluster.nodes().find(({ server }) => server.process === owner);
    if (here === undefined) return;
    if (isLeader) this.#comparison.observeLeader(here.node);
    else this.#comparison.observeFollower(here.node);
  }

  /** Blocks the way between the clusters now and then, and resets a table as an operator would. */
  #disturb(): void {
    this.#after(this.#random.exponential(4_000_000), () => {
      if (this.#random.chance(0.7)) {
        this.#wide.isBlocked = true;
        this.#after(this.#random.exponential(1_500_000), () => {
          this.#wide.isBlocked = false;
        });
      } else this.#reset();
      this.#disturb();
    });
  }

  #reset(): void {
    const nodes = this.#follower.cluster.nodes();
    if (nodes.length === 0) return;
    const { node, server } = this.#random.pick(nodes);
    this.#loop.schedule(0, EventKind.Client, server.process, () => {
      const call = { deadlineMs: server.monotonicMs() + 2_000 };
      node.follower
        .requestReset(this.#random.chance(0.8) ? MAIN_TABLE : undefined, call)
        .catch((error: unknown) => {
          if (!(error instanceof ApiError)) throw error;
        });
    });
  }

  #after(delayUs: number, act: () => void): void {
    this.#loop.schedule(delayUs, EventKind.Fault, undefined, () => {
      if (!this.#isHealed) act();
    });
  }

  #forwardingServers(): (Server & { readonly id: NodeId })[] {
    return this.#follower.cluster.nodes().flatMap(({ id, server }) => {
      const running = this.#followers.get(id);
      if (running === undefined) return [];
      const api = { kv: { propose: forwarding(running.follower.writes) } } as unknown as Server['api'];
      return [{ ...server, id, api }];
    });
  }

  async #makeProgress(what: string, probe: () => Promise<boolean> | undefined): Promise<void> {
    let hasAnswered = false;
    let failure: { error: unknown } | undefined;
    const attempt = async () => {
      while (!hasAnswered) {
        hasAnswered = (await probe()) ?? false;
        if (!hasAnswered) {
          await new Promise<void>((resolve) => {
            this.#loop.schedule(50_000, EventKind.Client, undefined, resolve);
          });
        }
      }
    };
    attempt().catch((error: unknown) => {
      failure = { error };
    });
    await this.#reach(`${what} answers`, PROGRESS_BOUND_US, () => {
      if (failure !== undefined) throw failure.error;
      return hasAnswered;
    });
  }

  /** Whether every table of the leader cluster is on every node of both, at one index and with one hash. */
  #isEqual(): boolean {
    const leaders = this.#leader.cluster.nodes();
    const followers = this.#follower.cluster.nodes();
    if (leaders.length !== this.#leader.cluster.ids.length) return false;
    if (followers.length !== this.#follower.cluster.ids.length) return false;
    const states = leaders.map(({ node }) =>
      node.reports
        .status()
        .tables.map(({ name, appliedIndex, contentHash }) => `${name} ${appliedIndex} ${contentHash}`),
    );
    const expected = states[0]!;
    if (states.some((state) => state.join() !== expected.join())) return false;
    return followers.every(({ node }) => {
      const tables = node.reports
        .status()
        .tables.map(({ name, leaderIndex, contentHash }) => `${name} ${leaderIndex} ${contentHash}`);
      // A table that the leader cluster no longer has is kept for at least five minutes (R4).
      return expected.every((table) => tables.includes(table));
    });
  }

  /** Starts nodes that are down: some were still leaving when everything was healed, and one alone is no quorum. */
  #startStopped(): void {
    for (const { cluster } of [this.#leader, this.#follower])
      for (const id of cluster.ids) if (!cluster.isUp(id)) cluster.start(id);
  }

  async #reach(what: string, boundUs: number, isReached: () => boolean): Promise<void> {
    const endUs = this.#loop.nowUs + boundUs;
    await this.#loop.run(() => {
      this.#startStopped();
      this.#observe();
      if (isReached()) return true;
      if (this.#loop.nowUs <= endUs) return false;
      const status = [...this.#followers].map(
        ([id, { follower }]) => `${id}: ${JSON.stringify(follower.status())}`,
      );
      throw new Violation(
        'liveness',
        `not within ${boundUs / 1e6} s: ${what}\n${this.#leader.cluster.describe()}\n${this.#follower.cluster.describe()}\n${status.join('\n')}`,
      );
    });
  }
}

/** Limits the number of nodes, and shortens logs so that a follower cluster needs snapshots. */
function small(scenario: Scenario, random: SeededRandom): Scenario {
  const nodes = scenario.nodes.slice(0, 3);
  const members = new Map(nodes.map((id) => [id, `node-${id}:5012`]));
  const snapshotEntries = random.integer(20, 200);
  return {
    ...scenario,
    nodes,
    fragileMachine: undefined,
    nodeOptions: (id) => ({
      ...scenario.nodeOptions(id),
      initialMembers: members,
      snapshotEntries,
      compactionOverheadEntries: random.integer(1, snapshotEntries),
      // The packed entries of a follower cluster must find room.
      proposalsPendingMax: 16_384,
    }),
  };
}

/** Sends a client's command as a request to a follower cluster, and returns its answer in the form of a node's. */
function forwarding(writes: ForwardedWrites): KvApi['propose'] {
  return async (_name, command, call): Promise<Proposed> => {
    try {
      return await send(writes, command, call);
    } catch (error) {
      // The write has happened, but its answer is unknown.
      const hasHappened = error instanceof ApiError && error.code === 'appliedByLeaderOnly';
      throw hasHappened ? errors.outcomeUnknown() : error;
    }
  };
}

async function send(
  writes: ForwardedWrites,
  command: mvcc.Command,
  call: { deadlineMs: number },
): Promise<Proposed> {
  const { table, kv, txn } = command;
  switch (command.type) {
    case mvcc.Command_CommandType.PUT: {
      const request = { table, key: kv!.key, value: kv!.value, prevKv: command.prevKvs };
      const { header, prevKv } = await writes.put(request, call);
      return proposed(header, true, [{ response: { $case: 'responsePut', value: { prevKv, more: false } } }]);
    }
    case mvcc.Command_CommandType.DELETE: {
      const request = regatta.DeleteRangeRequest.fromPartial({
        table,
        key: kv!.key,
        ...(command.rangeEnd !== undefined && { rangeEnd: command.rangeEnd }),
        prevKv: command.prevKvs,
        count: command.count,
      });
      const { header, deleted, prevKvs, more } = await writes.deleteRange(request, call);
      return proposed(header, true, [
        { response: { $case: 'responseDeleteRange', value: { deleted, prevKvs, more } } },
      ]);
    }
    default: {
      const { header, succeeded, responses } = await writes.txn({ table, ...txn! }, call);
      return proposed(header, succeeded, responses);
    }
  }
}

function proposed(
  header: regatta.ResponseHeader | undefined,
  succeeded: boolean,
  responses: mvcc.ResponseOp[],
): Proposed {
  const revision = Number(header!.revision);
  return {
    result: { index: revision, revision, succeeded, responses, hasStaleCursor: false, sealedBy: undefined },
    header: {
      shardId: Number(header!.shardId),
      replicaId: Number(header!.replicaId),
      revision,
      raftTerm: Number(header!.raftTerm),
      raftLeaderId: Number(header!.raftLeaderId),
    },
  };
}
