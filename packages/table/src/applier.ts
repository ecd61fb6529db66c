import { strict as assert } from 'node:assert/strict';
import { mvcc } from '@coxswain/protocol';
import { PairRecord } from '@coxswain/stream';
import { CommandApplier } from './command-applier.js';
import type { Effects } from './effects.js';
import { EntryProgress, type EntryProgressOptions } from './entry-progress.js';
import { UnknownCommandError } from './errors.js';
import { readSafeInteger } from './integers.js';
import { LoadApplier } from './load-applier.js';
import type { PageCache } from './page-cache.js';
import { PendingEffects } from './pending-effects.js';
import { RangeDeleter, type RangeDeleterOptions } from './range-deleter.js';
import { recordBlockOf } from './record-block.js';
import { ResponseBudget } from './response-budget.js';
import { emptyResult, NO_RESPONSES, putResponse } from './responses.js';
import type { StoreReader } from './store.js';
import type { Progress, TableState } from './table-state.js';
import { type ApplyResult, CommandKind, type TableEntry } from './types.js';

const ALWAYS = (): boolean => true;
/** The responses of a put that does not ask for the pair before it. */
const PUT_RESPONSES = [putResponse(undefined, false)];
/** The outcome of an entry that had its effect. */
const EFFECTIVE = { hasStaleCursor: false, sealedBy: undefined } as const;

/** The options of an applier. */
export interface ApplierOptions extends RangeDeleterOptions, EntryProgressOptions {
  /** The pages of the table's latest records in memory, if it has any. */
  readonly pages: PageCache | undefined;
  /** Runs a read in its turn, and `end` after it in any case. Rejects when the read rejects, with the same error. */
  readonly readLater: (read: () => Promise<void>, end: () => void) => Promise<void>;
}

/**
 * Computes the effects of entries on a table (A1): a put at once, other commands by `CommandApplier`, loads by
 * `LoadApplier`. Collects effects until `takeEffects` is called. Strictly serial: an entry may only be applied when the
 * one before it has been.
 */
export class Applier {
  readonly #effects: PendingEffects;
  readonly #rangeDeleter: RangeDeleter;
  readonly #options: ApplierOptions;
  readonly #state: PendingEffects['state'];
  readonly #progress: EntryProgress;
  readonly #commands: CommandApplier;
  readonly #loads: LoadApplier;
  readonly #pair = new PairRecord();

  constructor(
    store: StoreReader,
    state: TableState,
    progress: Progress | undefined,
    options: ApplierOptions,
  ) {
    this.#effects = new PendingEffects(store, state, options.pages);
    this.#state = this.#effects.state;
    this.#progress = new EntryProgress(this.#effects, progress, options);
    this.#rangeDeleter = new RangeDeleter(store, this.#effects, this.#progress, options);
    this.#commands = new CommandApplier(this.#effects, this.#progress, this.#rangeDeleter);
    this.#loads = new LoadApplier(this.#effects, this.#progress);
    this.#options = options;
  }

