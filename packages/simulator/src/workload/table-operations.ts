import type { Call } from '@coxswain/node';
import type { KeyEffect } from '../history.js';
import type { OperationContext } from './operation-context.js';
import { NAMES_HISTORY, passingTables, type Server } from './options.js';

/** The most bytes of entries that the archive takes at a time. */
const ARCHIVED_BYTES_MAX = 64 * 1024;

/**
 * The operations on whole tables: clients make, delete and list them, and the archive takes their logs. Each resolves to whether
 * it was answered.
 */
export class TableOperations {
  readonly #context: OperationContext;

  constructor(context: OperationContext) {
    this.#context = context;
  }

  async create(server: Server, name: string): Promise<boolean> {
    const effect = (succeeded: boolean | undefined): KeyEffect => ({
      key: name,
      effect: { kind: 'compareAndSet', expected: undefined, value: 'exists', succeeded },
    });
    return this.#context.calls.send(
      server.process,
      NAMES_HISTORY,
      [effect(undefined)],
      () => server.api.tables.create(name, undefined, this.#context.deadline(server)),
      (invocation) => this.#context.history.changedName(invocation, NAMES_HISTORY, effect(true)),
      (invocation, error) => {
        if (error.code !== 'tableExists') return false;
        this.#context.history.changedName(invocation, NAMES_HISTORY, effect(false));
        return true;
      },
    );
  }

  /** Deletes a table. Two deletions at the same time may both succeed, as long as the table is gone. */
  async delete(server: Server, name: string): Promise<boolean> {
    const deleted: KeyEffect = { key: name, effect: { kind: 'write', value: undefined } };
    return this.#context.calls.send(
      server.process,
      NAMES_HISTORY,
      [deleted],
      () => server.api.tables.delete(name, this.#context.deadline(server)),
      (invocation) => this.#context.history.changedName(invocation, NAMES_HISTORY, deleted),
      (invocation, error) => {
        if (error.code !== 'tableNotFound') return false;
        const missing: KeyEffect = { key: name, effect: { kind: 'read', observed: undefined } };
        this.#context.history.changedName(invocation, NAMES_HISTORY, missing);
        return true;
      },
    );
  }

  async list(server: Server): Promise<boolean> {
    return this.#context.calls.send(
      server.process,
      NAMES_HISTORY,
      [],
      () => server.api.tables.list(this.#context.deadline(server)),
      (invocation, tables) => {
        const names = new Set(tables.map(({ name }) => name));
        for (const key of passingTables) {
          const observed = names.has(key) ? 'exists' : undefined;
          this.#context.history.changedName(invocation, NAMES_HISTORY, {
            key,
            effect: { kind: 'read', observed },
          });
        }
      },
    );
  }

  /** Takes entries of a table that the node leads and the archive lacks, and reports that to the cluster. */
  async archive(server: Server): Promise<boolean> {
    const { api } = server;
    const led = api.logs.led();
    if (led.length === 0) return false;
    const { name, shardId } = this.#context.random.pick(led);
    const call = (): Call => this.#context.deadline(server);
    return this.#context.calls.send(
      server.process,
      name,
      [],
      async () => {
        const log = await api.logs.open(name, call());
        if (log.shardId !== shardId) return;
        const from = Math.max(log.firstIndex, api.maintenance.archivedIndex(shardId) + 1);
        if (from > log.appliedIndex) return;
        const entries = log.entries(from, this.#context.random.integer(1, ARCHIVED_BYTES_MAX));
        for (const entry of entries) this.#context.history.archived(name, shardId, entry);
        await api.maintenance.reportArchived(new Map([[shardId, entries.at(-1)!.index]]), call());
      },
      () => undefined,
    );
  }
}
