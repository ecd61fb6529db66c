import { type Node, type ReadableTable, WOLF_SHARD } from '@coxswain/node';
import { NO_NODE, type NodeId } from '@coxswain/raft';
import { RevisionCompactedError, TableError } from '@coxswain/table';
import { Cluster } from './cluster.js';
import { checkCounts } from './counts.js';
import { EventKind, EventLoop } from './event-loop.js';
import { Faults } from './faults.js';
import { History } from './history.js';
import { Invariants } from './invariants.js';
import { Machine } from './machine.js';
import { SimulatedNetwork } from './network.js';
import { SeededRandom } from './random.js';
import { type RangeDeletionCounts, RangeDeletions } from './range-deletions.js';
import { drawScenario, type Scenario } from './swarm.js';
import { readAll, wholeRange } from './table-reading.js';
import { Trace } from './trace.js';
import { check, Violation } from './violation.js';
import type { WolfAnswer } from './wolf-network.js';
import { MAIN_TABLE } from './workload/options.js';
import { Workload } from './workload/workload.js';

/** The virtual time in which a healed cluster must answer on every node. */
const PROGRESS_BOUND_US = 120_000_000;
/** The virtual time in which replicas must become equal once nobody writes any more. */
const CONVERGENCE_BOUND_US = 120_000_000;
/** The number of earlier revisions at which replicas are compared in the end. */
const PAST_COMPARED = 5;

export interface SimulationOptions {
  readonly seed: number;
  /** The number of events with faults; healing and the last checks come on top. */
  readonly steps: number;
  /** Called with each line of the trace as it comes. */
  readonly onLine?: (line: string) => void;
  /**
   * Changes the drawn scenario, in a run with two clusters that of the leader cluster, so that a test can aim at
   * something.
   */
  readonly adjust?: (scenario: Scenario) => Scenario;
}

export interface SimulationResult {
  readonly seed: number;
  readonly steps: number;
  readonly faults: number;
  /** The number of client operations that were answered. */
  readonly operations: number;
  /** The number of tables that were restored. */
  readonly restored: number;
  /** The number of nodes that were refused because their disks were rolled back. */
  readonly refusedRollbacks: number;
  /** The number of disks that were emptied, of members of a wolf.raft group. */
  readonly wipedDisks: number;
  /** The number of losses of power that may have taken data which a table should keep (D4). */
  readonly damagedDisks: number;
  readonly deletions: RangeDeletionCounts;
  readonly virtualSeconds: number;
  /** A hash of the run, equal for equal runs. */
  readonly traceHash: string;
  /** The violation that ended the run; undefined when there was none. */
  readonly violation: Error | undefined;
  /** The last lines of the trace. */
  readonly lines: readonly string[];
}

/** Runs one seed: first faults while clients work, then healing, progress and equality. */
export async function simulate(options: SimulationOptions): Promise<SimulationResult> {
  const simulation = new Simulation(options);
  let violation: Error | undefined;
  try {
    await simulation.run();
  } catch (error) {
    violation = error instanceof Error ? error : new Error(String(error));
  }
  return simulation.result(violation);
}

class Simulation {
  readonly #loop: EventLoop;
  readonly #history = new History();
  readonly #deletions = new RangeDeletions();
  readonly #cluster: Cluster;
  readonly #workload: Workload;
  readonly #faults: Faults;
  readonly #random: SeededRandom;
  /** True when the main table is replicated over wolf.raft. */
  readonly #isOverWolf: boolean;
  /** True when each node is a cluster of its own. */
  readonly #areApart: boolean;

  readonly #options: SimulationOptions;

