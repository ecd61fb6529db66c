import { replication } from '@coxswain/protocol';
import type { LeaderReplication } from '@coxswain/replication';
import { type Method, stream, unary } from '../grpc/call.js';

/** Where the caller said nothing (docs/protocol.md §3). */
const LOG_DEADLINE_MS = 60_000;
const SNAPSHOT_DEADLINE_MS = 3_600_000;

const asItIs = (message: Buffer): Buffer => message;

/** replication.v1.Metadata: also backup tools ask it which tables there are. */
export function metadataMethods(leader: LeaderReplication): readonly Method[] {
  return [unary(replication.MetadataService.get, (request, call) => leader.metadata(request, call))];
}

/** What follower clusters ask of a leader cluster. */
export function replicationMethods(leader: LeaderReplication): readonly Method[] {
  return [
    ...metadataMethods(leader),
    ...tableMethods(leader),
    // On this listener alone: the download that it names is there.
    unary(replication.SnapshotService.query, (request, call) => leader.querySnapshot(request, call)),
  ];
}

/** Tables themselves: what a clone takes. */
export function tableMethods(leader: LeaderReplication): readonly Method[] {
  return [
    stream(replication.SnapshotService.stream, (request, call) => leader.snapshot(request, call), {
      deadlineMs: SNAPSHOT_DEADLINE_MS,
    }),
    stream(
      // Its messages come encoded.
      { ...replication.LogService.replicate, responseSerialize: asItIs, responseDeserialize: asItIs },
      (request, call) => leader.replicate(request, call),
      { deadlineMs: LOG_DEADLINE_MS },
    ),
  ];
}
