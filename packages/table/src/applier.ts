import { strict as assert } from 'node:assert/strict';
import { mvcc } from '@coxswain/protocol';
import { compareKeys, type KeyPlace, PairRecord } from '@coxswain/stream';
import { comparesHold, hasRevisionCompares, unknownInCompares } from './compare.js';
import type { Effects } from './effects.js';
import { UnknownCommandError } from './errors.js';
import { readSafeInteger } from './integers.js';
import { ALL_KEYS, boundsOf, type KeyBounds } from './key-bounds.js';
import { keyInLatestKey, modRevisionOf, outcomeKey, type Stamp, writeRecordHeader } from './layout.js';
import type { PageCache } from './page-cache.js';
import { type EntryMark, PendingEffects } from './pending-effects.js';
import { RangeDeleter, type RangeDeleterOptions } from './range-deleter.js';
import { identityOf, newRecordBlock, recordBlockOf } from './record-block.js';
import { EMPTY_SCAN, type RecordSource } from './record-source.js';
import { PreviousPairs, ResponseBudget } from './response-budget.js';
import { deleteRangeResponse, putResponse } from './responses.js';
import { keyId } from './sorted-tree.js';
import type { StoreReader } from './store.js';
import type { Progress, TableState } from './table-state.js';
import { TxnAnswers } from './txn-answers.js';
import { type ApplyResult, CommandKind, type TableEntry } from './types.js';

/** Keys that a range deletion, or the end of a load, handles between two turns of the event loop. */
const SCAN_CHUNK_ENTRIES_MAX = 500;
/** A batch of more pairs is applied like a large entry. */
const SMALL_BATCH_PAIRS_MAX = 500;
const ALWAYS = (): boolean => true;
const NO_RESPONSES: mvcc.ResponseOp[] = [];
/** Of a put that does not ask for the pair before it. */
const PUT_RESPONSES = [putResponse(undefined, false)];
/** Before every key but the empty one. */
const NO_KEY: KeyPlace = { bytes: Buffer.alloc(0), keyStart: 0, keyEnd: 0 };
/** Of an entry that had its effect. */
const EFFECTIVE = { hasStaleCursor: false, sealedBy: undefined } as const;
/** Stands before each record of a load. */
const LENGTH_SIZE_BYTES = 8;
const ZERO_BYTE = Buffer.from([0]);
const OUTCOME_FAILED = Buffer.from([0]);
const OUTCOME_SUCCEEDED = Buffer.from([1]);

/** A command: an entry, or one of a SEQUENCE. */
type CommandPlace = Pick<Progress, 'index' | 'command'>;

/** Where in an entry an operation is: what a crash must know to go on with it (A4). */
type Place = Pick<Progress, 'index' | 'command' | 'succeeded' | 'operation'>;

/** A command of which nothing has been done. */
const BEGINNING = { succeeded: undefined, operation: 0, nextKey: undefined, deletedCount: 0 };

/** What a command answers. */
type Outcome = Pick<ApplyResult, 'succeeded' | 'responses'> & {
  /** What a Txn answers, whose Ranges are yet to be read. */
  readonly answers?: TxnAnswers | undefined;
};

/** An entry that has more effects than these limits hands them over and goes on (A4). */
export interface ApplierOptions extends RangeDeleterOptions {
  /**
   * Writes the effects from before the entry that grew too large (when there are any), then a part of its
   * effects. Resolves when both are in the store.
   */
  readonly spill: (before: Effects | undefined, part: Effects) => Promise<void>;
  /** Knows the latest records of parts of the table. */
  readonly pages: PageCache | undefined;
  /** Runs a read in its turn, and `end` after it in any case. Rejects with what the read rejects with. */
  readonly readLater: (read: () => Promise<void>, end: () => void) => Promise<void>;
}

/**
 * Computes what entries do to a table (A1), and collects effects until `takeEffects`. Strictly serial: no entry may be
 * applied before the one before it has been.
 */
export class Applier {
  readonly #effects: PendingEffects;
  readonly #rangeDeleter: RangeDeleter;
  readonly #options: ApplierOptions;
  readonly #state: PendingEffects['state'];
  #progress: Progress | undefined;
  #mark: EntryMark | undefined;
  /** While a table is loaded: no key that is there is after it. Undefined: that is not known. */
  #lastLoaded: KeyPlace | undefined;
  readonly #pair = new PairRecord();

