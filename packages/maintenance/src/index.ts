export { type BackupNode, Backups, type BackupsOptions, type StreamedCall } from './backup.js';
