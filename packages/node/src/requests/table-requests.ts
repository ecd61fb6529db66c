import type { Call } from '../api/call.js';
import type { TableInfo, TablesApi } from '../api/tables-api.js';
import type { Tables } from '../meta/tables.js';
import type { WriteGate } from './write-gate.js';

/** Makes, deletes and lists tables. */
export class TableRequests implements TablesApi {
  readonly #tables: Tables;
  readonly #gate: WriteGate;

  constructor(tables: Tables, gate: WriteGate) {
    this.#tables = tables;
    this.#gate = gate;
  }

  async create(name: string, config: Record<string, unknown> | undefined, call: Call): Promise<TableInfo> {
    this.#gate.checkWrite();
    return await this.#tables.create(name, { config, isReplicated: false }, call);
  }

  async delete(name: string, call: Call): Promise<void> {
    this.#gate.checkWrite();
    await this.#tables.delete(name, call);
  }

  async list(call: Call): Promise<TableInfo[]> {
    return await this.#tables.list(call);
  }
}
