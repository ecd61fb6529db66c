export { type Bytes, type Integer, prefixEnd, toEnd } from './bytes.js';
export type { CallOptions, ConnectOptions, Health, StreamOptions } from './connection.js';
export {
  type ArchiveRestoreOptions,
  type BackupRest,
  type Cluster,
  Coxswain,
  type DeleteOptions,
  type KeyRangeOptions,
  type Maintenance,
  type PutOptions,
  type RangeOptions,
  type RestoreOptions,
  type Tables,
} from './coxswain.js';
export { CoxswainError, OutcomeUnknownError, StatusCode } from './errors.js';
export type { EventsOptions, WatchedEvents } from './events.js';
export type { TlsOptions } from './place.js';
export { type CompareOptions, compare, type Operator, operation, type TxnBuilder } from './txn.js';
