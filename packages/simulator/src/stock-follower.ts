import { replication } from '@coxswain/protocol';
import { type LeaderLink, LinkError } from '@coxswain/replication';
import type { Clock } from '@coxswain/runtime';
import { readSnapshotRecords, SnapshotDamagedError } from '@coxswain/stream';
import { StockProtest, StockReplica } from '@coxswain/testing';
import { Violation } from './violation.js';

const POLL_MS = 150;
const CALL_MS = 5_000;

/**
 * A follower cluster of stock Regatta as docs/protocol.md §3 describes it, in one process. It sends and reads no field
 * of ours, takes an unknown compare target for an existence test (R3), deletes tables at once that the leader cluster
 * no longer has, and stops reading a stream at its bare last message.
 */
export class StockFollower {
  readonly tables = new Map<string, StockReplica>();
  snapshotsTaken = 0;

  readonly #link: LeaderLink;
  readonly #clock: Clock;

  constructor(link: LeaderLink, clock: Clock) {
    this.#link = link;
    this.#clock = clock;
  }

  /** Follows the leader cluster and never ends. Rejects with a Violation when the leader cluster misbehaves. */
  async run(): Promise<never> {
    for (;;) {
      try {
        await this.#poll();
      } catch (error) {
        if (error instanceof StockProtest) throw violationOf(error);
        if (!(error instanceof LinkError || error instanceof SnapshotDamagedError)) throw error;
      }
      await new Promise<void>((resolve) => this.#clock.startTimer(POLL_MS, resolve));
    }
  }

  /** Returns the content of a table, as `key=value` in order. */
  content(name: string): string[] {
    return this.tables.get(name)?.table.content().sort() ?? [];
  }

  async #poll(): Promise<void> {
    const { tables } = await this.#link.metadata({ follower: undefined }, this.#call());
    const names = new Set(tables.map(({ name }) => name));
    for (const name of this.tables.keys()) if (!names.has(name)) this.tables.delete(name);
    for (const name of names) {
      const table = this.tables.get(name) ?? new StockReplica();
      this.tables.set(name, table);
      await this.#replicate(name, table);
    }
  }

  async #replicate(name: string, table: StockReplica): Promise<void> {
    const request = replication.ReplicateRequest.fromPartial({
      table: Buffer.from(name),
      leaderIndex: BigInt(table.leaderIndex + 1),
    });
    for await (const bytes of this.#link.replicate(request, this.#call())) {
      const { response } = replication.ReplicateResponse.decode(bytes);
      if (response === undefined) return;
      if (response.$case === 'errorResponse') {
        if (response.value.error === replication.ReplicateError.USE_SNAPSHOT) {
          await this.#recover(name, table);
          return;
        }
        throw new Violation('a leader cluster is never behind', `table ${name} at ${table.leaderIndex}`);
      }
      table.take(response.value.commands);
    }
  }

  async #recover(name: string, table: StockReplica): Promise<void> {
    const request = replication.SnapshotRequest.fromPartial({ table: Buffer.from(name) });
    const chunks = this.#link.snapshot(request, this.#call());
    const isWhole = await table.load(recordsOf(readSnapshotRecords(dataOf(chunks))));
    if (isWhole) this.snapshotsTaken++;
  }

  #call(): { deadlineMs: number } {
    return { deadlineMs: this.#clock.monotonicMs() + CALL_MS };
  }
}

function violationOf(protest: StockProtest): Violation {
  return new Violation('a leader cluster sends what stock takes', protest.message, { cause: protest });
}

async function* dataOf(chunks: AsyncIterable<replication.SnapshotChunk>): AsyncGenerator<Buffer> {
  for await (const { data } of chunks) yield data;
}

async function* recordsOf(groups: AsyncIterable<Iterable<Buffer>>): AsyncGenerator<Buffer> {
  for await (const records of groups) yield* records;
}
