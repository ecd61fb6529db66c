import { mvcc } from '@coxswain/protocol';
import { comparesHold, hasRevisionCompares, unknownInCompares } from './compare.js';
import { BEGINNING, type CommandPlace, type EntryProgress, type Place } from './entry-progress.js';
import { UnknownCommandError } from './errors.js';
import { boundsOf } from './key-bounds.js';
import { outcomeKey } from './layout.js';
import type { PendingEffects } from './pending-effects.js';
import type { RangeDeleter } from './range-deleter.js';
import { newRecordBlock } from './record-block.js';
import { EMPTY_SCAN, type RecordSource } from './record-source.js';
import type { ResponseBudget } from './response-budget.js';
import { deleteRangeResponse, NO_RESPONSES, putResponse } from './responses.js';
import type { Progress } from './table-state.js';
import { TxnAnswers } from './txn-answers.js';
import type { ApplyResult, TableEntry } from './types.js';

/** The most pairs of a batch that is applied at once; a larger batch is applied as a large entry is. */
const SMALL_BATCH_PAIRS_MAX = 500;
const OUTCOME_FAILED = Buffer.from([0]);
const OUTCOME_SUCCEEDED = Buffer.from([1]);

/** The result of a command. */
type Outcome = Pick<ApplyResult, 'succeeded' | 'responses'> & {
  /** The answers of a Txn or range deletion, parts of which are yet to be read from the store. */
  readonly answers?: TxnAnswers | undefined;
};

/**
 * Computes the effects of a command on a table (A1), whether a client sent it or the log of a leader cluster brought
 * it.
 */
export class CommandApplier {
  readonly #effects: PendingEffects;
  readonly #progress: EntryProgress;
  readonly #rangeDeleter: RangeDeleter;

  constructor(effects: PendingEffects, progress: EntryProgress, rangeDeleter: RangeDeleter) {
    this.#effects = effects;
    this.#progress = progress;
    this.#rangeDeleter = rangeDeleter;
  }

