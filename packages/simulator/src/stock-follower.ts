import { mvcc, replication } from '@coxswain/protocol';
import { type LeaderLink, LinkError } from '@coxswain/replication';
import type { Clock } from '@coxswain/runtime';
import { readSnapshotRecords, SnapshotDamagedError } from '@coxswain/stream';
import { Violation } from './violation.js';

const POLL_MS = 150;
const CALL_MS = 5_000;
/** A stock loader drops the record that brings the sum of lengths there, and starts a new sum. */
const LOADER_SUM_BYTES = 3 * 1024 * 1024;
const { PUT, DELETE, DUMMY, PUT_BATCH, DELETE_BATCH, TXN } = mvcc.Command_CommandType;

class StockTable {
  readonly pairs = new Map<string, string>();
  leaderIndex = 0;
}

/**
 * A follower cluster of stock Regatta as docs/protocol.md §3 describes it, in one process: it sends no field of
 * ours and reads none, takes an unknown compare target for an existence test (R3), deletes at once what the leader
 * cluster has no more, and stops reading a stream at its bare last message.
 */
export class StockFollower {
  readonly tables = new Map<string, StockTable>();
  snapshotsTaken = 0;

  constructor(
    private readonly link: LeaderLink,
    private readonly clock: Clock,
  ) {}

  /** Never ends. Rejects when the leader cluster did what it must not. */
  async run(): Promise<never> {
    for (;;) {
      try {
        await this.#poll();
      } catch (error) {
        if (!(error instanceof LinkError || error instanceof SnapshotDamagedError)) throw error;
      }
      await new Promise<void>((resolve) => this.clock.startTimer(POLL_MS, resolve));
    }
  }

  /** What a table holds, `key=value` in order. */
  content(name: string): string[] {
    const pairs = this.tables.get(name)?.pairs ?? [];
    return [...pairs].map(([key, value]) => `${key}=${value}`).sort();
  }

  async #poll(): Promise<void> {
    const { tables } = await this.link.metadata({ follower: undefined }, this.#call());
    const names = new Set(tables.map(({ name }) => name));
    for (const name of this.tables.keys()) if (!names.has(name)) this.tables.delete(name);
    for (const name of names) {
      const table = this.tables.get(name) ?? new StockTable();
      this.tables.set(name, table);
      await this.#replicate(name, table);
    }
  }

  async #replicate(name: string, table: StockTable): Promise<void> {
    const request = replication.ReplicateRequest.fromPartial({
      table: Buffer.from(name),
      leaderIndex: BigInt(table.leaderIndex + 1),
    });
    for await (const bytes of this.link.replicate(request, this.#call())) {
      const { response } = replication.ReplicateResponse.decode(bytes);
      if (response === undefined) return;
      if (response.$case === 'errorResponse') {
        if (response.value.error === replication.ReplicateError.USE_SNAPSHOT) {
          await this.#recover(name, table);
          return;
        }
        throw new Violation('a leader cluster is never behind', `table ${name} at ${table.leaderIndex}`);
      }
      for (const { command, leaderIndex } of response.value.commands)
        this.#apply(name, table, command!, leaderIndex);
    }
  }

  #apply(name: string, table: StockTable, command: mvcc.Command, leaderIndex: bigint): void {
    const index = Number(leaderIndex);
    if (index !== table.leaderIndex + 1 || command.leaderIndex !== leaderIndex) {
      throw new Violation(
        'indices are contiguous, outside and inside',
        `table ${name}: ${index} (${command.leaderIndex}) behind ${table.leaderIndex}`,
      );
    }
    table.leaderIndex = index;
    const { pairs } = table;
    switch (command.type) {
      case PUT:
        pairs.set(command.kv!.key.toString(), command.kv!.value.toString());
        return;
      case DELETE:
        remove(pairs, command.kv!.key.toString(), command.rangeEnd?.toString() ?? '');
        return;
      case PUT_BATCH:
        for (const { key, value } of command.batch) pairs.set(key.toString(), value.toString());
        return;
      case DELETE_BATCH:
        for (const { key } of command.batch) pairs.delete(key.toString());
        return;
      case TXN:
        runTxn(pairs, command.txn!);
        return;
      case DUMMY:
        return;
      default:
        throw new Violation('a leader cluster sends what stock knows', `table ${name}: type ${command.type}`);
    }
  }

  async #recover(name: string, table: StockTable): Promise<void> {
    const request = replication.SnapshotRequest.fromPartial({ table: Buffer.from(name) });
    const chunks = this.link.snapshot(request, this.#call());
    const pairs = new Map<string, string>();
    let sumBytes = 0;
    let leaderIndex = 0;
    for await (const records of readSnapshotRecords(dataOf(chunks))) {
      for (const record of records) {
        sumBytes += record.length;
        if (sumBytes >= LOADER_SUM_BYTES) {
          sumBytes = 0;
          continue;
        }
        const { type, kv, leaderIndex: last } = mvcc.Command.decode(record);
        if (type === DUMMY) leaderIndex = Number(last);
        else pairs.set(kv!.key.toString(), kv!.value.toString());
      }
    }
    if (leaderIndex === 0) return;
    table.pairs.clear();
    for (const [key, value] of pairs) table.pairs.set(key, value);
    table.leaderIndex = leaderIndex;
    this.snapshotsTaken++;
  }

  #call(): { deadlineMs: number } {
    return { deadlineMs: this.clock.monotonicMs() + CALL_MS };
  }
}

async function* dataOf(chunks: AsyncIterable<replication.SnapshotChunk>): AsyncGenerator<Buffer> {
  for await (const { data } of chunks) yield data;
}

function isWithin(key: string, first: string, end: string): boolean {
  if (end === '') return key === first;
  return key >= first && (end === '\0' || key < end);
}

function remove(pairs: Map<string, string>, first: string, end: string): void {
  for (const key of [...pairs.keys()]) if (isWithin(key, first, end)) pairs.delete(key);
}

function runTxn(pairs: Map<string, string>, { compare, success, failure }: mvcc.Txn): void {
  const holds = compare.every(({ key, rangeEnd, targetUnion, result }) => {
    const found = [...pairs].filter(([name]) => isWithin(name, key.toString(), rangeEnd.toString()));
    if (found.length === 0) return false;
    // R3: a target that stock does not know leaves `value` unset, which asks whether the key exists.
    if (targetUnion?.$case !== 'value') return true;
    const right = targetUnion.value;
    return found.every(([, value]) => {
      const order = Buffer.compare(Buffer.from(value), right);
      return [order === 0, order > 0, order < 0, order !== 0][result]!;
    });
  });
  for (const { request } of holds ? success : failure) {
    if (request?.$case === 'requestPut')
      pairs.set(request.value.key.toString(), request.value.value.toString());
    else if (request?.$case === 'requestDeleteRange') {
      remove(pairs, request.value.key.toString(), request.value.rangeEnd.toString());
    }
  }
}
