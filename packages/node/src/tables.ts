import { mvcc } from '@coxswain/protocol';
import { type Membership, NO_NODE } from '@coxswain/raft';
import { type ApplyResult, CommandKind } from '@coxswain/table';
import type { GroupId } from '@coxswain/wal';
import type { Call, MemberInfo, TableInfo } from './api.js';
import type { Environment } from './environment.js';
import { ApiError, errors, Status } from './errors.js';
import type { Identity } from './identity.js';
import type { NodeOptions } from './options.js';
import { META_SHARD, type RegisteredTable, Registry } from './registry.js';
import type { Replica } from './replica.js';
import type { Replicas } from './replicas.js';

/** What the node proposes for itself is tried for this long, and again later. */
const OWN_PROPOSAL_MS = 5000;
/** How long the node waits before it tries again what it wants for itself, in ticks. */
const RETRY_TICKS = 10;

export interface TablesOptions {
  readonly options: NodeOptions;
  readonly environment: Environment;
  readonly identity: Identity;
  readonly replicas: Replicas;
  readonly propose: (
    replica: Replica,
    kind: CommandKind,
    command: Buffer,
    deadlineMs: number,
  ) => Promise<ApplyResult>;
  /** Makes the replica's table durable (D4). */
  readonly checkpoint: (replica: Replica) => Promise<void>;
  /** The lowest applied index of the meta group that any member is known to have. */
  readonly lowestMetaApplied: () => number;
  readonly isStopping: () => boolean;
  /** Runs work that nobody waits for. */
  readonly run: (work: Promise<unknown>) => void;
}

/** The meta group on this node, and the tables that it says exist. */
export class Tables {
  readonly #options: NodeOptions;
  readonly #environment: Environment;
  readonly #identity: Identity;
  readonly #replicas: Replicas;
  readonly #context: TablesOptions;
  readonly #registry = new Registry();
  /** By name: the replicas of tables that exist, as of the meta group's applied index here. */
  #byName = new Map<string, Replica>();
  /** Deleted shards, and the index of the meta group at which this node learned of it (T2). */
  readonly #retired = new Map<GroupId, number>();
  #isFresh = false;
  #isTending = false;
  #followed: Promise<void> = Promise.resolve();

  constructor(options: TablesOptions) {
    this.#context = options;
    this.#options = options.options;
    this.#environment = options.environment;
    this.#identity = options.identity;
    this.#replicas = options.replicas;
  }

  /** The replica of a table that exists as far as this node knows. */
  get(name: string): Replica | undefined {
    return this.#byName.get(name);
  }

  /** T5: only the meta group, asked now, can tell that a table does not exist. Requests share its rounds. */
  async find(name: string, call: Call): Promise<Replica> {
    const known = this.#byName.get(name);
    if (known !== undefined) return known;
    await this.meta().confirmRead(call.deadlineMs);
    const replica = this.#byName.get(name);
    if (replica === undefined) throw errors.tableNotFound();
    return replica;
  }

  /** Sorted by name. */
  replicas(): Replica[] {
    return this.#registry.tables().flatMap(({ name }) => this.#byName.get(name) ?? []);
  }