  /**
   * Returns the revision that the command writes: the leader cluster's index, or the entry's, but never less than the
   * table's revision.
   */
  revisionOf(entry: TableEntry, command: mvcc.Command): number {
    const own = command.leaderIndex === undefined ? entry.index : Number(command.leaderIndex);
    return Math.max(own, this.#effects.state.revision);
  }

  /**
   * Applies a small command that only touches the keys that it names. For any other command it returns undefined,
   * without any effect.
   */
  applyPoints(
    index: number,
    command: mvcc.Command,
    revision: number,
    budget: ResponseBudget | undefined,
  ): mvcc.ResponseOp[] | undefined {
    switch (command.type) {
      case mvcc.Command_CommandType.PUT: {
        const { key, value } = pairOf(command, index);
        const previous = this.#effects.put(newRecordBlock(key, value), revision);
        return budget === undefined ? NO_RESPONSES : [previousOfPut(budget, key, previous, command.prevKvs)];
      }
      case mvcc.Command_CommandType.DELETE: {
        const { key } = pairOf(command, index);
        if (boundsOf(key, command.rangeEnd) !== undefined) return undefined;
        const previous = this.#effects.delete(key, revision);
        return budget === undefined
          ? NO_RESPONSES
          : [previousOfDelete(budget, key, previous, command.prevKvs)];
      }
      case mvcc.Command_CommandType.DUMMY:
      // Armada's tables remove tombstones with GC. Here the history is removed by entries of its own (A5).
      case mvcc.Command_CommandType.GC:
        return NO_RESPONSES;
      case mvcc.Command_CommandType.PUT_BATCH:
      case mvcc.Command_CommandType.DELETE_BATCH: {
        if (command.batch.length > SMALL_BATCH_PAIRS_MAX) return undefined;
        const responses: mvcc.ResponseOp[] = [];
        for (const pair of command.batch) {
          const response = this.#applyPair(command.type, pair, revision, budget);
          if (response !== undefined) responses.push(response);
        }
        return responses;
      }
      default:
        return undefined;
    }
  }

  /** Applies the commands of a SEQUENCE, from the first one or from where a crash left it. */
  async applySequence(
    entry: TableEntry,
    commands: readonly mvcc.Command[],
    resumed: Progress | undefined,
  ): Promise<Outcome> {
    const { index } = entry;
    const first = resumed?.command ?? 0;
    let revision = this.#effects.state.revision;
    for (const [at, command] of commands.entries()) {
      revision = Math.max(revision, this.revisionOf(entry, command));
      if (at < first) continue;
      // Nobody asks for the answers of a replicated command.
      if (this.applyPoints(index, command, revision, undefined) === undefined) {
        const place = { index, command: at };
        await this.applyOne(command, place, revision, undefined, at === first ? resumed : undefined);
      }
      if (this.#progress.isLarge()) await this.#progress.spill({ ...BEGINNING, index, command: at + 1 });
    }
    return { succeeded: true, responses: NO_RESPONSES };
  }

  /**
   * Applies a command that may have to wait for the store, or may grow large (A4), from its beginning or from where a
   * crash left it. Rejects with UnknownCommandError.
   */
  async applyOne(
    command: mvcc.Command,
    place: CommandPlace,
    revision: number,
    budget: ResponseBudget | undefined,
    resumed: Progress | undefined,
  ): Promise<Outcome> {
    switch (command.type) {
      case mvcc.Command_CommandType.DELETE: {
        const { key } = pairOf(command, place.index);
        const bounds = boundsOf(key, command.rangeEnd)!;
        const at: Place = { ...place, succeeded: undefined, operation: 0 };
        const answers = budget && new TxnAnswers(budget);
        const response = await this.#rangeDeleter.delete(
          bounds,
          at,
          revision,
          command.prevKvs,
          answers,
          resumed,
        );
        answers?.push(response);
        return { succeeded: true, responses: answers?.responses ?? NO_RESPONSES, answers };
      }
      case mvcc.Command_CommandType.PUT_BATCH:
      case mvcc.Command_CommandType.DELETE_BATCH:
        return this.#applyLargeBatch(command, place, revision, budget, resumed);
      case mvcc.Command_CommandType.TXN: {
        const txn = command.txn ?? { compare: [], success: [], failure: [] };
        return this.#applyTxn(txn, place, revision, budget, resumed);
      }
      default:
        // It is never skipped (A8).
        throw new UnknownCommandError(`command type ${command.type}`, place.index);
    }
  }

  async #applyLargeBatch(
    command: mvcc.Command,
    place: CommandPlace,
    revision: number,
    budget: ResponseBudget | undefined,
    resumed: Progress | undefined,
  ): Promise<Outcome> {
    const responses: mvcc.ResponseOp[] = [];
    for (let at = resumed?.operation ?? 0; at < command.batch.length; at++) {
      const response = this.#applyPair(command.type, command.batch[at]!, revision, budget);
      if (response !== undefined) responses.push(response);
      if (this.#progress.isLarge()) await this.#progress.spill({ ...BEGINNING, ...place, operation: at + 1 });
    }
    return { succeeded: true, responses };
  }

  #applyPair(
    type: mvcc.Command_CommandType,
    { key, value }: mvcc.KeyValue,
    revision: number,
    budget: ResponseBudget | undefined,
  ): mvcc.ResponseOp | undefined {
    if (type === mvcc.Command_CommandType.PUT_BATCH) {
      this.#effects.put(newRecordBlock(key, value), revision);
      return budget && putResponse(undefined, false);
    }
    const previous = this.#effects.delete(key, revision);
    return budget && previousOfDelete(budget, key, previous, false);
  }

