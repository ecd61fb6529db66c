import {
  type Call,
  ClusterClone,
  type ClusterRole,
  errors,
  type LogEntry,
  type NodeParts,
  type NodeStatus,
  type RegisteredClone,
  systemClock,
  systemRandom,
  type TableInfo,
  type TableLog,
} from '@coxswain/node';
import { mvcc } from '@coxswain/protocol';
import { CommandKind, MemoryStoreDirectory, Table, type TableView } from '@coxswain/table';

/** A table with its log, in memory: what is appended is applied at once. */
export class MemoryTable implements TableLog {
  firstIndex = 1;
  loadedIndex = 0;
  isServing = true;
  readonly baseIndex = 0;
  readonly #log: LogEntry[] = [];
  /** Views that are open. */
  viewCount = 0;
  /** Who keeps it from being dropped. */
  readonly holders = new Set<object>();

  private constructor(
    readonly shardId: number,
    readonly table: Table,
  ) {
    const open = table.view.bind(table);
    table.view = (revision): TableView => {
      const view = open(revision);
      const close = view.close.bind(view);
      this.viewCount++;
      view.close = () => {
        this.viewCount--;
        // Closing twice is harmless, and counts once.
        view.close = close;
        close();
      };
      return view;
    };
  }

  static async make(shardId: number): Promise<MemoryTable> {
    const table = await Table.open({
      directory: new MemoryStoreDirectory(),
      name: `${shardId}`,
      create: true,
      initialIndex: 0,
      writeBufferSizeBytes: 64 * 1024 * 1024,
    });
    return new MemoryTable(shardId, table);
  }

  get appliedIndex(): number {
    return this.table.appliedIndex;
  }

  entries(from: number, maxBytes: number): LogEntry[] {
    const found: LogEntry[] = [];
    let bytes = 0;
    for (const entry of this.#log.slice(from - 1)) {
      bytes += entry.command.length;
      if (found.length > 0 && bytes > maxBytes) break;
      found.push(entry);
    }
    return found;
  }

  sizeBytesAbove(index: number): number {
    return this.#log.slice(index).reduce((sum, { command }) => sum + command.length, 0);
  }

  hold(): () => void {
    const holder = {};
    this.holders.add(holder);
    return () => this.holders.delete(holder);
  }

  appliedAbove(): Promise<void> {
    return Promise.resolve();
  }

  async append(command: Partial<mvcc.Command>, kind = CommandKind.Command): Promise<void> {
    const payload =
      kind === CommandKind.Command
        ? Buffer.from(mvcc.Command.encode(mvcc.Command.fromPartial(command)).finish())
        : Buffer.alloc(0);
    const index = this.#log.length + 1;
    const timeMs = 1_000 * index;
    this.#log.push({ index, term: 1, timeMs, kind, command: payload });
    await this.table.apply([
      { index, term: 1, timeMs, kind, payload, cursor: undefined, wantsResult: false },
    ]);
  }

  put(key: string, value: string): Promise<void> {
    return this.append({
      kv: mvcc.KeyValue.fromPartial({ key: Buffer.from(key), value: Buffer.from(value) }),
    });
  }
}

/** The part of a node that backups see, with real tables in memory. */
export class MemoryNode {
  role: ClusterRole | undefined = 'leader';
  clusterId: string | undefined = 'c1';
  readonly tables = new Map<string, MemoryTable>();
  /** Called before a log is opened. */
  beforeOpen: (name: string) => Promise<void> | void = () => undefined;
  /** Up to where the archive has the logs, by shard. */
  readonly archived = new Map<number, number>();
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
    for (const listener of this.#listeners) listener();
  }

  /** As on another node that an operator asked for it. */
  forgetClone(): void {
    this.#setClone(undefined);
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async createTable(name: string): Promise<MemoryTable> {
    const table = await MemoryTable.make(++this.#lastShardId);
    this.tables.set(name, table);
    return table;
  }

  status(): NodeStatus {
    return { clusterId: this.clusterId } as NodeStatus;
  }

  archivedIndex(shardId: number): number {
    return this.archived.get(shardId) ?? 0;
  }

  compactLogs(followedUpTo: ReadonlyMap<string, number>): Promise<void> {
    this.compactions.push(followedUpTo);
    return Promise.resolve();
  }

  listTables(): Promise<TableInfo[]> {
    const infos = [...this.tables].map(([name, { shardId }]) => ({ name, shardId, config: undefined }));
    return Promise.resolve(infos.sort((a, b) => (a.name < b.name ? -1 : 1)));
  }

  async openLog(name: string, _call: Call): Promise<TableLog> {
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
      onChange: (listener: () => void) => fake.onChange(listener),
    },
    tables: { list: () => fake.listTables() },
    logs: { open: (name: string, call: Call) => fake.openLog(name, call) },
    maintenance: {
      get clone() {
        return fake.clone;
      },
      archivedIndex: (shardId: number) => fake.archivedIndex(shardId),
      compactLogs: (followedUpTo: ReadonlyMap<string, number>) => fake.compactLogs(followedUpTo),
    },
    reports: { status: () => fake.status() },
  };
  return parts as unknown as NodeParts;
}
