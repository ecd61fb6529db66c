export { STREAM_IDENTIFIER } from '@coxswain/table';
export { type BackedUpLog, BinlogBackupReader, type LogStart } from './agents/moco/binlog-backup-reader.js';
export {
  type BinlogArchive,
  type BinlogBackupStatus,
  BinlogBackups,
  type BinlogBackupsOptions,
  type BinlogNode,
} from './agents/moco/binlog-backups.js';
export {
  type CloneNode,
  type CloneStatus,
  Clones,
  type ClonesOptions,
  type Donor,
} from './agents/moco/clones.js';
export { OneAtATime } from './agents/moco/one-at-a-time.js';
export { type Json, writeJson } from './agents/tidb-binlog/go-json.js';
export { TidbBinlog, type TidbBinlogNode, type TidbBinlogOptions } from './agents/tidb-binlog/tidb-binlog.js';
export {
  BackupAgent,
  type BackupAgentOptions,
  type BackupAgentStatus,
  defaultBackupAgentLimits,
} from './agents/xtrabackup/backup-agent.js';
export { DirectoryStore } from './archive/adapters/directory-store.js';
export type { S3Options } from './archive/adapters/s3-requests.js';
export { S3Store } from './archive/adapters/s3-store.js';
export { ArchiveRestores, type ArchiveRestoresOptions } from './archive/archive-restore.js';
export {
  type ArchiveCounters,
  type ArchiveStatus,
  type TableArchiveStatus,
  tableWarnings,
} from './archive/archive-status.js';
export {
  Archiver,
  type ArchiverEnvironment,
  type ArchiverNode,
  type ArchiverOptions,
} from './archive/archiver.js';
export {
  type BaseInfo,
  BaseObjectReader,
  type ExpectedBase,
  writeBaseObject,
} from './archive/base-object.js';
export { findShards, type ShardFilter, showShard } from './archive/catalog.js';
export { ArchiveError, type ArchiveErrorCode, archiveErrors } from './archive/errors.js';
export {
  type ArchivedEntry,
  type ArchivedShard,
  type ExpectedLogObject,
  type LogExtent,
  type LogObject,
  LogObjectReader,
  LogObjectWriter,
} from './archive/log-object.js';
export { baseEntry, encodeGap, type GapInfo, logEntry, ShardManifest } from './archive/manifest.js';
export { baseName, gapName, logName, type ShardKey } from './archive/names.js';
export { describeShard, type ShardOverview } from './archive/overview.js';
export {
  type PlannedBase,
  type PlannedLog,
  PlanReader,
  planRestore,
  type ReachedPoint,
  type RestoreLimit,
  type RestorePlan,
  type RestoreRequest,
} from './archive/plan.js';
export { type PrunedShard, type PruneOptions, prune, pruneShard, type Retention } from './archive/prune.js';
export type { Run } from './archive/runs.js';
export type { ObjectStore, PutResult, StoreCall, StoredObject } from './archive/store.js';
export { type ArchiveTarget, openArchiveStore, originOf } from './archive/target.js';
export {
  type ArchiveProblem,
  type MarkedGap,
  type VerifiedShard,
  type VerifyOptions,
  verifyShard,
} from './archive/verify.js';
export { type BackupNode, Backups, type BackupsOptions, type StreamedCall } from './backup.js';
export {
  type BackedUpTable,
  BackupDirectoryError,
  type BackupMoment,
  type BackupPlace,
  BackupReader,
  BackupWriter,
  type Manifest,
  type TableFile,
} from './backup-directory.js';
export { Restores, type RestoresOptions } from './restore.js';
export { type Restored, Restorer, type RestorerEnvironment } from './restorer.js';
export type { TransferCounters } from './transfer-counters.js';
