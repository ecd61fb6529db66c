export { RaftInvariantError } from './assert.js';
export type { RaftConfig } from './config.js';
export type { PeerStatus, ProposeResult } from './leadership.js';
export type { ProgressState } from './progress.js';
export { Raft, type Role } from './raft.js';
export * from './types.js';
