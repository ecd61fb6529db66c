export { DirectoryStore } from './adapters/directory-store.js';
export { DEFAULT_S3_LIMITS, type S3Options } from './adapters/s3-requests.js';
export { S3Store } from './adapters/s3-store.js';
export { ArchiveRestores, type ArchiveRestoresOptions } from './archive-restore.js';
export {
  type ArchiveCounters,
  type ArchiveStatus,
  type TableArchiveStatus,
  tableWarnings,
} from './archive-status.js';
export { Archiver, type ArchiverEnvironment, type ArchiverNode, type ArchiverOptions } from './archiver.js';
export { BackupRecord } from './backup-record.js';
export { type BaseInfo, BaseObjectReader, type ExpectedBase, writeBaseObject } from './base-object.js';
export { findShards, type ShardFilter, showShard } from './catalog.js';
export { ArchiveError, type ArchiveErrorCode, archiveErrors } from './errors.js';
export { archiveEvents } from './events.js';
export { FoldedLog } from './folded-log.js';
export {
  type ArchivedEntry,
  type ArchivedShard,
  type ExpectedLogObject,
  type LogExtent,
  type LogObject,
  LogObjectReader,
  LogObjectWriter,
} from './log-object.js';
export { baseEntry, encodeGap, type GapInfo, logEntry, ShardManifest } from './manifest.js';
export { MemoryObjectStore } from './memory-object-store.js';
export {
  type ArchiveName,
  baseName,
  gapName,
  HASH_DIGITS,
  logName,
  parseName,
  type ShardKey,
} from './names.js';
export { describeShard, type ShardOverview } from './overview.js';
export {
  type PlannedBase,
  type PlannedLog,
  PlanReader,
  planRestore,
  type ReachedPoint,
  type RestoreLimit,
  type RestorePlan,
  type RestoreRequest,
} from './plan.js';
export { type PrunedShard, type PruneOptions, prune, pruneShard, type Retention } from './prune.js';
export { replayedStream } from './replayed-stream.js';
export { type Run, Runs, showRun } from './runs.js';
export {
  isKey,
  type ObjectStore,
  type PutResult,
  readWhole,
  type StoreCall,
  type StoredObject,
} from './store.js';
export { type ArchiveTarget, openArchiveStore, originOf } from './target.js';
export {
  type ArchiveProblem,
  type MarkedGap,
  type VerifiedShard,
  type VerifyOptions,
  verifyShard,
} from './verify.js';
