export {
  type ClientRequest,
  readAppendEntries,
  type WolfAppendEntries,
  type WolfEntry,
  type WolfPayload,
  writeAppendEntries,
} from './append-entries.js';
export { checkBootstrap } from './bootstrap.js';
export { type Standing, standingOf } from './empty-disk.js';
export { configChangeData, toRaftEntry, toWolfEntry } from './entries.js';
export { SecondLeader, WolfError, type WolfErrorCode, wolfErrors } from './errors.js';
export { toNodeId, toWolfId } from './ids.js';
export { isSameMembership, type WolfMembership } from './membership.js';
export { type MemberMetrics, readMetrics, type WolfMetrics, writeMetrics } from './metrics.js';
export { type Call, type LogTerms, PeerCalls } from './peer-calls.js';
export {
  answerFailure,
  checkLeader,
  type Decided,
  type ReplicaView,
  receiveAppendEntries,
  receiveVote,
  type Stepped,
} from './receive.js';
export { answerInstalled, receiveSnapshotChunk, type WantedChunk } from './receive-snapshot.js';
export { type AssembledPiece, SnapshotAssembly } from './snapshot-assembly.js';
export { type SnapshotChunk, type SnapshotDocument, snapshotChunks } from './snapshot-document.js';
export { tableSnapshotOf } from './table-snapshot.js';
