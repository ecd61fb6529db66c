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
export * from './api.js';
export { CLONE_FAILED, ClusterClone, type ClusterCloneContext, type HeldClone } from './cluster-clone.js';
export { counted } from './counted.js';
export {
  type DiskRoom,
  type DiskShortage,
  describeShortage,
  roomWanted,
  roomWantedByNew,
  shortageOf,
} from './disk-room.js';
export * from './environment.js';
export * from './errors.js';
export { Histogram } from './histogram.js';
export { DATA_FORMAT, DataDirectoryError, Identity } from './identity.js';
export * from './maintenance-api.js';
export * from './member-control.js';
export { Node } from './node.js';
export * from './options.js';
export { META_SHARD, type RegisteredClone, type UnfinishedClone, WOLF_SHARD } from './registry.js';
export type { Replica } from './replica.js';
export * from './replication-api.js';
export { tableApiError } from './table-errors.js';
export { isTableName, TABLE_NAME_RULE } from './table-name.js';
export { TrustedClock } from './trusted-clock.js';
export type { Wolf } from './wolf/wolf.js';
export { WriteStages } from './write-stages.js';