  constructor(options: SimulationOptions) {
    this.#options = options;
    const random = new SeededRandom(options.seed);
    this.#random = random.fork('simulation');
    const drawn = drawScenario(random.fork('scenario'));
    const scenario = options.adjust?.(drawn) ?? drawn;
    const loop = new EventLoop(new Trace(options.onLine));
    this.#loop = loop;
    const network = new SimulatedNetwork(loop, random.fork('network'), scenario.network);
    const machines = scenario.nodes.map(
      (id) => new Machine(id, loop, network, random.fork(`machine ${id}`), scenario.machine),
    );
    const invariants = new Invariants();
    this.#cluster = new Cluster(loop, machines, invariants, {
      ...scenario,
      deletions: this.#deletions,
      onDeath: (process) => this.#workload.processDied(process),
    });
    this.#workload = new Workload(
      loop,
      random.fork('workload'),
      scenario.workload,
      this.#history,
      () => this.#cluster.servers(),
      this.#deletions,
    );
    this.#faults = new Faults(loop, random.fork('faults'), scenario.faults, this.#cluster, network);
    this.#areApart = scenario.areApart ?? false;
    this.#isOverWolf = scenario.nodeOptions(scenario.nodes[0]!).wolf !== undefined;
    network.wolf.onAnswer = (id, answer) => {
      const { node } = this.#cluster.nodes().find((each) => each.id === id) ?? {};
      if (node !== undefined) checkConflict(node, answer);
    };
    network.wolf.onVote = (id, term, candidate) => invariants.voted(id, WOLF_SHARD, term, candidate);
  }

  async run(): Promise<void> {
    for (const id of this.#random.shuffled(this.#cluster.ids)) this.#cluster.start(id);
    this.#workload.start();
    if (this.#isOverWolf) this.#bootstrap();
    // Most clusters are in order before the first fault; some do not even form without faults (T4).
    if (!this.#random.chance(0.2)) {
      const isFormed = () => this.#cluster.nodes().some(({ node }) => node.reports.readiness().isReady);
      await this.#reach('a new cluster becomes ready', PROGRESS_BOUND_US, isFormed);
    }
    this.#faults.start();
    await this.#loop.run(() => {
      this.#cluster.observe();
      return this.#loop.steps >= this.#options.steps;
    });

    this.#workload.stop();
    this.#faults.heal();
    this.#keepUp();
    for (const id of this.#cluster.ids) await this.#makeProgress(id);
    const isIdle = () => this.#workload.pendingCount === 0;
    await this.#reach('every request ends', CONVERGENCE_BOUND_US, isIdle);
    await this.#reach('replicas become equal', CONVERGENCE_BOUND_US, () => this.#isEqual());
    await this.#compareContents();
    this.#history.check();
  }

  result(violation: Error | undefined): SimulationResult {
    const { trace } = this.#loop;
    return {
      seed: this.#options.seed,
      steps: this.#loop.steps,
      faults: this.#faults.count,
      operations: this.#history.answered,
      restored: this.#workload.restored,
      refusedRollbacks: this.#cluster.refusedRollbacks,
      wipedDisks: this.#cluster.wipedDisks,
      damagedDisks: this.#cluster.damagedDisks,
      deletions: this.#deletions.counts,
      virtualSeconds: this.#loop.nowUs / 1e6,
      traceHash: trace.hash(),
      violation,
      lines: trace.lines(),
    };
  }

  /** Plays an operator who asks one node after another until the group has a leader. */
  #bootstrap(): void {
    const nodes = this.#cluster.nodes();
    const groups = nodes.flatMap(({ node }) => [...node.inspect().groups]);
    if (groups.some(({ group, raft }) => group === WOLF_SHARD && raft.leader !== NO_NODE)) return;
    const asked = nodes.length === 0 ? undefined : this.#random.pick(nodes);
    if (asked !== undefined) {
      const request = { msgId: 'operator', numberOfNodes: BigInt(this.#cluster.ids.length) };
      this.#loop.schedule(0, EventKind.Client, asked.server.process, () => {
        // It rejects when the node ends meanwhile, which is checked elsewhere.
        asked.node.wolf.bootstrap(request).catch(() => undefined);
      });
    }
    this.#loop.schedule(200_000, EventKind.Client, undefined, () => this.#bootstrap());
  }

  /** Starts nodes that are down again: some are still leaving when everything is healed, and end later. */
  #keepUp(): void {
    for (const id of this.#cluster.ids) if (!this.#cluster.isUp(id)) this.#cluster.start(id);
    this.#loop.schedule(50_000, EventKind.Fault, undefined, () => this.#keepUp());
  }

  /** Checks that the healed node answers a write and a linearizable read; over wolf.raft, only the leader must. */
  async #makeProgress(id: NodeId): Promise<void> {
    let hasAnswered = false;
    let failure: { error: unknown } | undefined;
    const probe = async () => {
      while (!hasAnswered) {
        const nodes = this.#cluster.nodes();
        for (const { server } of this.#isOverWolf ? nodes : nodes.filter((node) => node.id === id)) {
          hasAnswered ||= await this.#workload.probe(server);
        }
        if (!hasAnswered) await this.#sleep(50_000);
      }
    };
    probe().catch((error: unknown) => {
      failure = { error };
    });
    await this.#reach(`node ${id} answers`, PROGRESS_BOUND_US, () => {
      if (failure !== undefined) throw failure.error;
      return hasAnswered;
    });
  }

  /** Whether all replicas of all groups have applied everything and have the same hash. */
  #isEqual(): boolean {
    const states = this.#cluster
      .nodes()
      .map(({ node }) =>
        [...this.#cluster.inspect(node)].map((group) => {
          const isWhole = group.appliedIndex === group.lastIndex && group.contentHash !== undefined;
          return isWhole ? `${group.group}:${group.appliedIndex}:${group.contentHash}` : undefined;
        }),
      )
      .map((groups) => groups.sort());
    const first = states[0];
    if (first === undefined || states.length !== this.#cluster.ids.length) return false;
    // Groups that each cluster has for itself are not compared, but must be ready, too.
    if (this.#areApart && !this.#cluster.nodes().every(({ node }) => node.reports.readiness().isReady))
      return false;
    return states.every(
      (state) =>
        state.length === first.length && state.every((text, i) => text !== undefined && text === first[i]),
    );
  }

  /**
   * Checks that the records themselves are as equal as their hashes; and that replicas are equal at earlier revisions
   * (A1).
   */
  async #compareContents(): Promise<void> {
    let isDone = false;
    let failure: { error: unknown } | undefined;
    this.#compareReplicas().then(
      () => {
        isDone = true;
      },
      (error: unknown) => {
        failure = { error };
      },
    );
    await this.#reach('serializable reads end', CONVERGENCE_BOUND_US, () => {
      if (failure !== undefined) throw failure.error;
      return isDone;
    });
  }

  async #compareReplicas(): Promise<void> {
    const readables = await Promise.all(
      this.#cluster.nodes().map(({ node, server }) => {
        const deadlineMs = server.monotonicMs() + 10_000;
        return node.kv.read(MAIN_TABLE, { linearizable: false }, { deadlineMs });
      }),
    );
    const { revision, historyFloor } = readables[0]!.table;
    const past = Array.from({ length: PAST_COMPARED }, () => this.#random.integer(historyFloor, revision));
    for (const at of [undefined, ...past]) {
      const contents: (string | undefined)[] = [];
      for (const readable of readables) contents.push(await contentOf(readable, at));
      const known = contents.filter((content) => content !== undefined);
      if (known.every((content) => content === known[0])) continue;
      const detail =
        at === undefined ? 'with equal hashes hold different records' : `differ at revision ${at}`;
      throw new Violation('equal contents', `replicas ${detail}`);
    }
  }

  async #reach(what: string, boundUs: number, isReached: () => boolean): Promise<void> {
    const endUs = this.#loop.nowUs + boundUs;
    await this.#loop.run(() => {
      this.#cluster.observe();
      if (isReached()) return true;
      if (this.#loop.nowUs <= endUs) return false;
      throw new Violation('liveness', `not within ${boundUs / 1e6} s: ${what}\n${this.#cluster.describe()}`);
    });
  }

  #sleep(delayUs: number): Promise<void> {
    return new Promise((resolve) => {
      this.#loop.schedule(delayUs, EventKind.Client, undefined, resolve);
    });
  }
}

