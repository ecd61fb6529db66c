export { GrpcLeaderLink, type GrpcLeaderLinkOptions, type LinkTls } from './adapters/grpc-leader-link.js';
export {
  defaultFollowerOptions,
  Follower,
  type FollowerEnvironment,
  type FollowerOptions,
} from './follower.js';
export type { ForwardedWrites } from './forwarded-writes.js';
export * from './leader-link.js';
export { LeaderReplication, type LeaderReplicationOptions } from './leader-replication.js';
export type { LeaderCall } from './log-stream.js';
export { type ReceivedCommand, type ReplicateMessage, readReplicateMessage } from './replicate-message.js';
export * from './status.js';
