export { type BackupNode, Backups, type BackupsOptions, type StreamedCall } from './backup.js';
export { backupFileNames } from './backup-file-names.js';
export {
  type BackedUpTable,
  BackupDirectoryError,
  formatManifest,
  MANIFEST,
  type Manifest,
} from './backup-manifest.js';
export { BackupReader } from './backup-reader.js';
export { BackupWriter } from './backup-writer.js';
export { backupEvents } from './events.js';
export { Restores, type RestoresOptions } from './restore.js';
export { type Restored, Restorer, type RestorerEnvironment, type RestoreSource } from './restorer.js';
export { checkLeaderRole } from './role.js';
export { type BackupMoment, type BackupPlace, TableFile } from './table-file.js';
export type { TransferCounters } from './transfer-counters.js';
