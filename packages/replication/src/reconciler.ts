import { ApiError, type NodeParts, Status } from '@coxswain/node';
import { replication } from '@coxswain/protocol';
import { Backoff, jittered, pause } from '@coxswain/runtime';
import { replicationEvents } from './events.js';
import type { FollowerEnvironment } from './follower-environment.js';
import type { FollowerOptions } from './follower-options.js';
import { LinkError } from './leader-link.js';

/**
 * R4: a table is removed only when it was missing from this many complete answers in a row, over this many
 * milliseconds.
 */
const ABSENCES_MIN = 3;
const ABSENCE_MS_MIN = 5 * 60_000;
const CALL_MS = 10_000;

interface Absence {
  readonly shardId: number;
  readonly sinceMs: number;
  count: number;
}

export interface ReconcilerContext {
  readonly node: Pick<NodeParts, 'tables' | 'cluster' | 'follower' | 'members' | 'reports'>;
  readonly environment: FollowerEnvironment;
  readonly options: FollowerOptions;
  readonly contact: (isThere: boolean) => void;
  /** Called when the leader cluster's identity was confirmed for the first time, or was found to be another one. */
  readonly onChecked: () => void;
}

/**
 * Compares this cluster with the leader cluster's list of tables from time to time. Every node checks that it still is
 * the same leader cluster (R4); the node that leads the meta group creates and removes tables here to match that list.
 */
export class Reconciler {
  readonly #context: ReconcilerContext;
  readonly #backoff: Backoff;
  readonly #absences = new Map<string, Absence>();
  #nap = new AbortController();
  #isLeaderKnown = false;
  #error: string | undefined;
  #isForeign = false;
  #leaderNodes: readonly string[] | undefined;

