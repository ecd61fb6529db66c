import type { Call } from './call.js';

export interface TableInfo {
  readonly name: string;
  readonly shardId: number;
  /** As given to Tables.Create; JSON. */
  readonly config: Record<string, unknown> | undefined;
}

/** Which tables there are. Proposals' errors are those of `KvApi.propose`. */
export interface TablesApi {
  /** Resolves when a quorum hosts the table's group and it has a leader. Errors: nameInvalid, tableExists, tooManyTables. */
  create(name: string, config: Record<string, unknown> | undefined, call: Call): Promise<TableInfo>;
  /** Resolves when no node serves the table any more. Errors: nameNotSet, tableToDeleteNotFound. */
  delete(name: string, call: Call): Promise<void>;
  /** Lists the tables by the meta group, asked now. Sorted by name. */
  list(call: Call): Promise<TableInfo[]>;
}
