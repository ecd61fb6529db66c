import type { ApplyResult, CommandKind } from '@coxswain/table';
import type { Call } from '../api/call.js';
import { ApiError, errors } from '../api/errors.js';
import type { Replica } from '../group/replica.js';
import type { Meta } from '../meta/meta.js';
import type { WriteGate } from './write-gate.js';

/** The counts of proposals that failed since the node started. */
export interface FailureCounters {
  refused: number;
  outcomeUnknown: number;
}

/** Brings requests to the shard that serves a table, and on to the shard that takes its place (T2). */
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
   * Runs `attempt` on the shard that serves the table, and again on the shard that takes its place (T2) when it
   * resolves to undefined, because the shard is sealed, or when the shard was dropped before anything was done.
   * Errors: those of `attempt`, tableNotFound, notReady, timeout, shuttingDown.
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

  /** Whether the replica was dropped before anything was done, so that another shard may do it. */
  isUndone(replica: Replica, error: unknown): boolean {
    const isGone = error instanceof ApiError && !error.isOutcomeUnknown && replica.isClosed;
    return isGone && !this.#gate.isStopping;
  }

  /** Proposes a command to a replica, and counts a failure. Rejects with the errors of `Replica.propose`. */
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

  /** Counts a failed proposal, by whether its outcome is known. */
  countFailure(error: unknown): void {
    if (!(error instanceof ApiError)) return;
    if (error.isOutcomeUnknown) this.#counters.outcomeUnknown++;
    else this.#counters.refused++;
  }
}
