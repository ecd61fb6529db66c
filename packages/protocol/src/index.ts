import { readFileSync } from 'node:fs';

export * as events from './gen/coxswain/v1/events.js';
export * as health from './gen/grpc/health/v1/health.js';
export * as maintenance from './gen/maintenance/v1/maintenance.js';
export * as moco from './gen/moco/agentrpc.js';
export * as mvcc from './gen/mvcc/v1/mvcc.js';
export * as regatta from './gen/regatta/v1/regatta.js';
export * as replication from './gen/replication/v1/replication.js';
export * as wolfRaft from './gen/wolf/raft/raft.js';
export { WireError } from './wire/wire-error.js';
export { WireReader } from './wire/wire-reader.js';

/**
 * The descriptors of every message and service, as an encoded google.protobuf.FileDescriptorSet: what
 * gRPC reflection and other tools that learn a protocol at run time take.
 */
export function descriptorSet(): Buffer {
  return readFileSync(new URL('../../descriptors.binpb', import.meta.url));
}
