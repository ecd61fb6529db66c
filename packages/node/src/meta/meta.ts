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

/** How long the node waits before it tries again what it wants for itself, in ticks. */
const RETRY_TICKS = 10;

export interface MetaOptions {
  readonly options: NodeOptions;
  readonly environment: Environment;
  readonly identity: Identity;
  readonly replicas: Replicas;
  readonly propose: Propose;
  readonly peers: Peers;
  readonly liveness: Liveness;
  readonly isStopping: () => boolean;
  /** Runs work that nobody waits for. */
  readonly run: (work: Promise<unknown>) => void;
  /** This data must not be used as the node was started. */
  readonly onRefused: (error: DataDirectoryError) => void;
  /** The registry says something new. */
  readonly onChanged: () => void;
}

/** The meta group on this node: which tables and members there are, and who sees to it. */
export class Meta {
  readonly group: MetaGroup;
  readonly directory: TableDirectory;
  readonly settings: ClusterSettings;
  readonly members: MemberRecords;
  readonly lifecycle: TableLifecycle;
  readonly takeovers: Takeovers;
  readonly archived: ArchivedIndices;
  /** The clone of another cluster that fills this one, or was meant to. */
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
      // Whoever has heard of nobody for so long takes none for the group's leader.
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

  /** The node stops: those who wait for the registry go on. */
  stopping(): void {
    this.directory.changes.notify();
  }

  /** The genesis is known: makes the meta group where it is missing, and takes part. */
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
      // Somebody must be first, and the founder knows that it is.
      if (this.#options.nodeId === membership.voters[0]) meta.campaign(0);
    } else if (this.#identity.phase === 'joining') {
      await this.#identity.complete();
    }
    if (meta.hasTable) await this.directory.follow();
    meta.wake();
    this.#run(this.#catchUp());
  }

  /** After a start: what the disk says of the tables may be old, until the meta group has confirmed it. */
  async #catchUp(): Promise<void> {
    await this.#persist(async (deadlineMs) => {
      await this.group.confirmRead(deadlineMs);
      this.#isFresh = true;
    });
    await this.#persist((deadlineMs) => this.members.writeOwn(deadlineMs));
  }

  /** As the meta group's leader: writes the genesis, and the tables that were asked for at the start. */
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
          // A restore makes it, which would end in an error if it was made here (T2).
          if (isThere !== undefined) continue;
          await this.group.propose(this.group.commands.createTable(name, undefined, false), deadlineMs);
        }
      },
      () => this.group.replica().isLeader,
    );
  }

  /** Called from time to time: ends what a caller's deadline or a crash left half-way. */
  async tend(): Promise<void> {
    if (this.#isTending) return;
    this.#isTending = true;
    try {
      // What one of them cannot do now, for lack of a quorum or of time, keeps none of the others.
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

  /** Tries what the node wants for itself until it works, is not wanted any more, or the node stops. */
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
