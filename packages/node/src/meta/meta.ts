import type { Environment } from '../api/environment.js';
import { ApiError } from '../api/errors.js';
import type { NodeOptions } from '../api/options.js';
import type { DataDirectoryError, Identity } from '../cluster/identity.js';
import type { Liveness } from '../cluster/liveness.js';
import type { Peers } from '../cluster/peers.js';
import { nodeEvents } from '../events.js';
import type { Replicas } from '../group/replicas.js';
import { ArchivedIndices } from './archived-indices.js';
import { ClusterClone } from './cluster-clone.js';
import { ClusterSettings } from './cluster-settings.js';
import { MemberRecords } from './member-records.js';
import { MetaGroup, type Propose } from './meta-group.js';
import { OWN_PROPOSAL_MS } from './own-proposals.js';
import { META_SHARD } from './shards.js';
import { TableDirectory } from './table-directory.js';
import { TableLifecycle } from './table-lifecycle.js';
import { Takeovers } from './takeovers.js';

/** The pause, in ticks, before the node repeats a failed attempt at work of its own. */
const RETRY_TICKS = 10;

/** The parts of a node that Meta uses. */
export interface MetaOptions {
  readonly options: NodeOptions;
  readonly environment: Environment;
  readonly identity: Identity;
  readonly replicas: Replicas;
  readonly propose: Propose;
  readonly peers: Peers;
  readonly liveness: Liveness;
  readonly isStopping: () => boolean;
  /** Runs background work. */
  readonly run: (work: Promise<unknown>) => void;
  /** Called when this data must not be used in the role in which the node was started. */
  readonly onRefused: (error: DataDirectoryError) => void;
  /** Called when the registry has changed. */
  readonly onChanged: () => void;
}

/**
 * The meta group on this node: the parts that know and change its tables, members and settings, and their housekeeping.
 */
export class Meta {
  readonly group: MetaGroup;
  readonly directory: TableDirectory;
  readonly settings: ClusterSettings;
  readonly members: MemberRecords;
  readonly lifecycle: TableLifecycle;
  readonly takeovers: Takeovers;
  readonly archived: ArchivedIndices;
  /** The clone of another cluster that fills this one, or that began to and did not succeed. */
  readonly clone: ClusterClone;
  readonly #options: NodeOptions;
  readonly #environment: Environment;
  readonly #identity: Identity;
  readonly #replicas: Replicas;
  readonly #isStopping: () => boolean;
  readonly #run: (work: Promise<unknown>) => void;
  #isFresh = false;
  #isTending = false;

  constructor(given: MetaOptions) {
    const { options, environment, identity, replicas, propose, peers, liveness, isStopping } = given;
    const { clock, random, log } = environment;
    this.#options = options;
    this.#environment = environment;
    this.#identity = identity;
    this.#replicas = replicas;
    this.#isStopping = isStopping;
    this.#run = given.run;
    this.group = new MetaGroup({ options, replicas, propose, liveness });
    const { registry, commands } = this.group;
    const loader = { node: options.nodeId, boot: identity.boot };
    this.clone = new ClusterClone({
      clock,
      random,
      log,
      self: loader,
      isFresh: () => this.isFresh,
      registered: () => registry.clone,
      confirmRead: (deadlineMs) => this.group.confirmRead(deadlineMs),
      write: (clone, deadlineMs) => this.group.propose(commands.writeClone(clone), deadlineMs),
      // A member that was silent for so long has given up every leader.
      isKnownToAll: (index) =>
        [...peers.ids].every((id) => peers.metaAppliedOf(id) >= index || liveness.isForlorn(id)),
      leadsMeta: () => this.group.isLed,
      isAlive: (peer) => liveness.isAlive(peer),
    });
    this.members = new MemberRecords(this.group, options, environment);
    this.settings = new ClusterSettings(this.group, { options, log, onRefused: given.onRefused });
    this.directory = new TableDirectory(this.group, {
      clock,
      replicas,
      wolfTable: options.wolf?.table,
      peers,
      settings: this.settings,
      isStopping,
      onRefused: given.onRefused,
      onChanged: given.onChanged,
    });
    const { clone, members, settings, directory } = this;
    const shared = { clock, replicas, propose, directory, settings, members, clone };
    this.lifecycle = new TableLifecycle(this.group, { options, ...shared });
    this.takeovers = new Takeovers(this.group, {
      ...shared,
      loader,
      tablesMax: options.tablesMax,
      liveness,
    });
    this.archived = new ArchivedIndices(this.group);
  }

