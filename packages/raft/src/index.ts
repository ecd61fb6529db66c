export { type ProposeResult, Raft, type RaftConfig, type Role } from './raft.js';
export * from './types.js';
