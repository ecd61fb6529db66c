import { setTimeout as sleep } from 'node:timers/promises';
import { StockReplica } from '@coxswain/testing';
import { ReplicationClient } from './replication-client.js';
import { unframe } from './snappy-frames.js';

const POLL_MS = 20;
const NOT_FOUND = 5;
const FAILED_PRECONDITION = 9;

/** A stock follower cluster as docs/protocol.md §3 describes it: it polls, and knows nothing of ours. */
export class StockFollower {
  readonly tables = new Map<string, StockReplica>();
  snapshotsTaken = 0;
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

  /** How often a loader has met the record that it drops. */
  get recordsDropped(): number {
    return [...this.tables.values()].reduce((sum, { recordsDropped }) => sum + recordsDropped, 0);
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
      // As stock does: the time between its looks is its own.
      await sleep(POLL_MS);
    }
  }

  /** What the leader has no more goes at once. */
  async #reconcile(): Promise<void> {
    const names = await this.#client.tables();
    for (const name of this.tables.keys()) if (!names.includes(name)) this.tables.delete(name);
    for (const name of names) {
      if (!this.tables.has(name)) this.tables.set(name, new StockReplica());
    }
  }

  async #replicate(name: string): Promise<void> {
    const state = this.tables.get(name)!;
    try {
      const { commands, error } = await this.#client.replicate(name, state.leaderIndex + 1);
      state.take(commands);
      if (error === 'USE_SNAPSHOT') await this.#recover(name);
      else if (error !== undefined) throw new Error(error);
    } catch (error) {
      const { code } = error as { code?: number };
      if (code === NOT_FOUND) return;
      // Longer where the leader cluster is not ready for it, as stock does.
      if (code === FAILED_PRECONDITION) await sleep(POLL_MS * 10);
      throw error;
    }
  }

  async #recover(name: string): Promise<void> {
    if (await this.tables.get(name)!.load(recordsOf(unframe(await this.#client.snapshot(name)))))
      this.snapshotsTaken++;
  }
}

function* recordsOf(stream: Buffer): Generator<Buffer> {
  for (let at = 0; at < stream.length; ) {
    const end = at + 8 + Number(stream.readBigUInt64LE(at));
    yield stream.subarray(at + 8, end);
    at = end;
  }
}
