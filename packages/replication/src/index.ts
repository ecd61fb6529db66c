export type { ChannelTls as LinkTls } from '@coxswain/channel';
export type { GrpcLeaderLink, GrpcLeaderLinkOptions } from './adapters/grpc-leader-link.js';
export { openGrpcLeaderLink } from './adapters/open-grpc-leader-link.js';
export { replicationEvents } from './events.js';
export { Follower } from './follower.js';
export type { FollowerEnvironment } from './follower-environment.js';
export type { FollowerNodeSighting } from './follower-nodes.js';
export { defaultFollowerOptions, type FollowerOptions } from './follower-options.js';
export type { ForwardedWrites } from './forwarded-writes.js';
export * from './leader-link.js';
export {
  type LeaderCall,
  LeaderReplication,
  type LeaderReplicationOptions,
  LIVE_SNAPSHOTS_PATH,
} from './leader-replication.js';
export { whyNotUnderstood } from './received-command.js';
export { type ReceivedCommand, type ReplicateMessage, readReplicateMessage } from './replicate-message.js';
export { type ReplicatedCommand, readReplicatedEntry } from './replicated-entry.js';
export { type Filled, type FilledPart, ShardFiller } from './shard-filler.js';
export { type Download, SnapshotDownloads, type SnapshotSource } from './snapshot-downloads.js';
export * from './status.js';
export { toStockCommand } from './stock-command.js';
