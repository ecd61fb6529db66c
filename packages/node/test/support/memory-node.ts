import {
  type Call,
  ClusterClone,
  type ClusterRole,
  errors,
  type LedTable,
  type NodeParts,
  type NodeStatus,
  type RegisteredClone,
  systemClock,
  systemRandom,
  type TableInfo,
  type TableLog,
} from '../../src/index.js';
import { MemoryTable, type MemoryTableOptions } from './memory-table.js';

/**
 * The parts of a node that backups, the archive and other backup tools' agents see, with real tables in memory. It leads all
 * of them but those that a test says others lead.
 */
export class MemoryNode {
  role: ClusterRole | undefined = 'leader';
  clusterId: string | undefined = 'c1';
  leadsMeta = true;
  readonly tables = new Map<string, MemoryTable>();
  /** Those whose groups another node leads. */
  readonly elsewhere = new Set<MemoryTable>();
  /** Called before a log is opened. */
  beforeOpen: (name: string) => Promise<void> | void = () => undefined;
  /** Up to where the archive has the logs, by shard. */
  readonly archived = new Map<number, number>();
  backlog = { sizeBytes: 0, refusesWrites: false };
  readonly compactions: ReadonlyMap<string, number>[] = [];
  #lastShardId = 10_000;
  #clone: RegisteredClone | undefined;
  readonly #listeners = new Set<() => void>();
  /** The real one, over a registry that is a variable. */
  readonly clone = new ClusterClone({
    clock: systemClock,
    random: systemRandom,
    log: () => undefined,
    self: { node: 1, boot: 'b' },
    registered: () => this.#clone,
    isFresh: () => true,
    confirmRead: () => Promise.resolve(),
    write: (clone) => {
      this.#setClone(clone && { ...clone, modRevision: (this.#clone?.modRevision ?? 0) + 1 });
      return Promise.resolve(true);
    },
    isKnownToAll: () => true,
    leadsMeta: () => true,
    isAlive: () => true,
  });

  /** This fake as the objects that a node hands out. */
  readonly parts: NodeParts = partsOf(this);

  #setClone(clone: RegisteredClone | undefined): void {
    this.#clone = clone;
    this.changed();
  }

  /** As on another node that an operator asked for it. */
  forgetClone(): void {
    this.#setClone(undefined);
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  changed(): void {
    for (const listener of this.#listeners) listener();
  }

  /** Makes a table that this node leads. Its shard has the next id unless it is given. */
  async createTable(
    name: string,
    options: Partial<Omit<MemoryTableOptions, 'name'>> = {},
  ): Promise<MemoryTable> {
    const table = await MemoryTable.open({ name, shardId: ++this.#lastShardId, ...options });
    this.addTable(table);
    return table;
  }

  /** Has this node lead a table that exists, such as one that another node led. */
  addTable(table: MemoryTable): void {
    this.tables.set(table.name, table);
    this.changed();
  }

  status(): NodeStatus {
    const tables = [...this.tables.values()].map(({ name, shardId }) => ({ name, shardId }));
    return { clusterId: this.clusterId, tables } as unknown as NodeStatus;
  }

  ledTables(): LedTable[] {
    return [...this.tables.values()]
      .filter((table) => !this.elsewhere.has(table) && table.isServing)
      .map(({ name, shardId, term }) => ({ name, shardId, term, stopped: undefined, isResetWanted: false }));
  }

  archiveBacklog(): { sizeBytes: number; refusesWrites: boolean } {
    return this.backlog;
  }

  archivedIndex(shardId: number): number {
    return this.archived.get(shardId) ?? 0;
  }

  reportArchived(indices: ReadonlyMap<number, number>): Promise<void> {
    for (const [shardId, index] of indices) this.archived.set(shardId, index);
    return Promise.resolve();
  }

  compactLogs(followedUpTo: ReadonlyMap<string, number>): Promise<void> {
    this.compactions.push(followedUpTo);
    return Promise.resolve();
  }

  listTables(): Promise<TableInfo[]> {
    const infos = [...this.tables].map(([name, { shardId }]) => ({ name, shardId, config: undefined }));
    return Promise.resolve(infos.sort((a, b) => (a.name < b.name ? -1 : 1)));
  }

  async openLog(name: string, _call?: Call): Promise<TableLog> {
    await this.beforeOpen(name);
    const table = this.tables.get(name);
    if (table === undefined) throw errors.tableNotFound();
    return table;
  }
}

function partsOf(fake: MemoryNode): NodeParts {
  const parts = {
    cluster: {
      get role() {
        return fake.role;
      },
      get id() {
        return fake.clusterId;
      },
      get leadsMeta() {
        return fake.leadsMeta;
      },
      onChange: (listener: () => void) => fake.onChange(listener),
    },
    tables: { list: () => fake.listTables() },
    logs: { led: () => fake.ledTables(), open: (name: string, call: Call) => fake.openLog(name, call) },
    maintenance: {
      get clone() {
        return fake.clone;
      },
      archiveBacklog: () => fake.archiveBacklog(),
      archivedIndex: (shardId: number) => fake.archivedIndex(shardId),
      reportArchived: (indices: ReadonlyMap<number, number>) => fake.reportArchived(indices),
      compactLogs: (followedUpTo: ReadonlyMap<string, number>) => fake.compactLogs(followedUpTo),
    },
    reports: { status: () => fake.status() },
  };
  return parts as unknown as NodeParts;
}