  async #applyTxn(
    txn: mvcc.Txn,
    place: CommandPlace,
    revision: number,
    budget: ResponseBudget | undefined,
    resumed: Progress | undefined,
  ): Promise<Outcome> {
    const unknown = unknownInCompares(txn.compare);
    // A compare that this release does not know stops the table (A8).
    if (unknown !== undefined) throw new UnknownCommandError(unknown, place.index);
    const succeeded = resumed?.succeeded ?? (await comparesHold(this.#effects, txn.compare));
    if (hasRevisionCompares(txn.compare)) {
      const outcome = succeeded ? OUTCOME_SUCCEEDED : OUTCOME_FAILED;
      this.#effects.write(outcomeKey(place.index, place.command), outcome);
    }
    const operations = succeeded ? txn.success : txn.failure;
    const answers = budget && new TxnAnswers(budget);
    const first = resumed?.operation ?? 0;
    for (let at = first; at < operations.length; at++) {
      const response = await this.#applyOperation(
        operations[at]!,
        { ...place, succeeded, operation: at },
        revision,
        answers,
        at === first ? resumed : undefined,
      );
      if (response !== undefined) answers?.push(response);
      if (this.#progress.isLarge())
        await this.#progress.spill({ ...BEGINNING, ...place, succeeded, operation: at + 1 });
    }
    return { succeeded, responses: answers?.responses ?? NO_RESPONSES, answers };
  }

  /**
   * Applies one operation of a Txn. Returns no response for a Range, whose place in the answers is kept, and for an
   * operation with nothing set: the API refuses it, but stock Regatta applies it (A3).
   */
  async #applyOperation(
    { request }: mvcc.RequestOp,
    place: Place,
    revision: number,
    answers: TxnAnswers | undefined,
    resumed: Progress | undefined,
  ): Promise<mvcc.ResponseOp | undefined> {
    const budget = answers?.budget;
    switch (request?.$case) {
      case 'requestPut': {
        const { key, value, prevKv } = request.value;
        const previous = this.#effects.put(newRecordBlock(key, value), revision);
        return budget && previousOfPut(budget, key, previous, prevKv);
      }
      case 'requestDeleteRange': {
        const { key, rangeEnd, prevKv } = request.value;
        const bounds = boundsOf(key, rangeEnd);
        if (bounds !== undefined) {
          return this.#rangeDeleter.delete(bounds, place, revision, prevKv, answers, resumed);
        }
        const previous = this.#effects.delete(key, revision);
        return budget && previousOfDelete(budget, key, previous, prevKv);
      }
      case 'requestRange':
        if (answers !== undefined) this.#answerRange(answers, request.value);
        return undefined;
      case undefined:
        return undefined;
    }
  }

  /**
   * Adds the answer of a Range. A point is read at once. A range is read after the entry has been applied, from the
   * table as it is now.
   */
  #answerRange(answers: TxnAnswers, range: mvcc.RequestOp_Range): void {
    if (boundsOf(range.key, range.rangeEnd) === undefined) {
      const record = this.#effects.get(range.key);
      answers.pushPoint(pointOf(record), range);
      return;
    }
    answers.pushScan(this.#effects.freeze(), range);
  }
}

/** Returns a source for the answer to a read of one key that has been made already. */
function pointOf(record: Buffer | undefined): RecordSource {
  return { get: () => record, scan: () => EMPTY_SCAN, count: () => Promise.resolve(0) };
}

/** Returns the pair of a command that must have one. Throws UnknownCommandError when it has none. */
export function pairOf(command: mvcc.Command, index: number): mvcc.KeyValue {
  if (command.kv === undefined)
    throw new UnknownCommandError(`command type ${command.type} without a pair`, index);
  return command.kv;
}

function previousOfPut(
  budget: ResponseBudget,
  key: Buffer,
  previous: Buffer | undefined,
  isWanted: boolean,
): mvcc.ResponseOp {
  if (!isWanted || previous === undefined) return putResponse(undefined, false);
  const pair = budget.pairWithin(key, previous);
  return putResponse(pair, pair === undefined);
}

function previousOfDelete(
  budget: ResponseBudget,
  key: Buffer,
  previous: Buffer | undefined,
  isWanted: boolean,
): mvcc.ResponseOp {
  if (previous === undefined) return deleteRangeResponse(0, [], false);
  if (!isWanted) return deleteRangeResponse(1, [], false);
  const pair = budget.pairWithin(key, previous);
  return deleteRangeResponse(1, pair === undefined ? [] : [pair], pair === undefined);
}
