import type { wolfRaft } from '@coxswain/protocol';
import type { Heartbeat, NodeId } from '@coxswain/raft';
import { wolfErrors } from './errors.js';
import { checkLeader, type Decided, peerOf, type ReplicaView, refused, toNumber } from './receive.js';
import { checkTermLeap } from './term-leap.js';

/** A chunk for the `SnapshotAssembly`, unless `isCommitted`. */
export interface WantedChunk {
  readonly kind: 'chunk';
  readonly from: NodeId;
  /** The leader's term. */
  readonly term: number;
  readonly lastIndex: number;
  readonly lastTerm: number;
  /**
   * True when everything in the snapshot is already committed here: the chunk is not needed and is answered like an
   * installed one.
   */
  readonly isCommitted: boolean;
  /**
   * A message to step before the chunk is taken. It is the contact with the leader, which sends nothing else meanwhile,
   * and brings the core into the leader's term. Nobody waits for the core's answer.
   */
  readonly contact: Heartbeat;
}

/**
 * Judges a chunk of InstallSnapshot: it is answered at once for an earlier term or an error, and otherwise wanted.
 * Never throws.
 */
export function receiveSnapshotChunk(
  request: wolfRaft.RaftInstallSnapshotReq,
  replica: ReplicaView,
): Decided<wolfRaft.RaftInstallSnapshotRes> | WantedChunk {
  const { msgId } = request;
  try {
    const exact = (value: bigint, field: string) => toNumber(value, field, wolfErrors.snapshotFailed);
    const term = exact(request.term, 'term');
    const leaderId = exact(request.leaderId, 'leader_id');
    const lastIndex = exact(request.lastIncludedIndex, 'last_included_index');
    const lastTerm = exact(request.lastIncludedTerm, 'last_included_term');
    if (term < replica.term || term === 0)
      return { kind: 'decided', response: answerInstalled(msgId, replica.term) };
    checkTermLeap(term, replica.term, wolfErrors.snapshotFailed);
    const from = peerOf(leaderId, replica, 'leader_id', wolfErrors.snapshotFailed);
    checkLeader(from, term, replica, wolfErrors.snapshotFailed);
    if (lastIndex === 0 || lastTerm === 0 || lastTerm > term)
      throw wolfErrors.snapshotFailed(
        `no leader of term ${term} has a snapshot of index ${lastIndex} and term ${lastTerm}`,
      );
    const isCommitted = lastIndex <= replica.commitIndex;
    const known = isCommitted ? replica.termAt(lastIndex) : undefined;
    if (known !== undefined && known !== lastTerm)
      throw wolfErrors.snapshotFailed(
        `entry ${lastIndex} is committed here with term ${known}, not ${lastTerm}`,
      );
    const contact: Heartbeat = { type: 'heartbeat', from, to: replica.id, term, commit: 0, context: '' };
    return { kind: 'chunk', from, term, lastIndex, lastTerm, isCommitted, contact };
  } catch (error) {
    return refused(msgId, error);
  }
}

/**
 * Makes the answer to a chunk that was taken; the last one may be answered only when the snapshot is installed durably
 * (D7).
 */
export function answerInstalled(msgId: string, term: number): wolfRaft.RaftInstallSnapshotRes {
  return { response: { $case: 'okRes', value: { msgId, term: BigInt(term) } } };
}
