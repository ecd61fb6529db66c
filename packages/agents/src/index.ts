export { agentEvents } from './events.js';
export { type BackedUpLog, BinlogBackupReader, type LogStart } from './moco/binlog-backup-reader.js';
export {
  type BinlogArchive,
  type BinlogBackupStatus,
  BinlogBackups,
  type BinlogBackupsOptions,
  type BinlogNode,
} from './moco/binlog-backups.js';
export { type CloneNode, type CloneStatus, Clones, type ClonesOptions, type Donor } from './moco/clones.js';
export { OneAtATime } from './moco/one-at-a-time.js';
export { type Json, writeJson } from './tidb-binlog/go-json.js';
export { TidbBinlog, type TidbBinlogNode, type TidbBinlogOptions } from './tidb-binlog/tidb-binlog.js';
export {
  BackupAgent,
  type BackupAgentOptions,
  type BackupAgentStatus,
  defaultBackupAgentLimits,
} from './xtrabackup/backup-agent.js';
