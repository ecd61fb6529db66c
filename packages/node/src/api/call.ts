import type { WriteStages } from '../group/write-stages.js';

/** The limits of one request. */
export interface Call {
  /** On `Clock.monotonicMs`. When it passes, the request ends with `timeout`, or `outcomeUnknown` for a write that may have happened (P1). */
  readonly deadlineMs: number;
  /** Called when the write was applied: the time on `Clock.monotonicMs`, and where to count how long its answer takes. */
  applied?(atMs: number, stages: WriteStages): void;
}

/** What a response's header says (regatta.v1.ResponseHeader). */
export interface Header {
  readonly shardId: number;
  readonly replicaId: number;
  readonly revision: number;
  readonly raftTerm: number;
  readonly raftLeaderId: number;
}