  constructor(context: ReconcilerContext) {
    this.#context = context;
    const { reconcileIntervalMs } = context.options;
    this.#backoff = new Backoff(context.environment.random, {
      leastMs: Math.min(250, reconcileIntervalMs),
      greatestMs: reconcileIntervalMs,
    });
  }

  /** True when the leader cluster was met and is the one that this cluster belongs to. */
  get isLeaderKnown(): boolean {
    return this.#isLeaderKnown && !this.#isForeign;
  }

  /** True when it is another leader cluster; nothing is taken from it. */
  get isForeign(): boolean {
    return this.#isForeign;
  }

  /**
   * The names of the leader cluster's nodes; empty for a stock one, undefined until it was met for the first time since
   * the process started.
   */
  get leaderNodes(): readonly string[] | undefined {
    return this.#leaderNodes;
  }

  /** The reason for which the last comparison failed; undefined when it succeeded. */
  get error(): string | undefined {
    return this.#error;
  }

  /** Compares again soon, since its last findings may be out of date. */
  wake(): void {
    this.#nap.abort();
  }

  /** Compares from time to time. Resolves when aborted. Rejects with a broken invariant. */
  async run(signal: AbortSignal): Promise<void> {
    const { environment, options, contact } = this.#context;
    while (!signal.aborted) {
      let delayMs = jittered(environment.random, options.reconcileIntervalMs);
      try {
        await this.#reconcile(signal);
        if (!this.#isForeign) this.#error = undefined;
        this.#backoff.reset();
      } catch (error) {
        if (!(error instanceof LinkError || error instanceof ApiError)) throw error;
        if (error instanceof LinkError && !error.isFromLeader) contact(false);
        if (!signal.aborted)
          this.#error = `the tables of the leader cluster cannot be compared: ${error.message}`;
        delayMs = this.#backoff.next();
      }
      await this.#sleep(delayMs, signal);
    }
  }

  async #sleep(delayMs: number, signal: AbortSignal): Promise<void> {
    const wake = (): void => this.wake();
    signal.addEventListener('abort', wake);
    if (signal.aborted) wake();
    await pause(this.#context.environment.clock, delayMs, this.#nap.signal);
    signal.removeEventListener('abort', wake);
    this.#nap = new AbortController();
  }

  async #reconcile(signal: AbortSignal): Promise<void> {
    const { node, environment, contact, onChecked } = this.#context;
    const { clock, link } = environment;
    const call = { deadlineMs: clock.monotonicMs() + CALL_MS, signal };
    const { tables, clusterId, nodes } = await link.metadata({ follower: this.#self() }, call);
    contact(true);
    this.#leaderNodes = nodes;
    if (signal.aborted) return;
    const bound = node.cluster.leaderClusterId ?? (await node.follower.bindLeaderCluster(clusterId, call));
    const wasKnown = this.isLeaderKnown;
    this.#isLeaderKnown = true;
    this.#isForeign = bound !== clusterId;
    if (this.#isForeign) {
      this.#absences.clear();
      this.#error = `the leader cluster is ${name(clusterId)}, and this cluster belongs to ${name(bound)}: correct replication.leader-address, or run "coxswain reset --all" to take everything from the other one`;
    }
    if (this.isLeaderKnown !== wasKnown || this.#isForeign) onChecked();
    const isFollowing = !this.#isForeign && node.cluster.leadsMeta && !node.members.isReplicationPaused;
    if (isFollowing) await this.#follow(tables, signal);
    else this.#absences.clear();
  }

  /** Reports this node and its state to the leader cluster. Rejects with a LinkError. */
  async tell(deadlineMs: number): Promise<void> {
    await this.#context.environment.link.metadata({ follower: this.#self() }, { deadlineMs });
  }

  #self(): replication.FollowerNode {
    const { node, options } = this.#context;
    const { nodeId, clusterId, members } = node.reports.status();
    const address = members.find(({ id }) => id === nodeId)?.restAddress ?? '';
    const state = node.members.state(nodeId);
    return { clusterId: clusterId ?? '', name: options.followerName, address, state };
  }

  async #follow(tables: readonly replication.Table[], signal: AbortSignal): Promise<void> {
    const { node, environment } = this.#context;
    const { clock, log } = environment;
    const call = () => ({ deadlineMs: clock.monotonicMs() + CALL_MS });
    const theirs = new Set(
      tables.filter(({ type }) => type === replication.Table_Type.REPLICATED).map((table) => table.name),
    );
    const ours = new Map((await node.tables.list(call())).map((table) => [table.name, table.shardId]));
    const refused: string[] = [];
    for (const table of theirs) {
      if (ours.has(table) || signal.aborted || node.members.isReplicationPaused) continue;
      try {
        await node.follower.createTable(table, call());
        log(replicationEvents.followedTableMade, { table });
      } catch (error) {
        if (!(error instanceof ApiError) || !isLasting(error)) throw error;
        refused.push(`${table}: ${error.message}`);
      }
    }
    // A leader cluster of ours numbers its shards, and the log of a new shard never fits an old cursor (T1).
    await this.#dropAbsent(theirs, ours, node.cluster.leaderClusterId === '');
    if (refused.length > 0)
      throw new ApiError(Status.InvalidArgument, `not made here: ${refused.join('; ')}`);
  }

  /**
   * Removes tables that the leader cluster no longer has (R4). It ignores an empty list, which no healthy leader
   * cluster gives.
   */
  async #dropAbsent(
    theirs: ReadonlySet<string>,
    ours: ReadonlyMap<string, number>,
    isStock: boolean,
  ): Promise<void> {
    const { node, environment } = this.#context;
    const { clock, log } = environment;
    const nowMs = clock.monotonicMs();
    for (const [table, { shardId }] of this.#absences) {
      if (isStock && theirs.has(table) && ours.get(table) === shardId) {
        // Otherwise nobody would notice, when the new table's log is as long as the cursor.
        log(replicationEvents.followedTableReturned, { table });
        await node.follower.requestReset(table, { deadlineMs: clock.monotonicMs() + CALL_MS });
      }
      if (theirs.has(table) || ours.get(table) !== shardId) this.#absences.delete(table);
    }
    if (theirs.size === 0) {
      this.#absences.clear();
      return;
    }
    for (const [table, shardId] of ours) {
      if (theirs.has(table)) continue;
      const absence = this.#absences.get(table) ?? { shardId, sinceMs: nowMs, count: 0 };
      absence.count++;
      this.#absences.set(table, absence);
      if (absence.count < ABSENCES_MIN || nowMs - absence.sinceMs < ABSENCE_MS_MIN) continue;
      await node.follower.quarantine(table, shardId, { deadlineMs: clock.monotonicMs() + CALL_MS });
      this.#absences.delete(table);
      log(replicationEvents.followedTableGone, { table, readableAs: `quarantine/${shardId}/${table}` });
    }
  }
}

/** Whether another attempt would fail in the same way. */
function isLasting({ status }: ApiError): boolean {
  return status === Status.InvalidArgument || status === Status.ResourceExhausted;
}

function name(clusterId: string): string {
  return clusterId === '' ? 'one that sends no id' : clusterId;
}
