import { type Entry, EntryType } from '@coxswain/raft';
import type { Clock } from '@coxswain/runtime';
import {
  type ApplyResult,
  CommandKind,
  openEnvelope,
  ownSequence,
  StoreDamagedError,
  type Table,
  type TableEntry,
} from '@coxswain/table';
import type { Proposals, SentProposal } from './proposals.js';
import type { GroupMember } from './replica-host.js';

/** A batch of entries that were applied together. */
export interface AppliedBatch {
  readonly entries: readonly Entry[];
  /** For each entry, the proposal of this node that waits for it; undefined when nobody on this node waits for it. */
  readonly awaited: readonly (SentProposal | undefined)[];
  readonly results: readonly ApplyResult[];
}

/** The parts of a replica that its ApplyLoop uses, and the events that it reports. */
export interface ApplyLoopOptions {
  readonly member: GroupMember;
  readonly clock: Clock;
  readonly proposals: Proposals;
  /** Runs after each apply, before anyone learns of it. */
  readonly afterApply: (() => Promise<void>) | undefined;
  /** Called when a batch is applied and `afterApply` has run. */
  readonly applied: (batch: AppliedBatch) => void;
  /** Called when the table closed itself, or when `afterApply` could not read it. */
  readonly tableFailed: (table: Table, error: unknown) => void;
  /** Stops the node, because an invariant is broken. */
  readonly fail: (error: unknown) => void;
}

/**
 * Gives committed entries to a table, one batch at a time: the entries that commit while a batch is applied make the
 * next batch.
 */
export class ApplyLoop {
  readonly #options: ApplyLoopOptions;
  /** Entries that are committed and durable here (D2), in order, and not yet given to the table. */
  #committed: Entry[] = [];
  #isApplying = false;
  #applying: Promise<void> = Promise.resolve();

  constructor(options: ApplyLoopOptions) {
    this.#options = options;
  }

  /** Adds committed entries, in order, to those that wait. */
  enqueue(entries: readonly Entry[]): void {
    if (this.#committed.length === 0) this.#committed = entries as Entry[];
    else this.#committed = this.#committed.concat(entries);
  }

  /**
   * Begins to apply the entries that wait, unless a batch is under way or there is no table. Returns whether it began
   * one.
   */
  run(table: Table | undefined): boolean {
    if (this.#isApplying || this.#committed.length === 0 || table === undefined) return false;
    const entries = this.#committed;
    this.#committed = [];
    this.#isApplying = true;
    this.#applying = this.#apply(table, entries).catch((error: unknown) => this.#options.fail(error));
    return true;
  }

  /** Forgets the entries that wait: the core hands them out again, or a snapshot covers them. */
  clear(): void {
    this.#committed = [];
  }

  /** Begins anew with another table, or with the same one opened again. No batch may be under way. */
  restart(): void {
    this.#committed = [];
    this.#isApplying = false;
  }

  /** Resolves when no batch is under way. */
  whenApplied(): Promise<void> {
    return this.#applying;
  }

  async #apply(table: Table, entries: Entry[]): Promise<void> {
    const { afterApply, applied, tableFailed } = this.#options;
    const awaited: (SentProposal | undefined)[] = [];
    let results: ApplyResult[];
    try {
      results = await table.apply(entries.map((entry) => this.#tableEntry(entry, awaited)));
    } catch (error) {
      this.#isApplying = false;
      tableFailed(table, error);
      return;
    }
    try {
      if (afterApply !== undefined) await afterApply();
    } catch (error) {
      this.#isApplying = false;
      // `afterApply` reads the table, whose files may be damaged (D4).
      if (!(error instanceof StoreDamagedError)) throw error;
      tableFailed(table, error);
      return;
    }
    this.#isApplying = false;
    applied({ entries, awaited, results });
  }

  #tableEntry(entry: Entry, awaited: (SentProposal | undefined)[]): TableEntry {
    const { member, clock, proposals } = this.#options;
    const { index, term, data } = entry;
    if (entry.type === EntryType.Empty) {
      awaited.push(undefined);
      const kind = CommandKind.None;
      return { index, term, timeMs: 0, kind, payload: data, cursor: undefined, wantsResult: false };
    }
    const { kind, timeMs, cursor, command } = openEnvelope(data, index);
    const sequence = ownSequence(data, member.nodeId, member.boot);
    const proposal = sequence === undefined ? undefined : proposals.awaited(sequence);
    awaited.push(proposal);
    const wantsResult = proposal !== undefined;
    if (!wantsResult) return { index, term, timeMs, kind, payload: command, cursor, wantsResult };
    const { deadlineMs } = proposal.call;
    const isAwaited = (): boolean => clock.monotonicMs() < deadlineMs;
    return { index, term, timeMs, kind, payload: command, cursor, wantsResult, isAwaited };
  }
}
