import { type ApiError, Status } from '@coxswain/node';
import type { RangeQuery } from '@coxswain/table';
import { checkCounts } from '../counts.js';
import type { Invocation } from '../history.js';
import { asApi, backedUp, readAll, statesOf, wholeRange } from '../table-reading.js';
import type { OperationContext } from './operation-context.js';
import type { Server } from './options.js';

/** The most revisions that a read goes back. */
const PAST_REVISIONS_MAX = 60;

const nothing = Buffer.alloc(0);

/** The operations that read keys. Each resolves to whether it was answered. */
export class Reads {
  readonly #context: OperationContext;

  constructor(context: OperationContext) {
    this.#context = context;
  }

  async get(server: Server, table: string, linearizable: boolean): Promise<boolean> {
    const key = this.#context.draws.key();
    return this.#read(server, table, linearizable, [key], {
      ...wholeRange,
      key: Buffer.from(key),
      rangeEnd: nothing,
    });
  }

  async range(server: Server, table: string, linearizable: boolean): Promise<boolean> {
    return this.#read(server, table, linearizable, this.#context.draws.keys(), wholeRange);
  }

  async #read(
    server: Server,
    table: string,
    linearizable: boolean,
    keys: readonly string[],
    query: RangeQuery,
  ): Promise<boolean> {
    return this.#context.calls.send(
      server.process,
      table,
      [],
      async () => {
        const readable = await server.api.kv.read(table, { linearizable }, this.#context.deadline(server));
        this.#context.deletions?.reads(readable.table, 'latest');
        return await asApi(() => readAll(readable.table, query, (revision) => readable.header(revision)));
      },
      (invocation, { header, records }) => {
        const states = statesOf(keys, records);
        for (const { key, record } of states) {
          this.#context.seen.set(`${table}/${key}`, {
            value: record?.value,
            modRevision: record?.modRevision ?? 0,
          });
        }
        const { shardId, revision } = header;
        if (linearizable) this.#context.history.read(invocation, table, shardId, revision, states);
        else this.#context.history.readSerializable(invocation, table, shardId, revision, states);
      },
    );
  }

  /** Reads every key as of an earlier revision, on any node. */
  async rangePast(server: Server, table: string): Promise<boolean> {
    const linearizable = this.#context.random.chance(0.5);
    return this.#context.calls.send(
      server.process,
      table,
      [],
      async () => {
        const readable = await server.api.kv.read(table, { linearizable }, this.#context.deadline(server));
        const { table: read } = readable;
        const at = Math.max(
          read.historyFloor,
          read.revision - this.#context.random.integer(0, PAST_REVISIONS_MAX),
        );
        this.#context.deletions?.reads(read, 'past');
        return await asApi(() => readAll(read, wholeRange, (revision) => readable.header(revision), at));
      },
      (_invocation, { header: { shardId, revision }, records }) =>
        this.#context.history.readPast(
          table,
          shardId,
          revision,
          statesOf(this.#context.draws.keys(), records),
          'read of the past',
        ),
      isOutOfRange,
    );
  }

  /** Checks that the table's counts of keys, now or at an earlier revision, match the keys themselves. */
  async count(server: Server, table: string): Promise<boolean> {
    return this.#context.calls.send(
      server.process,
      table,
      [],
      async () => {
        const { table: read } = await server.api.kv.read(
          table,
          { linearizable: false },
          this.#context.deadline(server),
        );
        const at = Math.max(read.historyFloor, read.revision - this.#context.random.pick([0, 0, 1, 5]));
        return await asApi(() => checkCounts(read, wholeRange, at));
      },
      () => undefined,
      isOutOfRange,
    );
  }

  /** Takes a backup of the table as it is, or as it was. */
  async backup(server: Server, table: string): Promise<boolean> {
    return this.#context.calls.send(
      server.process,
      table,
      [],
      async () => {
        const log = await server.api.logs.open(table, this.#context.deadline(server));
        const { historyFloor, revision } = log.table;
        const at = Math.max(historyFloor, revision - this.#context.random.pick([0, 0, 1, 10]));
        this.#context.deletions?.reads(log.table, 'backup');
        return await asApi(async () => {
          const view = log.table.view(at);
          try {
            return { shardId: log.shardId, revision: at, records: await backedUp(view, table) };
          } finally {
            view.close();
          }
        });
      },
      (_invocation, { shardId, revision, records }) =>
        this.#context.history.readPast(
          table,
          shardId,
          revision,
          statesOf(this.#context.draws.keys(), records),
          'backup',
        ),
      isOutOfRange,
    );
  }
}

/** Whether a read failed because history was dropped after its lower end was determined. */
function isOutOfRange(_invocation: Invocation, { status }: ApiError): boolean {
  return status === Status.OutOfRange;
}
