import { mvcc } from '@coxswain/protocol';
import { CommandKind, MemoryStoreDirectory, Table, type TableView } from '@coxswain/table';
import type { LogEntry, TableLog } from '../../src/index.js';

const { PUT, TXN } = mvcc.Command_CommandType;
/** What a record of the log takes on disk besides its command, about. */
const ENTRY_BYTES = 100;

export interface MemoryTableOptions {
  readonly name: string;
  readonly shardId: number;
  /** See `TableLog.baseIndex`. */
  readonly baseIndex?: number;
  /** When entry 0 would have been stamped: entries come one a second. */
  readonly epochMs?: number;
}

/** A real table in memory and its log, as the node that leads it has them. What is appended is applied at once. */
export class MemoryTable implements TableLog {
  firstIndex: number;
  loadedIndex = 0;
  term = 1;
  isServing = true;
  /** Views that are open. */
  viewCount = 0;
  /** Who keeps it from being dropped. */
  readonly holders = new Set<object>();
  readonly name: string;
  readonly shardId: number;
  readonly baseIndex: number;
  readonly #epochMs: number;
  readonly #entries: LogEntry[] = [];
  readonly #waiting = new Set<() => void>();

  private constructor(
    { name, shardId, baseIndex = 0, epochMs = 0 }: MemoryTableOptions,
    readonly table: Table,
  ) {
    this.name = name;
    this.shardId = shardId;
    this.baseIndex = baseIndex;
    this.firstIndex = baseIndex + 1;
    this.#epochMs = epochMs;
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

  static async open(options: MemoryTableOptions): Promise<MemoryTable> {
    const table = await Table.open({
      directory: new MemoryStoreDirectory(),
      name: String(options.shardId),
      create: true,
      initialIndex: options.baseIndex ?? 0,
      writeBufferSizeBytes: 64 * 1024 * 1024,
    });
    return new MemoryTable(options, table);
  }

  get appliedIndex(): number {
    return this.table.appliedIndex;
  }

  entries(from: number, maxBytes: number): LogEntry[] {
    if (from < this.firstIndex || from > this.appliedIndex) throw new RangeError(`no entry ${from}`);
    const found: LogEntry[] = [];
    let bytes = 0;
    for (const entry of this.#entries) {
      if (entry.index < from) continue;
      bytes += entry.command.length;
      if (found.length > 0 && bytes > maxBytes) break;
      found.push(entry);
    }
    return found;
  }

  sizeBytesAbove(index: number): number {
    const above = this.#entries.filter((entry) => entry.index > index);
    return above.reduce((sum, { command }) => sum + ENTRY_BYTES + command.length, 0);
  }

  hold(): () => void {
    const holder = {};
    this.holders.add(holder);
    return () => this.holders.delete(holder);
  }

  appliedAbove(index: number, waitMs: number, signal: AbortSignal | undefined): Promise<void> {
    if (this.appliedIndex > index || !this.isServing || signal?.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      const end = (): void => {
        clearTimeout(timer);
        this.#waiting.delete(end);
        resolve();
      };
      // Time is what it is asked to wait for; a test that must not wait for it has `endWaits`.
      const timer = setTimeout(end, Math.min(waitMs, 2 ** 31 - 1));
      this.#waiting.add(end);
      signal?.addEventListener('abort', end, { once: true });
    });
  }

  /** Ends every `appliedAbove` under way as the end of its time would. Gives how many there were. */
  endWaits(): number {
    const waits = [...this.#waiting];
    for (const end of waits) end();
    return waits.length;
  }

  put(key: string, value: string): Promise<void> {
    const kv = mvcc.KeyValue.fromPartial({ key: Buffer.from(key), value: Buffer.from(value) });
    return this.append({ type: PUT, kv });
  }

  txn(txn: mvcc.Txn): Promise<void> {
    return this.append({ type: TXN, txn });
  }

  /** Appends an entry without effect, as a new leader begins with. */
  empty(): Promise<void> {
    return this.append({}, CommandKind.None);
  }

  /** Ends the table, as its deletion or another shard that takes its name does. */
  seal(): Promise<void> {
    return this.append({}, CommandKind.Seal);
  }

  /** Forgets the log below an index. */
  compact(firstIndex: number): void {
    this.firstIndex = firstIndex;
    const kept = this.#entries.filter(({ index }) => index >= firstIndex);
    this.#entries.splice(0, this.#entries.length, ...kept);
  }

  async append(command: Partial<mvcc.Command>, kind = CommandKind.Command): Promise<void> {
    const index = this.appliedIndex + 1;
    const timeMs = kind === CommandKind.None ? 0 : this.#epochMs + 1_000 * index;
    const entry = { index, term: this.term, timeMs, kind, command: payloadOf(command, kind) };
    this.#entries.push(entry);
    await this.table.apply([{ ...entry, payload: entry.command, cursor: undefined, wantsResult: false }]);
    if (kind === CommandKind.Seal) this.isServing = false;
    this.endWaits();
  }
}

function payloadOf(command: Partial<mvcc.Command>, kind: CommandKind): Buffer {
  if (kind === CommandKind.None) return Buffer.alloc(0);
  if (kind === CommandKind.Seal) return Buffer.alloc(8);
  return Buffer.from(mvcc.Command.encode(mvcc.Command.fromPartial(command)).finish());
}