  /**
   * Applies one entry, and returns its result. Returns a promise only for an entry that may have to wait for the store
   * or may grow large: a range, a large batch, a Txn, a SEQUENCE, a load. After an error, thrown or rejected, the table
   * is lost and must be opened again.
   */
  apply(entry: TableEntry): ApplyResult | Promise<ApplyResult> {
    assert(entry.index > this.#state.appliedIndex, `entry ${entry.index} is applied already`);
    assert(
      this.#progress.resumed === undefined || this.#progress.resumed.index === entry.index,
      `entry ${this.#progress.resumed?.index} is half applied and must come first (A4)`,
    );
    const { sealedBy } = this.#state;
    if (entry.cursor !== undefined && entry.cursor !== (this.#state.leaderIndex ?? 0)) {
      return this.#passOver(entry);
    }
    if (entry.kind === CommandKind.Command) this.#loads.interrupt();
    // Unknown kinds stop the table (A8) even when it is sealed: every replica must agree on the meaning of the log.
    switch (entry.kind) {
      case CommandKind.None:
        this.#progress.end(entry, undefined);
        break;
      case CommandKind.Command: {
        const { payload } = entry;
        // A plain put is the usual command. It is applied from its bytes, without the objects that the generated code
        // would make.
        if (sealedBy === undefined && this.#pair.read(payload, 0, payload.length))
          return this.#applyPut(entry, this.#pair);
        const command = mvcc.Command.decode(payload);
        if (sealedBy === undefined) return this.#applyCommand(entry, command);
        this.#progress.end(entry, undefined);
        break;
      }
      case CommandKind.Compact: {
        const floor = readSafeInteger(entry.payload, 0);
        this.#progress.end(entry, undefined);
        if (sealedBy === undefined) this.#raiseFloor(floor);
        break;
      }
      case CommandKind.Seal: {
        const shard = readSafeInteger(entry.payload, 0);
        this.#progress.end(entry, undefined);
        if (sealedBy === undefined) this.#state.sealedBy = shard;
        break;
      }
      case CommandKind.Load:
        if (sealedBy === undefined) return this.#loads.load(entry);
        this.#progress.end(entry, undefined);
        break;
      case CommandKind.Loaded:
        if (sealedBy === undefined) return this.#loads.end(entry);
        this.#progress.end(entry, undefined);
        break;
      default:
        throw new UnknownCommandError(`kind ${entry.kind satisfies never}`, entry.index);
    }
    return emptyResult(entry, this.#state.revision, sealedBy, false);
  }

  /**
   * Applies an entry that was built on another state than this one (R1): the applied index advances, and nothing else
   * happens.
   */
  #passOver(entry: TableEntry): ApplyResult {
    this.#progress.end(entry, undefined);
    return emptyResult(entry, this.#state.revision, this.#state.sealedBy, true);
  }

  /** Returns the effects that were collected since the last call. */
  takeEffects(): Effects {
    return this.#effects.take();
  }

  /** Drops from the overlay the effects that the store now has; see `Effects.generation`. */
  release(generation: number): void {
    this.#effects.overlay.release(generation);
  }

  /**
   * True when a range deletion has keys left to remove, and no entry that a crash left half applied must come first.
   */
  get canSweep(): boolean {
    return this.#state.deletions.length > 0 && this.#progress.resumed === undefined;
  }

  /** Removes the next keys of the oldest range deletion (A4). Takes its turn between entries. */
  sweep(): Promise<void> {
    return this.#rangeDeleter.sweep();
  }

  #applyPut(entry: TableEntry, pair: PairRecord): ApplyResult {
    const { index } = entry;
    const revision = Math.max(index, this.#state.revision);
    this.#effects.put(recordBlockOf(pair), revision);
    this.#progress.end(entry, undefined);
    const responses = entry.wantsResult ? PUT_RESPONSES : NO_RESPONSES;
    return { index, revision, succeeded: true, responses, hasStaleCursor: false, sealedBy: undefined };
  }

  #applyCommand(entry: TableEntry, command: mvcc.Command): ApplyResult | Promise<ApplyResult> {
    const revision = this.#commands.revisionOf(entry, command);
    const budget = entry.wantsResult ? new ResponseBudget(operationCountOf(command)) : undefined;
    const responses = this.#commands.applyPoints(entry.index, command, revision, budget);
    if (responses === undefined) return this.#applyLarge(entry, command, revision, budget);
    this.#progress.end(entry, command.leaderIndex);
    const { index } = entry;
    return { index, revision, succeeded: true, responses, hasStaleCursor: false, sealedBy: undefined };
  }

  /** Applies a command that may have to wait for the store, or may grow large (A4). */
  async #applyLarge(
    entry: TableEntry,
    command: mvcc.Command,
    revision: number,
    budget: ResponseBudget | undefined,
  ): Promise<ApplyResult> {
    const resumed = this.#progress.beginLarge();
    const { succeeded, responses, answers } =
      command.type === mvcc.Command_CommandType.SEQUENCE
        ? await this.#commands.applySequence(entry, command.sequence, resumed)
        : await this.#commands.applyOne(
            command,
            { index: entry.index, command: 0 },
            revision,
            budget,
            resumed,
          );
    this.#effects.thaw();
    this.#progress.end(entry, command.leaderIndex);
    // An answer without scans is read at once. The others are read while later entries are applied (A4).
    const isAwaited = entry.isAwaited ?? ALWAYS;
    let reading: Promise<void> | undefined;
    if (answers?.scans === true) {
      reading = this.#options.readLater(
        () => answers.readRanges(isAwaited),
        () => answers.close(),
      );
    } else {
      await answers?.readRanges(ALWAYS);
    }
    return { index: entry.index, revision, succeeded, responses, reading, ...EFFECTIVE };
  }

  #raiseFloor(revision: number): void {
    const state = this.#state;
    state.historyFloor = Math.max(state.historyFloor, Math.min(revision, state.revision));
  }
}

/** Returns the greatest number of answers that a command can have. */
function operationCountOf({ txn, batch }: mvcc.Command): number {
  if (txn === undefined) return Math.max(1, batch.length);
  return Math.max(txn.success.length, txn.failure.length);
}
