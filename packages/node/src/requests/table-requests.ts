import type { Call } from '../api/call.js';
import type { TableInfo, TablesApi } from '../api/tables-api.js';
import type { Meta } from '../meta/meta.js';
import type { WriteGate } from './write-gate.js';

/** Creates, deletes and lists tables. */
export class TableRequests implements TablesApi {
  readonly #meta: Meta;
  readonly #gate: WriteGate;

  constructor(meta: Meta, gate: WriteGate) {
    this.#meta = meta;
    this.#gate = gate;
  }

  async create(name: string, config: Record<string, unknown> | undefined, call: Call): Promise<TableInfo> {
    this.#gate.checkWrite();
    return await this.#meta.lifecycle.create(name, { config, isReplicated: false }, call);
  }

  async delete(name: string, call: Call): Promise<void> {
    this.#gate.checkWrite();
    await this.#meta.lifecycle.delete(name, call);
  }

  async list(call: Call): Promise<TableInfo[]> {
    return await this.#meta.lifecycle.list(call);
  }
}
