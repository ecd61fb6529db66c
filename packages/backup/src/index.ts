export { type BackupNode, Backups, type BackupsOptions, type StreamedCall } from './backup.js';
export {
  type BackedUpTable,
  BackupDirectoryError,
  type BackupMoment,
  type BackupPlace,
  BackupReader,
  BackupWriter,
  type Manifest,
  TableFile,
} from './backup-directory.js';
export { backupFileNames } from './backup-file-names.js';
export { Restores, type RestoresOptions } from './restore.js';
export { type Restored, Restorer, type RestorerEnvironment, type RestoreSource } from './restorer.js';
export { checkLeaderRole } from './role.js';
export type { TransferCounters } from './transfer-counters.js';
