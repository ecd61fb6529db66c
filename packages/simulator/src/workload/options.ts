import type { NodeParts } from '@coxswain/node';
import type { SimulatedProcess } from '../process.js';

export interface WorkloadOptions {
  readonly clients: number;
  readonly keys: number;
  readonly thinkMeanUs: number;
  readonly valueSizeMeanBytes: number;
  readonly deadlineMs: number;
  /** Relative frequencies of the operations. */
  readonly operations: Readonly<Record<OperationKind, number>>;
  /** The beginning of every value, so that two workloads on one history never write the same value. */
  readonly valuePrefix?: string;
}

export type OperationKind =
  | 'put'
  | 'putPrevious'
  | 'delete'
  | 'deleteRange'
  | 'compareAndSet'
  | 'transfer'
  | 'get'
  | 'getSerializable'
  | 'range'
  | 'rangeSerializable'
  | 'createTable'
  | 'deleteTable'
  | 'listTables'
  | 'restore'
  | 'archive'
  | 'putMany'
  | 'replaceRange'
  | 'rangePast'
  | 'count'
  | 'backup';

/** A node that takes requests now. */
export interface Server {
  readonly process: SimulatedProcess;
  readonly api: Pick<NodeParts, 'kv' | 'tables' | 'cluster' | 'logs' | 'maintenance' | 'reports'>;
  monotonicMs(): number;
}

/** The table to which most operations go; it lives as long as the cluster. */
export const MAIN_TABLE = 'main';
/** Tables that clients create and delete. */
export const passingTables = ['passing-a', 'passing-b'];
/** The history of tables' names, which records whether a table of a name exists. */
export const NAMES_HISTORY = '(names)';
