export { checkDeclared, EventRecorder, type RecordedEvent } from './event-recorder.js';
export { claimPorts, findFreePort, findFreePorts } from './free-ports.js';
export { oldGenerationGrowth } from './old-generation.js';
export { answerError, type ScriptedRequest, ScriptedS3 } from './scripted-s3.js';
export { sized } from './sized.js';
export { type StockAge, StockLog } from './stock/stock-log.js';
export { StockProtest, StockReplica } from './stock/stock-replica.js';
export { StockTable } from './stock/stock-table.js';
export { TemporaryDirectory } from './temporary-directory.js';
export { eventually, Hopeless, microtasks, turns, until } from './until.js';
export { uudecode } from './uudecode.js';
export {
  XtrabackupClient,
  type XtrabackupClientOptions,
  type XtrabackupOutcome,
  type XtrabackupRequest,
} from './xtrabackup-client.js';
