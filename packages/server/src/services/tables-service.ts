import { errors, type NodeParts } from '@coxswain/node';
import { regatta } from '@coxswain/protocol';
import type { CallContext, Method } from '../grpc/call.js';
import { unary } from '../grpc/call.js';

/** Serves regatta.v1.Tables, which makes, removes and lists tables. */
export class TablesService {
  readonly #node: Pick<NodeParts, 'tables' | 'cluster'>;

  constructor(node: Pick<NodeParts, 'tables' | 'cluster'>) {
    this.#node = node;
  }

  /**
   * Makes a table. Errors: notForFollower, nameNotSet, nameInvalid, tableExists, tooManyTables, and those of a
   * proposal.
   */
  async create(request: regatta.CreateTableRequest, call: CallContext): Promise<regatta.CreateTableResponse> {
    this.#checkRole('Create');
    if (request.name === '') throw errors.nameNotSet();
    const table = await this.#node.tables.create(request.name, request.config, call);
    return { id: String(table.shardId) };
  }

  /** Removes a table. Errors: notForFollower, nameNotSet, tableToDeleteNotFound, and those of a proposal. */
  async delete(request: regatta.DeleteTableRequest, call: CallContext): Promise<regatta.DeleteTableResponse> {
    this.#checkRole('Delete');
    if (request.name === '') throw errors.nameNotSet();
    await this.#node.tables.delete(request.name, call);
    return {};
  }

  /** Returns all tables, sorted by name. The read is linearizable. */
  async list(_request: regatta.ListTablesRequest, call: CallContext): Promise<regatta.ListTablesResponse> {
    const tables = await this.#node.tables.list(call);
    return {
      tables: tables.map(({ name, shardId, config }) => ({ name, id: String(shardId), config })),
    };
  }

  /** Throws notForFollower on a follower cluster, which gets its tables from its leader cluster. */
  #checkRole(method: string): void {
    if (this.#node.cluster.role === 'follower') throw errors.notForFollower(method);
  }

  methods(): readonly Method[] {
    return [
      unary(regatta.TablesService.create, (request, call) => this.create(request, call)),
      unary(regatta.TablesService.delete, (request, call) => this.delete(request, call)),
      unary(regatta.TablesService.list, (request, call) => this.list(request, call)),
    ];
  }
}