  /** Whether this node has caught up with the meta group since it started. */
  get isFresh(): boolean {
    return this.#isFresh;
  }

  /** Wakes those who wait for a change of the registry, because the node stops. */
  stopping(): void {
    this.directory.changes.notify();
  }

  /** Called when the genesis is known: makes the meta group if it is missing, and takes part in it. */
  async enterCluster(): Promise<void> {
    let meta = this.group.known;
    if (meta === undefined) {
      const membership = this.group.membership();
      meta = await this.#replicas.create(META_SHARD, {
        name: 'meta',
        base: 0,
        isReplicated: false,
        membership,
      });
      await this.#identity.complete();
      this.#environment.log(nodeEvents.clusterFormed, { clusterId: this.#identity.clusterId });
      // Somebody must campaign first, and the founder knows that it is the one.
      if (this.#options.nodeId === membership.voters[0]) meta.campaign(0);
    } else if (this.#identity.phase === 'joining') {
      await this.#identity.complete();
    }
    if (meta.hasTable) await this.directory.follow();
    meta.wake();
    this.#run(this.#catchUp());
  }

  /**
   * Catches up with the meta group after a start: the disk's record of the tables may be out of date until the group
   * has confirmed it.
   */
  async #catchUp(): Promise<void> {
    await this.#persist(async (deadlineMs) => {
      await this.group.confirmRead(deadlineMs);
      this.#isFresh = true;
    });
    await this.#persist((deadlineMs) => this.members.writeOwn(deadlineMs));
  }

  /** Called when this node leads the meta group: writes the genesis, and makes the tables that exist from the start. */
  async lead(): Promise<void> {
    await this.#persist(
      async (deadlineMs) => {
        await this.group.confirmRead(deadlineMs);
        const { genesis } = this.#identity;
        const { role, initialTables } = this.#options;
        const names = role === 'leader' ? initialTables : [];
        if (!this.group.registry.hasGenesis && genesis !== undefined) {
          await this.group.propose(this.group.commands.writeGenesis(genesis, role, names), deadlineMs);
        }
        for (const name of names) {
          const isThere = this.group.registry.table(name) ?? this.group.registry.loadingOf(name);
          // A restore makes the table, and would fail if the table was made here (T2).
          if (isThere !== undefined) continue;
          await this.group.propose(this.group.commands.createTable(name, undefined, false), deadlineMs);
        }
      },
      () => this.group.replica().isLeader,
    );
  }

  /** Called from time to time: completes work that a caller's deadline or a crash left half done. */
  async tend(): Promise<void> {
    if (this.#isTending) return;
    this.#isTending = true;
    try {
      // A part that cannot do its work now, for lack of a quorum or of time, does not keep the others from theirs.
      await this.lifecycle.finishDeletions().catch(ignoreApiError);
      await this.takeovers.finishSwitches().catch(ignoreApiError);
      await this.lifecycle.endQuarantines().catch(ignoreApiError);
      await this.#dropRetired().catch(ignoreApiError);
      await this.#watchDescriptors().catch(ignoreApiError);
      await this.clone.tend().catch(ignoreApiError);
    } finally {
      this.#isTending = false;
    }
  }

  async #dropRetired(): Promise<void> {
    if (this.#isFresh) await this.directory.dropRetired();
  }

  async #watchDescriptors(): Promise<void> {
    if (this.#isFresh) await this.members.watchDescriptors();
  }

  /** Repeats work of the node's own until it succeeds, is no longer wanted, or the node stops. */
  async #persist(attempt: (deadlineMs: number) => Promise<void>, isWanted = () => true): Promise<void> {
    const { clock } = this.#environment;
    while (!this.#isStopping() && isWanted()) {
      try {
        await attempt(clock.monotonicMs() + OWN_PROPOSAL_MS);
        return;
      } catch (error) {
        if (!(error instanceof ApiError)) throw error;
        await new Promise<void>((resolve) => clock.startTimer(this.#options.tickMs * RETRY_TICKS, resolve));
      }
    }
  }
}

function ignoreApiError(error: unknown): void {
  if (!(error instanceof ApiError)) throw error;
}
