import type { LedTable, LogEntry, NodeStatus, TableLog } from '@coxswain/node';
import { mvcc } from '@coxswain/protocol';
import { CommandKind, MemoryStoreDirectory, Table } from '@coxswain/table';
import type { ArchiverNode } from '../../src/archiver.js';
import { EPOCH_MS } from './shard.js';

const { PUT, TXN } = mvcc.Command_CommandType;

/** A table and its log, as the node that leads it has them: what is written is applied at once. Entries come one a second. */
export class FakeTable implements TableLog {
  firstIndex: number;
  appliedIndex: number;
  loadedIndex = 0;
  holds = 0;
  term = 1;
  isServing = true;
  readonly #entries: LogEntry[] = [];
  readonly #waiting = new Set<() => void>();

  private constructor(
    readonly name: string,
    readonly shardId: number,
    readonly baseIndex: number,
    readonly table: Table,
  ) {
    this.firstIndex = baseIndex + 1;
    this.appliedIndex = baseIndex;
  }

  static async open(name: string, { shardId = 10_001, baseIndex = 0 } = {}): Promise<FakeTable> {
    const directory = new MemoryStoreDirectory();
    const options = { create: true, initialIndex: baseIndex, writeBufferSizeBytes: 4 * 1024 * 1024 };
    const table = await Table.open({ directory, name: String(shardId), ...options });
    return new FakeTable(name, shardId, baseIndex, table);
  }

  entries(from: number, maxBytes: number): LogEntry[] {
    if (from < this.firstIndex || from > this.appliedIndex) throw new RangeError(`no entry ${from}`);
    const entries: LogEntry[] = [];
    let bytes = 0;
    for (const entry of this.#entries) {
      if (entry.index < from || (entries.length > 0 && bytes + entry.command.length > maxBytes)) continue;
      entries.push(entry);
      bytes += entry.command.length;
    }
    return entries;
  }

  hold(): () => void {
    this.holds++;
    return () => this.holds--;
  }

  sizeBytesAbove(index: number): number {
    return this.#entries.reduce(
      (sum, entry) => sum + (entry.index > index ? 100 + entry.command.length : 0),
      0,
    );
  }

  appliedAbove(index: number, waitMs: number, signal: AbortSignal | undefined): Promise<void> {
    if (this.appliedIndex > index || !this.isServing || signal?.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      const end = (): void => {
        clearTimeout(timer);
        this.#waiting.delete(end);
        resolve();
      };
      const timer = setTimeout(end, Math.min(waitMs, 2 ** 31 - 1));
      this.#waiting.add(end);
      signal?.addEventListener('abort', end, { once: true });
    });
  }

  /** Ends every `appliedAbove` under way as the end of its time would. Gives how many there were. */
  endWaits(): number {
    const waits = [...this.#waiting];
    for (const wake of waits) wake();
    return waits.length;
  }

  put(key: string, value: string): Promise<void> {
    const kv = mvcc.KeyValue.fromPartial({ key: Buffer.from(key), value: Buffer.from(value) });
    return this.#command(mvcc.Command.fromPartial({ type: PUT, kv }));
  }

  txn(txn: mvcc.Txn): Promise<void> {
    return this.#command(mvcc.Command.fromPartial({ type: TXN, txn }));
  }

  /** What a new leader begins with. */
  empty(): Promise<void> {
    return this.#append(CommandKind.None, Buffer.alloc(0));
  }

  seal(): Promise<void> {
    return this.#append(CommandKind.Seal, Buffer.alloc(8));
  }

  compact(firstIndex: number): void {
    this.firstIndex = firstIndex;
    this.#entries.splice(
      0,
      this.#entries.findIndex(({ index }) => index >= firstIndex),
    );
  }

  async #command(command: mvcc.Command): Promise<void> {
    await this.#append(CommandKind.Command, Buffer.from(mvcc.Command.encode(command).finish()));
  }

  async #append(kind: CommandKind, command: Buffer): Promise<void> {
    const index = this.appliedIndex + 1;
    const timeMs = kind === CommandKind.None ? 0 : EPOCH_MS + index * 1000;
    const entry = { index, term: this.term, timeMs, kind };
    await this.table.apply([{ ...entry, payload: command, cursor: undefined, wantsResult: false }]);
    this.#entries.push({ ...entry, command });
    this.appliedIndex = index;
    if (kind === CommandKind.Seal) this.isServing = false;
    for (const wake of [...this.#waiting]) wake();
  }
}

/** A node that leads what a test says. */
export class FakeArchiveNode {
  role: 'leader' | 'follower' = 'leader';
  leadsMeta = true;
  readonly tables: FakeTable[] = [];
  /** Those whose groups another node leads. */
  readonly elsewhere = new Set<FakeTable>();
  readonly archived = new Map<number, number>();
  backlog = { sizeBytes: 0, refusesWrites: false };
  readonly #listeners = new Set<() => void>();

  /** This fake as the objects that a node hands out. */
  readonly asNode: ArchiverNode = partsOf(this);

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  changed(): void {
    for (const listener of this.#listeners) listener();
  }

  ledTables(): LedTable[] {
    return this.tables
      .filter((table) => !this.elsewhere.has(table) && table.isServing)
      .map(({ name, shardId, term }) => ({ name, shardId, term, stopped: undefined, isResetWanted: false }));
  }

  openLog(name: string): Promise<TableLog> {
    return Promise.resolve(this.tables.find((table) => table.name === name)!);
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

  status(): NodeStatus {
    const tables = this.tables.map(({ name, shardId }) => ({ name, shardId }));
    return { clusterId: 'c0ffee', tables } as unknown as NodeStatus;
  }
}

function partsOf(fake: FakeArchiveNode): ArchiverNode {
  const parts = {
    cluster: {
      get role() {
        return fake.role;
      },
      get leadsMeta() {
        return fake.leadsMeta;
      },
      onChange: (listener: () => void) => fake.onChange(listener),
    },
    logs: { led: () => fake.ledTables(), open: (name: string) => fake.openLog(name) },
    maintenance: {
      archiveBacklog: () => fake.archiveBacklog(),
      archivedIndex: (shardId: number) => fake.archivedIndex(shardId),
      reportArchived: (indices: ReadonlyMap<number, number>) => fake.reportArchived(indices),
    },
    reports: { status: () => fake.status() },
  };
  return parts as unknown as ArchiverNode;
}