/**
 * Checks, as an answer leaves, that the entry named by a refusal is committed: a stock leader counts it as replicated
 * (docs/operations-protocols.md §1, trap 1).
 */
function checkConflict(node: Node, { response }: WolfAnswer): void {
  const replica = [...node.inspect().groups].find(({ group }) => group === WOLF_SHARD);
  const conflict = response?.$case === 'okRes' ? response.value.conflictOpt : undefined;
  if (conflict === undefined || replica === undefined) return;
  const { commitIndex } = replica.raft;
  check(
    conflict.index <= BigInt(commitIndex),
    'conflict_opt names a committed entry',
    () => `it names entry ${conflict.index}, and ${commitIndex} is committed`,
  );
}

/**
 * Returns every record, key by key; undefined when history does not reach back any more, or the table was closed
 * meanwhile.
 */
async function contentOf(readable: ReadableTable, at: number | undefined): Promise<string | undefined> {
  try {
    const { records } = await readAll(readable.table, wholeRange, (seen) => readable.header(seen), at);
    await checkCounts(readable.table, wholeRange, at);
    return records
      .map((r) => `${r.key}=${r.createRevision}/${r.modRevision}/${r.version}:${r.value}`)
      .join('\n');
  } catch (error) {
    if (at !== undefined && error instanceof RevisionCompactedError) return undefined;
    if (error instanceof TableError && error.code === 'closed') return undefined;
    throw error;
  }
}
