export { LevelStoreDirectory, type LevelStoreOptions } from './adapters/level-store.js';
export type { EncodedPairs } from './encoded-pairs.js';
export {
  ENVELOPE_BYTES_MIN,
  type Envelope,
  envelopeTimeMs,
  openEnvelope,
  ownSequence,
  type ProposalId,
  sealEnvelope,
} from './envelope.js';
export * from './errors.js';
export {
  MemoryStoreDirectory,
  type MemoryStoreHooks,
  type StoresCopy,
  type UnflushedWrite,
} from './memory-store.js';
export { PageBudget } from './page-budget.js';
export { Gap } from './page-cache.js';
export { rangeId } from './range-answers.js';
export { RESPONSE_SIZE_BYTES_MAX } from './responses.js';
export { RestingStores } from './resting-stores.js';
export { type LoadedSnapshot, loadSnapshot } from './snapshot-loader.js';
export { type SnapshotPair, snapshotOfPairs } from './snapshot-of-pairs.js';
export {
  type SnapshotOptions,
  type SnapshotPiece,
  type SnapshotPlace,
  writeSnapshot,
  writeSnapshotPieces,
} from './snapshot-writer.js';
export { keyId, keyOfId, newSortedTree, type SortedTree } from './sorted-tree.js';
export type {
  KeyRange,
  Operation,
  OrderedStore,
  ScanOptions,
  StoreDirectory,
  StoreReader,
  StoreScan,
  StoreSnapshot,
} from './store.js';
export { Table } from './table.js';
export type { TableOptions } from './table-options.js';
export type { PointRead } from './table-reader.js';
export type { TableState } from './table-state.js';
export type { TableView } from './table-view.js';
export {
  type ApplyResult,
  CommandKind,
  type KeyRecord,
  type RangePage,
  type RangeQuery,
  type TableEntry,
} from './types.js';
export { WriteBudget } from './write-budget.js';