  members(): MemberInfo[] {
    return [...this.#options.initialMembers].map(([id, raftAddress]) => {
      const told = this.#registry.member(id);
      // Addresses come from the flags at each start; what a member told before may be of an earlier one.
      return { id, name: told?.name ?? `node-${id}`, raftAddress, clientUrls: told?.clientUrls ?? [] };
    });
  }

  /** The cluster has formed and said so in its log. */
  get hasGenesis(): boolean {
    return this.#registry.hasGenesis;
  }

  /** Since it started, this node has caught up with the meta group. */
  get isFresh(): boolean {
    return this.#isFresh;
  }

  /** Throws `notReady` before the cluster has formed. */
  meta(): Replica {
    const meta = this.#replicas.get(META_SHARD);
    if (meta === undefined) throw errors.notReady();
    return meta;
  }

  get metaApplied(): number {
    const meta = this.#replicas.get(META_SHARD);
    return meta?.hasTable ? meta.table.appliedIndex : 0;
  }

  // ---- what callers ask for

  async create(name: string, config: Record<string, unknown> | undefined, call: Call): Promise<TableInfo> {
    checkTableName(name);
    for (;;) {
      await this.meta().confirmRead(call.deadlineMs);
      // The genesis takes the first shard ids for the tables that exist from the start.
      if (!this.#registry.hasGenesis) throw errors.notReady();
      if (this.#registry.table(name) !== undefined) throw errors.tableExists();
      const { tablesMax } = this.#options;
      if (this.#registry.tableCount >= tablesMax) throw errors.tooManyTables(tablesMax);
      // Another creation may have taken the name or the shard id meanwhile: then this one had no effect.
      if (await this.#propose(this.#registry.createTable(name, config), call.deadlineMs)) break;
    }
    const table = this.#registry.table(name);
    const replica = this.#byName.get(name);
    if (table === undefined || replica === undefined) throw errors.tableNotFound();
    if (replica.raft.leader === NO_NODE) replica.campaign(0);
    // Only a quorum that hosts the group and has a leader confirms a read (T5).
    await afterEffect(replica.confirmRead(call.deadlineMs));
    return { name, shardId: table.shardId, config: table.config };
  }

  async delete(name: string, call: Call): Promise<void> {
    if (name === '') throw errors.nameNotSet();
    await this.meta().confirmRead(call.deadlineMs);
    const table = this.#registry.table(name);
    const replica = this.#byName.get(name);
    if (table === undefined || replica === undefined) throw errors.tableToDeleteNotFound();
    await this.#seal(table, replica, call.deadlineMs);
  }

  async list(call: Call): Promise<TableInfo[]> {
    await this.meta().confirmRead(call.deadlineMs);
    return this.#registry.tables().map(({ name, shardId, config }) => ({ name, shardId, config }));
  }

  /** T2: sealed first, so that no node acknowledges a write that vanishes; then taken out of the registry. */
  async #seal(table: RegisteredTable, replica: Replica, deadlineMs: number): Promise<void> {
    const byNoShard = Buffer.alloc(8);
    const { index } = await this.#context.propose(replica, CommandKind.Seal, byNoShard, deadlineMs);
    await afterEffect(this.#propose(this.#registry.deleteTable(table, index), deadlineMs));
  }

  /** Whether the transaction's compares held. */
  async #propose(command: mvcc.Command, deadlineMs: number): Promise<boolean> {
    const bytes = mvcc.Command.encode(command).finish();
    const result = await this.#context.propose(this.meta(), CommandKind.Command, bytes, deadlineMs);
    return result.succeeded;
  }

  // ---- the meta group

  /** The genesis is known: makes the meta group where it is missing, and takes part. */
  async enterCluster(): Promise<void> {
    let meta = this.#replicas.get(META_SHARD);
    if (meta === undefined) {
      const membership = this.#membership();
      meta = await this.#replicas.create(META_SHARD, { name: 'meta', base: 0, membership });
      await this.#identity.complete();
      this.#environment.log('info', 'the cluster has formed', { clusterId: this.#identity.clusterId });
      // Somebody must be first, and the founder knows that it is.
      if (this.#options.nodeId === membership.voters[0]) meta.campaign(0);
    } else if (this.#identity.phase === 'joining') {
      await this.#identity.complete();
    }
    if (meta.hasTable) await this.follow();
    meta.wake();
    this.#context.run(this.#catchUp());
  }

  #membership(): Membership {
    const voters = [...this.#options.initialMembers.keys()].sort((a, b) => a - b);
    return { voters, learners: [] };
  }

  /**
   * Makes the tables here what the meta group says they are. Runs after each of its applies, one run at a
   * time, since it makes and opens stores.
   */
  follow(): Promise<void> {
    this.#followed = this.#followed.then(() => this.#followRegistry());
    return this.#followed;
  }

  async #followRegistry(): Promise<void> {
    const meta = this.meta();
    await this.#registry.reload(meta.table);
    const byName = new Map<string, Replica>();
    const opened = this.#registry.tables().map(async ({ name, shardId, base }) => {
      let replica = this.#replicas.get(shardId);
      if (replica === undefined) {
        replica = await this.#replicas.create(shardId, { name, base, membership: this.#membership() });
        if (meta.isLeader) replica.campaign(0);
      }
      replica.name = name;
      this.#retired.delete(shardId);
      byName.set(name, replica);
    });
    await Promise.all(opened);
    this.#byName = byName;
    const existing = new Set(byName.values());
    for (const replica of this.#replicas.values()) {
      if (replica === meta || existing.has(replica) || this.#retired.has(replica.group)) continue;
      this.#retired.set(replica.group, meta.table.appliedIndex);
    }
  }

  /** After a start: what the disk says of the tables may be old, until the meta group has confirmed it. */
  async #catchUp(): Promise<void> {
    await this.#persist(async (deadlineMs) => {
      await this.meta().confirmRead(deadlineMs);
      this.#isFresh = true;
    });
    await this.#persist((deadlineMs) => this.#tellMember(deadlineMs));
  }

  /** Tells the others how clients reach this node. */
  async #tellMember(deadlineMs: number): Promise<void> {
    const { nodeId, nodeName, clientUrls, initialMembers, version } = this.#options;
    const raftAddress = initialMembers.get(nodeId) ?? '';
    const member = { id: nodeId, name: nodeName, raftAddress, clientUrls, version };
    if (JSON.stringify(this.#registry.member(nodeId)) === JSON.stringify(member)) return;
    await this.#propose(this.#registry.writeMember(member), deadlineMs);
  }

  /** As the meta group's leader: writes the genesis, and the tables that were asked for at the start. */
  async lead(): Promise<void> {
    await this.#persist(
      async (deadlineMs) => {
        await this.meta().confirmRead(deadlineMs);
        const { genesis } = this.#identity;
        const names = this.#options.initialTables;
        if (!this.#registry.hasGenesis && genesis !== undefined) {
          await this.#propose(this.#registry.writeGenesis(genesis, names), deadlineMs);
        }
        for (const name of names) {
          if (this.#registry.table(name) !== undefined) continue;
          await this.#propose(this.#registry.createTable(name, undefined), deadlineMs);
        }
      },
      () => this.meta().isLeader,
    );
  }

  /** Called from time to time: ends what a caller's deadline or a crash left half-way. */
  async tend(): Promise<void> {
    if (this.#isTending) return;
    this.#isTending = true;
    try {
      await this.#finishDeletions();
      await this.#dropRetired();
    } finally {
      this.#isTending = false;
    }
  }

  /** A table that was sealed and is still registered is deleted to the end by its leader. */
  async #finishDeletions(): Promise<void> {
    for (const [name, replica] of this.#byName) {
      if (!replica.isLeader || !replica.hasTable || replica.table.sealedBy !== 0) continue;
      const table = this.#registry.table(name);
      if (table === undefined) continue;
      await this.#seal(table, replica, this.#environment.clock.monotonicMs() + OWN_PROPOSAL_MS);
    }
  }

  /** T2: a deleted shard goes when every member has applied its deletion: until then it can still be asked to seal. */
  async #dropRetired(): Promise<void> {
    const meta = this.#replicas.get(META_SHARD);
    if (meta === undefined || !this.#isFresh || !meta.hasTable) return;
    const lowest = this.#context.lowestMetaApplied();
    for (const [group, index] of this.#retired) {
      if (index > lowest) continue;
      if (index > meta.table.checkpointIndex) {
        // A crash may take the registry back to before the deletion (D4): the group, gone from the log for good,
        // would be made anew, empty, and serve until the deletion is applied again.
        if (!meta.table.isCheckpointing) await this.#context.checkpoint(meta);
        continue;
      }
      this.#retired.delete(group);
      const replica = this.#replicas.get(group);
      if (replica !== undefined) await this.#replicas.drop(replica);
    }
  }

  /** Tries what the node wants for itself until it works, is not wanted any more, or the node stops. */
  async #persist(attempt: (deadlineMs: number) => Promise<void>, isWanted = () => true): Promise<void> {
    const { clock } = this.#environment;
    while (!this.#context.isStopping() && isWanted()) {
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

/** P1: once a part of the work is done, UNAVAILABLE would tell that nothing was. */
async function afterEffect(work: Promise<unknown>): Promise<void> {
  try {
    await work;
  } catch (error) {
    if (error instanceof ApiError && error.status === Status.Unavailable) throw errors.outcomeUnknown();
    throw error;
  }
}

/** T5. Throws `nameNotSet` or `nameInvalid`. */
function checkTableName(name: string): void {
  if (name === '') throw errors.nameNotSet();
  const isBad = /[/\p{Cc}]/u.test(name);
  const bytes = Buffer.from(name);
  // A lone surrogate has no UTF-8: it would come back as another name.
  if (isBad || bytes.length > 255 || bytes.toString() !== name) throw errors.nameInvalid();
}
