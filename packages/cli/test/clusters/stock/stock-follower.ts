import { mvcc } from '@coxswain/protocol';
import { ReplicationClient } from './replication-client.js';
import { unframe } from './snappy-frames.js';
import { StockTable } from './stock-table.js';

const pollMs = 20;
const notFound = 5;
const failedPrecondition = 9;
/** A loader drops the record that brings the sum of record lengths to it, and starts a new sum. */
const loaderSumBytes = 3 * 1024 * 1024;

/** A stock follower cluster as docs/protocol.md §3 describes it: it polls, and knows nothing of ours. */
export class StockFollower {
  readonly tables = new Map<string, { table: StockTable; leaderIndex: number }>();
  snapshotsTaken = 0;
  /** How often a loader has met the record that it drops. */
  recordsDropped = 0;
  readonly errors: string[] = [];
  readonly #client: ReplicationClient;
  #isStopped = false;
  readonly #ended: Promise<void>;

  constructor(leaderAddress: string) {
    this.#client = new ReplicationClient(leaderAddress);
    this.#ended = this.#run();
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    await this.#ended;
    this.#client.close();
  }

  contentOf(table: string): string[] {
    return this.tables.get(table)?.table.content() ?? [];
  }

  async #run(): Promise<void> {
    while (!this.#isStopped) {
      try {
        await this.#reconcile();
        for (const name of this.tables.keys()) await this.#replicate(name);
      } catch (error) {
        this.errors.push(String(error));
      }
      await sleep(pollMs);
    }
  }

  /** What the leader has no more goes at once. */
  async #reconcile(): Promise<void> {
    const names = await this.#client.tables();
    for (const name of this.tables.keys()) if (!names.includes(name)) this.tables.delete(name);
    for (const name of names) {
      if (!this.tables.has(name)) this.tables.set(name, { table: new StockTable(), leaderIndex: 0 });
    }
  }

  async #replicate(name: string): Promise<void> {
    const state = this.tables.get(name)!;
    try {
      const { commands, error } = await this.#client.replicate(name, state.leaderIndex + 1);
      for (const { leaderIndex, command } of commands) {
        // It proposes the inner command as it is, and counts on what it carries.
        if (command!.leaderIndex !== leaderIndex) throw new Error('an inner leader_index is missing');
        if (Number(leaderIndex) !== state.leaderIndex + 1) throw new Error('indices with a hole');
        state.table.apply(command!);
        state.leaderIndex = Number(leaderIndex);
      }
      if (error === 'USE_SNAPSHOT') await this.#recover(name);
      else if (error !== undefined) throw new Error(error);
    } catch (error) {
      const { code } = error as { code?: number };
      if (code === notFound) return;
      if (code === failedPrecondition) await sleep(pollMs * 10);
      throw error;
    }
  }

  async #recover(name: string): Promise<void> {
    const records = unframe(await this.#client.snapshot(name));
    const table = new StockTable();
    let sumBytes = 0;
    let leaderIndex = 0;
    for (let at = 0; at < records.length; ) {
      const length = Number(records.readBigUInt64LE(at));
      const command = mvcc.Command.decode(records.subarray(at + 8, at + 8 + length));
      at += 8 + length;
      if (command.leaderIndex !== undefined) leaderIndex = Number(command.leaderIndex);
      sumBytes += length;
      if (sumBytes >= loaderSumBytes) {
        sumBytes = 0;
        this.recordsDropped++;
        continue;
      }
      table.apply(command);
    }
    this.tables.set(name, { table, leaderIndex });
    this.snapshotsTaken++;
  }
}

function sleep(durationMs: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, durationMs));
}