  constructor(
    store: StoreReader,
    state: TableState,
    progress: Progress | undefined,
    options: ApplierOptions,
  ) {
    this.#effects = new PendingEffects(store, state, options.pages);
    this.#rangeDeleter = new RangeDeleter(store, this.#effects, options);
    this.#state = this.#effects.state;
    this.#progress = progress;
    this.#options = options;
  }

  /** A promise only for an entry that reads a range or runs a Txn or SEQUENCE. Throws or rejects: the table is lost. */
  apply(entry: TableEntry): ApplyResult | Promise<ApplyResult> {
    assert(entry.index > this.#state.appliedIndex, `entry ${entry.index} is applied already`);
    assert(
      this.#progress === undefined || this.#progress.index === entry.index,
      `entry ${this.#progress?.index} is half applied and must come first (A4)`,
    );
    const { sealedBy } = this.#state;
    if (entry.cursor !== undefined && entry.cursor !== (this.#state.leaderIndex ?? 0)) {
      return this.#passOver(entry);
    }
    if (entry.kind === CommandKind.Command) this.#lastLoaded = undefined;
    // Unknown kinds stop the table even when it is sealed: every replica must agree on what the log says.
    switch (entry.kind) {
      case CommandKind.None:
        this.#advance(entry, undefined);
        break;
      case CommandKind.Command: {
        const { payload } = entry;
        // The usual command, which asks for nothing but to be done: none of what stands for others is made for it.
        if (sealedBy === undefined && this.#pair.read(payload, 0, payload.length))
          return this.#applyPut(entry, this.#pair);
        const command = mvcc.Command.decode(payload);
        if (sealedBy === undefined) return this.#applyCommand(entry, command);
        this.#advance(entry, undefined);
        break;
      }
      case CommandKind.Compact: {
        const floor = readSafeInteger(entry.payload, 0);
        this.#advance(entry, undefined);
        if (sealedBy === undefined) this.#raiseFloor(floor);
        break;
      }
      case CommandKind.Seal: {
        const shard = readSafeInteger(entry.payload, 0);
        this.#advance(entry, undefined);
        if (sealedBy === undefined) this.#state.sealedBy = shard;
        break;
      }
      case CommandKind.Load:
        if (sealedBy === undefined) return this.#applyLoad(entry);
        this.#advance(entry, undefined);
        break;
      case CommandKind.Loaded:
        if (sealedBy === undefined) return this.#applyLoaded(entry);
        this.#advance(entry, undefined);
        break;
      default:
        throw new UnknownCommandError(`kind ${entry.kind satisfies never}`, entry.index);
    }
    return this.#emptyResult(entry, sealedBy, false);
  }

  /** R1: the entry was built on another state than this one. It takes its index, and nothing else happens. */
  #passOver(entry: TableEntry): ApplyResult {
    this.#advance(entry, undefined);
    return this.#emptyResult(entry, this.#state.sealedBy, true);
  }

  #emptyResult(entry: TableEntry, sealedBy: number | undefined, hasStaleCursor: boolean): ApplyResult {
    return {
      index: entry.index,
      revision: this.#state.revision,
      succeeded: sealedBy === undefined,
      responses: NO_RESPONSES,
      hasStaleCursor,
      sealedBy,
    };
  }

  /** What was collected since the last call. */
  takeEffects(): Effects {
    return this.#effects.take();
  }

  /** Forgets what the store has now; see `Effects.generation`. */
  release(generation: number): void {
    this.#effects.overlay.release(generation);
  }

  /** A range deletion has keys left to remove, and no entry that a crash left half applied comes before that. */
  get canSweep(): boolean {
    return this.#state.deletions.length > 0 && this.#progress === undefined;
  }

  /** Removes the next keys of the oldest range deletion (A4). Takes its turn between entries. */
  sweep(): Promise<void> {
    return this.#rangeDeleter.sweep();
  }

  #applyPut(entry: TableEntry, pair: PairRecord): ApplyResult {
    const { index } = entry;
    const revision = Math.max(index, this.#state.revision);
    this.#effects.put(recordBlockOf(pair), revision);
    this.#advance(entry, undefined);
    const responses = entry.wantsResult ? PUT_RESPONSES : NO_RESPONSES;
    return { index, revision, succeeded: true, responses, hasStaleCursor: false, sealedBy: undefined };
  }

  #applyCommand(entry: TableEntry, command: mvcc.Command): ApplyResult | Promise<ApplyResult> {
    const revision = this.#revisionOf(entry, command);
    const budget = entry.wantsResult ? new ResponseBudget(operationCountOf(command)) : undefined;
    const responses = this.#applyPoints(entry.index, command, revision, budget);
    if (responses === undefined) return this.#applyLarge(entry, command, revision, budget);
    this.#advance(entry, command);
    const { index } = entry;
    return { index, revision, succeeded: true, responses, hasStaleCursor: false, sealedBy: undefined };
  }

