import type { ApplyResult, CommandKind } from '@coxswain/table';
import type { Call } from '../api/call.js';
import { ApiError, errors } from '../api/errors.js';
import type { Replica } from '../group/replica.js';
import type { Meta } from '../meta/meta.js';
import type { WriteGate } from './write-gate.js';

/** Proposals that failed, since the node started. */
export interface FailureCounters {
  refused: number;
  outcomeUnknown: number;
}

/** Brings requests to the shard that serves a table, and on to the one that takes its place (T2). */
export class ShardRequests {
  readonly #meta: Meta;
  readonly #gate: WriteGate;
  readonly #counters: FailureCounters;

  constructor(meta: Meta, gate: WriteGate, counters: FailureCounters) {
    this.#meta = meta;
    this.#gate = gate;
    this.#counters = counters;
  }

  /**
   * Attempts something on the shard that serves the table, and again on the one that takes its place (T2): when the
   * attempt gives undefined, because the shard is sealed, and when the shard was dropped before anything was done.
   */
  async onShard<T>(
    table: string,
    call: Call,
    attempt: (replica: Replica) => Promise<T | undefined>,
  ): Promise<T> {
    for (;;) {
      if (this.#gate.isStopping) throw errors.shuttingDown();
      const replica = this.#meta.directory.get(table) ?? (await this.#meta.directory.find(table, call));
      try {
        const outcome = await attempt(replica);
        if (outcome !== undefined) return outcome;
      } catch (error) {
        if (!this.isUndone(replica, error)) throw error;
      }
      await this.#meta.directory.moved(table, replica, call);
    }
  }

  /** Whether the replica was dropped before anything was done: another shard may do it. */
  isUndone(replica: Replica, error: unknown): boolean {
    const isGone = error instanceof ApiError && !error.isOutcomeUnknown && replica.isClosed;
    return isGone && !this.#gate.isStopping;
  }

  /** Proposes to a replica, and counts a failure. Errors are those of `Replica.propose`. */
  async propose(
    replica: Replica,
    kind: CommandKind,
    command: Buffer,
    call: Call,
    cursor?: number,
  ): Promise<ApplyResult> {
    try {
      return await replica.propose(kind, command, call, cursor);
    } catch (error) {
      this.countFailure(error);
      throw error;
    }
  }

  countFailure(error: unknown): void {
    if (!(error instanceof ApiError)) return;
    if (error.isOutcomeUnknown) this.#counters.outcomeUnknown++;
    else this.#counters.refused++;
  }
}
