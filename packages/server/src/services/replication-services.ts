import { replication } from '@coxswain/protocol';
import type { LeaderReplication } from '@coxswain/replication';
import { type Method, stream, unary } from '../grpc/call.js';

/** The time in milliseconds that a call may take when the caller set no deadline (docs/protocol.md §3). */
const LOG_DEADLINE_MS = 60_000;
const SNAPSHOT_DEADLINE_MS = 3_600_000;

const asItIs = (message: Buffer): Buffer => message;

/** Returns the methods of replication.v1.Metadata, which backup tools also ask for the list of tables. */
export function metadataMethods(leader: LeaderReplication): readonly Method[] {
  return [unary(replication.MetadataService.get, (request, call) => leader.metadata(request, call))];
}

/** Returns the methods that follower clusters call on a leader cluster. */
export function replicationMethods(leader: LeaderReplication): readonly Method[] {
  return [
    ...metadataMethods(leader),
    ...tableMethods(leader),
    // It is served on this listener alone, since the download that it names is served there.
    unary(replication.SnapshotService.query, (request, call) => leader.querySnapshot(request, call)),
  ];
}

/** Returns the methods that give tables themselves, from which a clone copies. */
export function tableMethods(leader: LeaderReplication): readonly Method[] {
  return [
    stream(replication.SnapshotService.stream, (request, call) => leader.snapshot(request, call), {
      deadlineMs: SNAPSHOT_DEADLINE_MS,
    }),
    stream(
      // Its messages are encoded already.
      { ...replication.LogService.replicate, responseSerialize: asItIs, responseDeserialize: asItIs },
      (request, call) => leader.replicate(request, call),
      { deadlineMs: LOG_DEADLINE_MS },
    ),
  ];
}
