import type { Wolf } from '@coxswain/node';
import { wolfRaft } from '@coxswain/protocol';
import { type Method, unary } from '../grpc/call.js';

/**
 * The time in milliseconds that a call may take when the caller set no deadline: a member may have to sync its disk
 * first, or to load a whole snapshot.
 */
const DEADLINE_MS = 60_000;
/** Callers send gzip, and expect it in answers (trap 5). */
const options = { deadlineMs: DEADLINE_MS, isAnswerGzipped: true };

/**
 * Returns the methods of the seed's wolf.raft (docs/operations-protocols.md §1). A refusal is a field of the answer,
 * with gRPC status OK (trap 4).
 */
export function wolfMethods(wolf: Wolf): readonly Method[] {
  const { bootstrap, appendEntries, installSnapshot, vote, getMetrics } = wolfRaft.RaftService;
  return [
    unary(bootstrap, (request) => wolf.bootstrap(request), options),
    unary(appendEntries, (request) => wolf.appendEntries(request), options),
    unary(installSnapshot, (request) => wolf.installSnapshot(request), options),
    unary(vote, (request) => wolf.vote(request), options),
    unary(getMetrics, (request) => wolf.getMetrics(request), options),
  ];
}
