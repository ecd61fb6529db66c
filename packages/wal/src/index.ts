export { NodeWalDisk } from './adapters/node-wal-disk.js';
export {
  WalClosedError,
  WalCorruptError,
  WalError,
  type WalErrorCode,
  WalFailedError,
  WalFormatError,
  WalFullError,
} from './errors.js';
export * from './types.js';
export { Wal, type WalOptions, type WalStatistics } from './wal.js';
