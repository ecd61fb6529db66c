export { type FailedHandshake, watchHandshakes } from './adapters/failed-handshakes.js';
export { GrpcWolfLink } from './adapters/grpc-wolf-link.js';
export { NodeDisks } from './adapters/node-disks.js';
export { NodeSmallFiles } from './adapters/node-small-files.js';
export {
  type PeerTls,
  SocketPeerTransport,
  type SocketPeerTransportOptions,
} from './adapters/socket-peer-transport.js';
export { systemClock } from './adapters/system-clock.js';
export { systemRandom } from './adapters/system-random.js';
export * from './api/call.js';
export * from './api/cluster-api.js';
export { counted } from './api/counted.js';
export * from './api/environment.js';
export * from './api/errors.js';
export * from './api/follower-control.js';
export * from './api/kv-api.js';
export * from './api/logs-api.js';
export * from './api/maintenance-control.js';
export * from './api/member-control.js';
export type { NodeParts } from './api/node-parts.js';
export * from './api/options.js';
export * from './api/reports-api.js';
export type { ShardLoad } from './api/shard-load.js';
export * from './api/tables-api.js';
export { DATA_FORMAT, DataDirectoryError, Identity } from './cluster/identity.js';
export { TrustedClock } from './cluster/trusted-clock.js';
export {
  type DiskRoom,
  type DiskShortage,
  describeShortage,
  roomWanted,
  roomWantedByNew,
  shortageOf,
} from './disk/disk-room.js';
export { nodeEvents } from './events.js';
export type { Replica } from './group/replica.js';
export { WriteStages } from './group/write-stages.js';
export {
  ClusterClone,
  type ClusterCloneContext,
  type HeldClone,
} from './meta/cluster-clone.js';
export type { UnfinishedClone } from './meta/records.js';
export type { RegisteredClone } from './meta/registry.js';
export { META_SHARD, WOLF_SHARD } from './meta/shards.js';
export { tableApiError } from './meta/table-errors.js';
export { isTableName, TABLE_NAME_RULE } from './meta/table-name.js';
export { Node } from './node.js';
export type { Wolf } from './wolf/wolf.js';
