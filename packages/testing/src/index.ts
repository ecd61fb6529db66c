export { findFreePort, findFreePorts, isPortFree } from './free-ports.js';
export { uudecode } from './uudecode.js';
export {
  XtrabackupClient,
  type XtrabackupClientOptions,
  type XtrabackupOutcome,
  type XtrabackupRequest,
} from './xtrabackup-client.js';
