import type { SpanContext } from '@coxswain/runtime';
import type { WriteStages } from '../group/write-stages.js';

/** The deadline of one request, and who hears that its write was applied. */
export interface Call {
  /**
   * The moment, on `Clock.monotonicMs`, at which the request ends with `timeout`, or with `outcomeUnknown` when it is
   * a write that may have been applied (P1).
   */
  readonly deadlineMs: number;
  /**
   * Called when the write has been applied, with the time on `Clock.monotonicMs` and with the histograms in which the
   * caller records how long the answer takes.
   */
  applied?(atMs: number, stages: WriteStages): void;
  /** The span of the request, of which the stages of a write become parts; undefined when tracing is off. */
  readonly trace?: SpanContext | undefined;
}

/**
 * The header of a response (regatta.v1.ResponseHeader): which shard and replica answered, at which revision, and
 * which leader it knows.
 */
export interface Header {
  readonly shardId: number;
  readonly replicaId: number;
  readonly revision: number;
  readonly raftTerm: number;
  readonly raftLeaderId: number;
}
