import type { Call } from './call.js';

/** A table, its shard, and the configuration that it was created with. */
export interface TableInfo {
  readonly name: string;
  readonly shardId: number;
  /** The configuration given to Tables.Create, a JSON object; undefined when none was given. */
  readonly config: Record<string, unknown> | undefined;
}

/** Creates, deletes and lists tables. A method that proposes rejects with the errors of `KvApi.propose` as well. */
export interface TablesApi {
  /**
   * Creates a table. Resolves when a quorum hosts the table's group and it has a leader. Errors: nameNotSet,
   * nameInvalid, tableExists, tooManyTables.
   */
  create(name: string, config: Record<string, unknown> | undefined, call: Call): Promise<TableInfo>;
  /** Deletes a table. Resolves when no node serves it any more. Errors: nameNotSet, tableToDeleteNotFound. */
  delete(name: string, call: Call): Promise<void>;
  /** Asks the meta group for all tables, and gives them sorted by name. */
  list(call: Call): Promise<TableInfo[]>;
}