  /** Small commands that touch only keys that they name; undefined: it is another one, and nothing was done. */
  #applyPoints(
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
      // Armada's tables remove tombstones with it. Here the history goes by entries of its own (A5).
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

  /** Commands that may have to wait for the store, or may grow large (A4). */
  async #applyLarge(
    entry: TableEntry,
    command: mvcc.Command,
    revision: number,
    budget: ResponseBudget | undefined,
  ): Promise<ApplyResult> {
    const resumed = this.#beginLarge();
    const { succeeded, responses, answers } =
      command.type === mvcc.Command_CommandType.SEQUENCE
        ? await this.#applySequence(entry, command.sequence, resumed)
        : await this.#applyOne(command, { index: entry.index, command: 0 }, revision, budget, resumed);
    this.#mark = undefined;
    this.#effects.thaw();
    this.#advance(entry, command);
    // What reads no scan is done at once; the rest goes on while later entries are applied (A4).
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

  /** From here on the entry's effects may be handed over in parts (A4). Gives where a crash left it. */
  #beginLarge(): Progress | undefined {
    // A resumed entry is the first one, and was half in the store before it was opened.
    this.#mark = this.#effects.mark(this.#progress !== undefined);
    return this.#progress;
  }

  /** A shard is loaded before anything else is written to it (T2); a pair that it loads may be older than a deletion. */
  #assertLoads(entry: TableEntry): void {
    assert(this.#state.deletions.length === 0, `entry ${entry.index} loads a table that was written to (T2)`);
  }

  /** Pairs of a snapshot stream, which belong to no moment of this table: they leave no history. */
  async #applyLoad(entry: TableEntry): Promise<ApplyResult> {
    this.#assertLoads(entry);
    const mode = entry.payload[0];
    if (mode !== 0 && mode !== 1) throw new UnknownCommandError(`a load of mode ${mode}`, entry.index);
    const resumed = this.#beginLarge();
    // Loaded keys are in no list of written keys.
    this.#state.swept = [];
    // A table without a key that had some may have deletions of them in memory: there nothing is taken in as a run.
    if (this.#state.keyCount === 0 && this.#state.changeCount === 0) this.#lastLoaded = NO_KEY;
    const stamp =
      mode === 1 ? { createRevision: entry.index, modRevision: entry.index, version: 1 } : undefined;
    const { payload } = entry;
    const pair = this.#pair;
    let place = 0;
    for (let at = 1; at < payload.length; ) {
      const start = at + LENGTH_SIZE_BYTES;
      at = start + readSafeInteger(payload, at);
      if (place++ < (resumed?.operation ?? 0)) continue;
      if (!pair.read(payload, start, at))
        pair.assign(pairOf(mvcc.Command.decode(payload.subarray(start, at)), entry.index));
      this.#load(pair, stamp ?? pair, payload.length - start);
      if (this.#isLarge())
        await this.#spill({ ...BEGINNING, index: entry.index, command: 0, operation: place });
    }
    this.#effects.endLoad();
    if (this.#lastLoaded !== undefined) this.#lastLoaded = copyOf(this.#lastLoaded);
    this.#mark = undefined;
    this.#advance(entry, undefined);
    return this.#emptyResult(entry, undefined, false);
  }

  /** Takes in a pair, stamped so. `leftBytes`: of its entry, it among them. */
  #load(pair: PairRecord, stamp: Stamp, leftBytes: number): void {
    // A snapshot comes in key order: it would cost most of the work to ask for what cannot be there.
    if (this.#lastLoaded !== undefined && compareKeys(pair, this.#lastLoaded) > 0) {
      const { bytes, keyStart, keyEnd } = pair;
      this.#lastLoaded = { bytes, keyStart, keyEnd };
      this.#effects.load(pair, stamp, leftBytes);
      return;
    }
    const { identity, storeKey, record } = recordBlockOf(pair);
    const id = keyId(storeKey, 1);
    const previous = this.#effects.read(id, storeKey);
    if (previous === undefined) this.#state.keyCount += 1;
    else if (modRevisionOf(previous) !== 0) this.#effects.contentHash.remove(identityOf(storeKey, previous));
    writeRecordHeader(record, stamp.createRevision, stamp.modRevision, stamp.version);
    // A pair without revisions counts when `Loaded` has stamped it.
    if (stamp.modRevision !== 0) this.#effects.contentHash.add(identity);
    this.#effects.overlay.set(id, record);
    this.#effects.write(storeKey, record, undefined, previous === undefined);
  }

  /** The load is whole: what came without revisions is stamped, and the history begins. */
  async #applyLoaded(entry: TableEntry): Promise<ApplyResult> {
    const resumed = this.#beginLarge();
    const leaderIndex = readSafeInteger(entry.payload, 0);
    if (entry.payload[8] === 1) await this.#stampUnstamped(entry.index, leaderIndex || entry.index, resumed);
    this.#mark = undefined;
    this.#advance(entry, undefined);
    const state = this.#state;
    if (state.leaderIndex !== undefined) {
      state.leaderIndex = leaderIndex;
      state.revision = leaderIndex;
    }
    state.historyFloor = state.revision;
    return this.#emptyResult(entry, undefined, false);
  }

  async #stampUnstamped(index: number, revision: number, resumed: Progress | undefined): Promise<void> {
    const scan = this.#effects.scan({ ...ALL_KEYS, first: resumed?.nextKey ?? ALL_KEYS.first }, {});
    try {
      for (;;) {
        const pairs = await scan.next(SCAN_CHUNK_ENTRIES_MAX);
        if (pairs.length === 0) return;
        for (const [storeKey, record] of pairs) {
          if (modRevisionOf(record) !== 0) continue;
          const stamped = Buffer.from(record);
          writeRecordHeader(stamped, revision, revision, 1);
          this.#effects.contentHash.add(identityOf(storeKey, stamped));
          const key = keyInLatestKey(storeKey);
          this.#effects.overlay.set(keyId(key), stamped);
          this.#effects.write(storeKey, stamped);
        }
        if (this.#isLarge()) {
          const lastKey = keyInLatestKey(pairs[pairs.length - 1]![0]);
          const nextKey = Buffer.concat([lastKey, ZERO_BYTE]);
          await this.#spill({ ...BEGINNING, index, command: 0, nextKey });
        }
      }
    } finally {
      await scan.close();
    }
  }

  async #applySequence(
    entry: TableEntry,
    commands: readonly mvcc.Command[],
    resumed: Progress | undefined,
  ): Promise<Outcome> {
    const { index } = entry;
    const first = resumed?.command ?? 0;
    let revision = this.#state.revision;
    for (const [at, command] of commands.entries()) {
      revision = Math.max(revision, this.#revisionOf(entry, command));
      if (at < first) continue;
      // Nobody asks for the answers of a replicated command.
      if (this.#applyPoints(index, command, revision, undefined) === undefined) {
        const place = { index, command: at };
        await this.#applyOne(command, place, revision, undefined, at === first ? resumed : undefined);
      }
      if (this.#isLarge()) await this.#spill({ ...BEGINNING, index, command: at + 1 });
    }
    return { succeeded: true, responses: NO_RESPONSES };
  }

  /** One command, from its beginning or from where a crash left it. */
  async #applyOne(
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
        const response = await this.#deleteRange(bounds, at, revision, command.prevKvs, answers, resumed);
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
      if (this.#isLarge()) await this.#spill({ ...BEGINNING, ...place, operation: at + 1 });
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
      if (this.#isLarge()) await this.#spill({ ...BEGINNING, ...place, succeeded, operation: at + 1 });
    }
    return { succeeded, responses: answers?.responses ?? NO_RESPONSES, answers };
  }

  /**
   * Gives no response for a Range, whose place in the answers is kept, and for an operation with nothing set: the API
   * refuses it, but stock applies it (A3).
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
          return this.#deleteRange(bounds, place, revision, prevKv, answers, resumed);
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

  /** A point is read at once. A range is read from what the table is now, when the entry has been applied. */
  #answerRange(answers: TxnAnswers, range: mvcc.RequestOp_Range): void {
    if (boundsOf(range.key, range.rangeEnd) === undefined) {
      const record = this.#effects.get(range.key);
      answers.pushPoint(pointOf(record), range);
      return;
    }
    answers.pushScan(this.#effects.freeze(), range);
  }

  /**
   * Deletes in chunks. Where that grows large, the rest is deleted at once by one record of its own, and the sweep
   * removes the keys while later entries are applied; where it cannot be, the entry goes on in parts (A4). Exact about
   * how many it deletes.
   */
  async #deleteRange(
    bounds: KeyBounds,
    place: Place,
    revision: number,
    wantsPrevious: boolean,
    answers: TxnAnswers | undefined,
    resumed: Progress | undefined,
  ): Promise<mvcc.ResponseOp> {
    const previous = new PreviousPairs(wantsPrevious ? answers?.budget : undefined);
    const response: mvcc.ResponseOp_DeleteRange = {
      deleted: BigInt(resumed?.deletedCount ?? 0),
      prevKvs: previous.pairs,
      more: false,
    };
    const rest = { first: resumed?.nextKey ?? bounds.first, end: bounds.end };
    // Keys that were deleted a moment ago need not be looked at.
    const scan = this.#state.keyCount === 0 ? EMPTY_SCAN : this.#effects.scan(rest, {});
    try {
      for (;;) {
        const pairs = await scan.next(SCAN_CHUNK_ENTRIES_MAX);
        if (pairs.length === 0) break;
        for (const [storeKey, record] of pairs) {
          const key = keyInLatestKey(storeKey);
          this.#effects.deleteRecord(keyId(key), storeKey, record, revision);
          previous.take(key, record);
          response.deleted += 1n;
          if (!this.#isLarge()) continue;
          const nextKey = Buffer.concat([key, ZERO_BYTE]);
          if (this.#canDeleteLater(revision)) {
            if (previous.takesMore)
              await previous.takeAll(this.#effects.scan({ first: nextKey, end: bounds.end }, {}));
            response.deleted += BigInt(this.#rangeDeleter.deleteUnwritten(nextKey, bounds.end, revision));
            answers?.pushCount(response, this.#effects.freeze(), bounds);
            this.#rangeDeleter.deleteLater(bounds, revision);
            response.more = previous.isCut;
            return { response: { $case: 'responseDeleteRange', value: response } };
          }
          await this.#spill({ ...place, nextKey, deletedCount: Number(response.deleted) });
        }
      }
    } finally {
      await scan.close();
    }
    response.more = previous.isCut;
    return { response: { $case: 'responseDeleteRange', value: response } };
  }

  /** Every record that was written at the revision is in the overlay. */
  #isAllUnwritten(revision: number): boolean {
    return revision > this.#state.revision && revision > this.#mark!.spilledRevision;
  }

  /** Only the overlay distinguishes a range deletion from writes that come after it in the same revision. */
  #canDeleteLater(revision: number): boolean {
    return this.#rangeDeleter.hasRoom && this.#isAllUnwritten(revision);
  }

  /** The entry's effects fill a store batch. */
  #isLarge(): boolean {
    return this.#effects.isLargeSince(this.#mark!, this.#options);
  }

  async #spill(progress: Progress): Promise<void> {
    const { before, part, mark } = this.#effects.takePart(this.#mark!, progress);
    this.#mark = mark;
    await this.#options.spill(before, part);
  }

  /** Revisions never go back, whatever a command says. */
  #revisionOf(entry: TableEntry, command: mvcc.Command): number {
    const own = command.leaderIndex === undefined ? entry.index : Number(command.leaderIndex);
    return Math.max(own, this.#state.revision);
  }

  #advance(entry: TableEntry, command: mvcc.Command | undefined): void {
    const state = this.#state;
    if (command?.leaderIndex !== undefined) state.leaderIndex = Number(command.leaderIndex);
    state.appliedIndex = entry.index;
    state.appliedTerm = entry.term;
    state.revision = Math.max(state.revision, state.leaderIndex ?? entry.index);
    state.lastTimeMs = Math.max(state.lastTimeMs, entry.timeMs);
    this.#progress = undefined;
  }

  #raiseFloor(revision: number): void {
    const state = this.#state;
    state.historyFloor = Math.max(state.historyFloor, Math.min(revision, state.revision));
  }
}

/** In memory of its own. */
function copyOf({ bytes, keyStart, keyEnd }: KeyPlace): KeyPlace {
  const key = Buffer.from(bytes.subarray(keyStart, keyEnd));
  return { bytes: key, keyStart: 0, keyEnd: key.length };
}

/** Of a read of one key, which has been made. */
function pointOf(record: Buffer | undefined): RecordSource {
  return { get: () => record, scan: () => EMPTY_SCAN, count: () => Promise.resolve(0) };
}

/** At most so many answers does a command have. */
function operationCountOf({ txn, batch }: mvcc.Command): number {
  if (txn === undefined) return Math.max(1, batch.length);
  return Math.max(txn.success.length, txn.failure.length);
}

function pairOf(command: mvcc.Command, index: number): mvcc.KeyValue {
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
