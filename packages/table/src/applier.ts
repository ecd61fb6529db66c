import { strict as assert } from 'node:assert/strict';
import { mvcc } from '@coxswain/protocol';
import { comparesHold, hasRevisionCompares, unknownInCompares } from './compare.js';
import { ContentHash } from './content-hash.js';
import type { Effects, Operation } from './effects.js';
import { UnknownCommandError } from './errors.js';
import { FrozenSource } from './frozen-source.js';
import { HistoryBlockWriter } from './history-block.js';
import { readSafeInteger } from './integers.js';
import type { Change } from './journal.js';
import { ALL_KEYS, boundsOf, type KeyBounds } from './key-bounds.js';
import {
  createRevisionOf,
  historyKey,
  keyInLatestKey,
  latestKey,
  modRevisionOf,
  outcomeKey,
  versionOf,
  writeRecordHeader,
} from './layout.js';
import { Overlay } from './overlay.js';
import { PairRecord } from './pair-record.js';
import { deletionOf, RANGE_DELETIONS_MAX, type RangeDeletion } from './range-deletion.js';
import { identityOf, newRecordBlock, recordBlockOf } from './record-block.js';
import {
  EMPTY_SCAN,
  type RecordReader,
  type RecordScan,
  type RecordSource,
  type StoredPair,
  scanLive,
} from './record-source.js';
import { PreviousPairs, ResponseBudget } from './response-budget.js';
import { deleteRangeResponse, putResponse } from './responses.js';
import { SharedSnapshot } from './shared-snapshot.js';
import { keyId, keyOfId } from './sorted-tree.js';
import type { OrderedStore } from './store.js';
import { liveKeyCountOf, type Progress, type TableState } from './table-state.js';
import { TxnAnswers } from './txn-answers.js';
import { type ApplyResult, CommandKind, type TableEntry } from './types.js';
import { WrittenKeys } from './written-keys.js';

/** Keys that a range deletion, its sweep, or the end of a load, handles between two turns of the event loop. */
const SCAN_CHUNK_ENTRIES_MAX = 500;
/** A batch of more pairs is applied like a large entry. */
const SMALL_BATCH_PAIRS_MAX = 500;
const ALWAYS = (): boolean => true;
const NO_RESPONSES: mvcc.ResponseOp[] = [];
/** Of an entry that had its effect. */
const EFFECTIVE = { hasStaleCursor: false, sealedBy: undefined } as const;
const EMPTY = Buffer.alloc(0);
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

/** Where the effects of the entry that is being applied begin. */
interface Mark {
  readonly operationCount: number;
  readonly changeCount: number;
  readonly sizeBytes: number;
  readonly state: TableState;
  /** What came before the entry is in the store already. */
  readonly hasSpilled: boolean;
  /** The last revision of which a record may be in the store already. */
  readonly spilledRevision: number;
}

type Mutable<T> = { -readonly [Property in keyof T]: T[Property] };

export interface ApplierOptions {
  /** An entry that has more effects than this hands them over and goes on (A4). */
  readonly effectsSizeBytesMax: number;
  readonly effectsOperationsMax: number;
  /** What the keys written in the bounds of a range deletion may take in memory. */
  readonly writtenKeysSizeBytesMax: number;
  /**
   * Writes what is before the entry that grew too large (when there is something), then a part of its
   * effects. Resolves when both are in the store.
   */
  readonly spill: (before: Effects | undefined, part: Effects) => Promise<void>;
  /** Runs a read in its turn, and `end` after it in any case. Rejects with what the read rejects with. */
  readonly readLater: (read: () => Promise<void>, end: () => void) => Promise<void>;
}

/**
 * Computes what entries do to a table (A1): it reads the store through the overlay of what is not written
 * yet, and collects effects until `takeEffects`. Strictly serial: no entry may be applied before the one
 * before it has been.
 */
export class Applier implements RecordReader {
  readonly overlay = new Overlay();
  readonly #store: OrderedStore;
  readonly #options: ApplierOptions;
  readonly #contentHash: ContentHash;
  /** Its content hash is out of date until `#captureState`. */
  readonly #state: Mutable<TableState>;
  #progress: Progress | undefined;
  #operations: Operation[] = [];
  #changes: Change[] = [];
  #sizeBytes = 0;
  #mark: Mark | undefined;
  #lastPutRevision = 0;
  /** While entry after entry is a load: no key that is there is above it. Undefined: that is not known. */
  #loadedUpTo: string | undefined;
  readonly #pair = new PairRecord();
  /** The table as it is in the middle of this Txn, until something is written. */
  #frozen: FrozenSource | undefined;

  constructor(
    store: OrderedStore,
    state: TableState,
    progress: Progress | undefined,
    options: ApplierOptions,
  ) {
    this.#store = store;
    this.#state = { ...state };
    this.#contentHash = ContentHash.fromBuffer(state.contentHash);
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
    if (entry.kind !== CommandKind.Load) this.#loadedUpTo = undefined;
    // Unknown kinds stop the table even when it is sealed: every replica must agree on what the log says.
    switch (entry.kind) {
      case CommandKind.None:
        this.#advance(entry, undefined);
        break;
      case CommandKind.Command: {
        const command = mvcc.Command.decode(entry.payload);
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
    const effects: Effects = {
      operations: this.#operations,
      changes: this.#changes,
      state: this.#captureState(),
      progress: undefined,
      generation: this.overlay.endGeneration(),
    };
    this.#operations = [];
    this.#changes = [];
    this.#sizeBytes = 0;
    return effects;
  }

  get(key: Buffer): Buffer | undefined {
    return this.#readLive(keyId(key), key, latestKey(key));
  }

  scan(bounds: KeyBounds, options: { limit?: number; keysOnly?: boolean }): RecordScan {
    const { deletions } = this.#state;
    return scanLive({ store: this.#store, overlay: this.overlay, deletions }, bounds, options);
  }

  /** A range deletion has keys left to remove, and no entry that a crash left half applied comes before that. */
  get canSweep(): boolean {
    return this.#state.deletions.length > 0 && this.#progress === undefined;
  }

  /**
   * Removes the next keys of the oldest range deletion, whose versions go into the history (A4). Takes its turn between
   * entries: what it does depends on what they have written, and nothing that they read depends on it.
   */
  async sweep(): Promise<void> {
    assert(this.#operations.length === 0, 'a sweep is a batch of its own');
    const [deletion, ...later] = this.#state.deletions;
    if (deletion === undefined) return;
    // Every record that is there, deleted or not.
    const scan = scanLive({ store: this.#store, overlay: this.overlay, deletions: [] }, deletion, {});
    let pairs: StoredPair[];
    try {
      pairs = await scan.next(Math.min(SCAN_CHUNK_ENTRIES_MAX, this.#options.effectsOperationsMax));
    } finally {
      await scan.close();
    }
    const block = this.#historyBlock(deletion, deletion.lane);
    let swept = 0;
    let sizeBytes = 0;
    for (; swept < pairs.length && sizeBytes < this.#options.effectsSizeBytesMax; swept++) {
      const [storeKey, record] = pairs[swept]!;
      sizeBytes += storeKey.length + record.length;
      if (modRevisionOf(record) >= deletion.revision) continue;
      this.#removeDeleted(storeKey, record);
      block?.add(storeKey, record);
      this.overlay.set(keyId(storeKey, 1), undefined);
      this.#write(storeKey, undefined);
    }
    block?.end();
    const last = pairs[swept - 1];
    const rest = last && { ...deletion, first: Buffer.concat([keyInLatestKey(last[0]), ZERO_BYTE]) };
    this.#state.deletions = rest === undefined ? later : [rest, ...later];
  }

  #removeDeleted(storeKey: Buffer, record: Buffer): void {
    this.#contentHash.remove(identityOf(storeKey, record));
    this.#state.keyCount -= 1;
  }

  /** Takes versions that were deleted into the history; undefined: it does not reach back to them any more. */
  #historyBlock({ revision }: RangeDeletion, lane: number): HistoryBlockWriter | undefined {
    if (revision <= this.#state.historyFloor) return undefined;
    return new HistoryBlockWriter(revision, lane, (storeKey, block) => this.#write(storeKey, block));
  }

  #read(id: string, storeKey: Buffer): Buffer | undefined {
    const unwritten = this.overlay.get(id);
    return unwritten === undefined ? this.#store.getSync(storeKey) : unwritten.record;
  }

  #readLive(id: string, key: Buffer, storeKey: Buffer): Buffer | undefined {
    const record = this.#read(id, storeKey);
    if (record === undefined) return undefined;
    return deletionOf(this.#state.deletions, key, record) === undefined ? record : undefined;
  }

  #applyCommand(entry: TableEntry, command: mvcc.Command): ApplyResult | Promise<ApplyResult> {
    const revision = this.#revisionOf(entry, command);
    const budget = entry.wantsResult ? new ResponseBudget(operationCountOf(command)) : undefined;
    const responses = this.#applyPoints(entry.index, command, revision, budget);
    if (responses === undefined) return this.#applyLarge(entry, command, revision, budget);
    this.#advance(entry, command);
    return { index: entry.index, revision, succeeded: true, responses, ...EFFECTIVE };
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
        const previous = this.#put(key, value, revision);
        return budget === undefined ? NO_RESPONSES : [previousOfPut(budget, key, previous, command.prevKvs)];
      }
      case mvcc.Command_CommandType.DELETE: {
        const { key } = pairOf(command, index);
        if (boundsOf(key, command.rangeEnd) !== undefined) return undefined;
        const previous = this.#delete(key, revision);
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
    this.#frozen = undefined;
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
    this.#mark = {
      operationCount: this.#operations.length,
      changeCount: this.#changes.length,
      sizeBytes: this.#sizeBytes,
      state: this.#captureState(),
      // A resumed entry is the first one, and was half in the store before it was opened.
      hasSpilled: this.#progress !== undefined,
      spilledRevision: this.#progress === undefined ? 0 : Number.POSITIVE_INFINITY,
    };
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
    if (this.#state.keyCount === 0) this.#loadedUpTo = '';
    const isStampedAnew = mode === 1;
    const stamp = isStampedAnew ? entry.index : undefined;
    const { payload } = entry;
    let place = 0;
    for (let at = 1; at < payload.length; ) {
      const start = at + LENGTH_SIZE_BYTES;
      at = start + readSafeInteger(payload, at);
      if (place++ < (resumed?.operation ?? 0)) continue;
      this.#load(payload, start, at, stamp, entry.index);
      if (this.#isLarge())
        await this.#spill({ ...BEGINNING, index: entry.index, command: 0, operation: place });
    }
    this.#mark = undefined;
    this.#advance(entry, undefined);
    return this.#emptyResult(entry, undefined, false);
  }

  /** Takes in the pair of the record at `bytes[start…end)`, stamped with a revision or as it is. */
  #load(bytes: Buffer, start: number, end: number, stamp: number | undefined, index: number): void {
    const pair = this.#pair;
    if (!pair.read(bytes, start, end))
      pair.assign(pairOf(mvcc.Command.decode(bytes.subarray(start, end)), index));
    const { identity, storeKey, record } = recordBlockOf(pair);
    const id = keyId(storeKey, 1);
    // A snapshot comes in key order: to ask the store each time for what cannot be there is a fifth of the work.
    const isNew = this.#loadedUpTo !== undefined && id > this.#loadedUpTo;
    if (isNew) this.#loadedUpTo = id;
    const previous = isNew ? undefined : this.#read(id, storeKey);
    if (previous === undefined) this.#state.keyCount += 1;
    else if (modRevisionOf(previous) !== 0) this.#contentHash.remove(identityOf(storeKey, previous));
    if (stamp === undefined) writeRecordHeader(record, pair.createRevision, pair.modRevision, pair.version);
    else writeRecordHeader(record, stamp, stamp, 1);
    // A pair without revisions counts when `Loaded` has stamped it.
    if (modRevisionOf(record) !== 0) this.#contentHash.add(identity);
    this.overlay.set(id, record);
    this.#write(storeKey, record);
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
    const scan = this.scan({ ...ALL_KEYS, first: resumed?.nextKey ?? ALL_KEYS.first }, {});
    try {
      for (;;) {
        const pairs = await scan.next(SCAN_CHUNK_ENTRIES_MAX);
        if (pairs.length === 0) return;
        for (const [storeKey, record] of pairs) {
          if (modRevisionOf(record) !== 0) continue;
          const stamped = Buffer.from(record);
          writeRecordHeader(stamped, revision, revision, 1);
          this.#contentHash.add(identityOf(storeKey, stamped));
          const key = keyInLatestKey(storeKey);
          this.overlay.set(keyId(key), stamped);
          this.#write(storeKey, stamped);
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
      this.#put(key, value, revision);
      return budget && putResponse(undefined, false);
    }
    const previous = this.#delete(key, revision);
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
    const succeeded = resumed?.succeeded ?? (await comparesHold(this, txn.compare));
    if (hasRevisionCompares(txn.compare)) {
      const outcome = succeeded ? OUTCOME_SUCCEEDED : OUTCOME_FAILED;
      this.#write(outcomeKey(place.index, place.command), outcome);
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
        const previous = this.#put(key, value, revision);
        return budget && previousOfPut(budget, key, previous, prevKv);
      }
      case 'requestDeleteRange': {
        const { key, rangeEnd, prevKv } = request.value;
        const bounds = boundsOf(key, rangeEnd);
        if (bounds !== undefined) {
          return this.#deleteRange(bounds, place, revision, prevKv, answers, resumed);
        }
        const previous = this.#delete(key, revision);
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
      const record = this.get(range.key);
      answers.pushPoint(pointOf(record), range);
      return;
    }
    answers.pushScan(this.#freeze(), range);
  }

  #freeze(): FrozenSource {
    this.#frozen ??= new FrozenSource({
      store: this.#store,
      snapshot: new SharedSnapshot(this.#store.snapshot()),
      overlay: this.overlay.freeze(),
      deletions: this.#state.deletions,
      keyCount: liveKeyCountOf(this.#state),
    });
    return this.#frozen;
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
    // What was deleted a moment ago need not be looked at.
    const scan = this.#state.keyCount === 0 ? EMPTY_SCAN : this.scan(rest, {});
    try {
      for (;;) {
        const pairs = await scan.next(SCAN_CHUNK_ENTRIES_MAX);
        if (pairs.length === 0) break;
        for (const [storeKey, record] of pairs) {
          const key = keyInLatestKey(storeKey);
          this.#deleteRecord(keyId(key), key, storeKey, record, revision);
          previous.take(key, record);
          response.deleted += 1n;
          if (!this.#isLarge()) continue;
          const nextKey = Buffer.concat([key, ZERO_BYTE]);
          if (this.#canDeleteLater(revision)) {
            if (previous.takesMore)
              await previous.takeAll(this.scan({ first: nextKey, end: bounds.end }, {}));
            this.#deleteLater(bounds, nextKey, revision, response, answers);
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

  /** A range deletion is told from what comes after it in the same revision by the overlay alone. */
  #canDeleteLater(revision: number): boolean {
    return this.#state.deletions.length < RANGE_DELETIONS_MAX && this.#isAllUnwritten(revision);
  }

  /** Deletes what is left of a range, from `nextKey` on, by one record (see `RangeDeletion`). */
  #deleteLater(
    bounds: KeyBounds,
    nextKey: Buffer,
    revision: number,
    response: mvcc.ResponseOp_DeleteRange,
    answers: TxnAnswers | undefined,
  ): void {
    // The deletion applies to older revisions; what this entry wrote before it is deleted here.
    for (const { id, record } of this.overlay.range(keyId(nextKey), bounds.end && keyId(bounds.end))) {
      if (record === undefined || modRevisionOf(record) < revision) continue;
      const key = keyOfId(id);
      this.#deleteRecord(id, key, latestKey(key), record, revision);
      response.deleted += 1n;
    }
    answers?.pushCount(response, this.#freeze(), bounds);
    const { deletions } = this.#state;
    const lane = 2 * deletions.filter((deletion) => deletion.revision === revision).length;
    const written = new WrittenKeys(bounds, this.#options.writtenKeysSizeBytesMax);
    this.#state.deletions = [...deletions, { ...bounds, revision, lane, written }];
    this.#frozen = undefined;
  }

  /** The entry's effects fill a store batch. */
  #isLarge(): boolean {
    const mark = this.#mark!;
    const { effectsOperationsMax, effectsSizeBytesMax } = this.#options;
    return (
      this.#operations.length - mark.operationCount >= effectsOperationsMax ||
      this.#sizeBytes - mark.sizeBytes > effectsSizeBytesMax
    );
  }

  async #spill(progress: Progress): Promise<void> {
    const mark = this.#mark!;
    const operations = this.#operations;
    const changes = this.#changes;
    const before: Effects | undefined = mark.hasSpilled
      ? undefined
      : {
          operations: operations.slice(0, mark.operationCount),
          changes: changes.slice(0, mark.changeCount),
          state: mark.state,
          progress: undefined,
          // What the overlay holds of it shares a generation with the part, and goes with that.
          generation: 0,
        };
    const part: Effects = {
      operations: operations.slice(mark.operationCount),
      changes: changes.slice(mark.changeCount),
      state: this.#captureState(),
      progress,
      generation: this.overlay.endGeneration(),
    };
    this.#operations = [];
    this.#changes = [];
    this.#sizeBytes = 0;
    this.#mark = {
      operationCount: 0,
      changeCount: 0,
      sizeBytes: 0,
      state: mark.state,
      hasSpilled: true,
      spilledRevision: Math.max(mark.spilledRevision, this.#lastPutRevision),
    };
    await this.#options.spill(before, part);
  }

  /** The record that was there before. */
  #put(key: Buffer, value: Buffer, revision: number): Buffer | undefined {
    const id = keyId(key);
    const { identity, storeKey, record } = newRecordBlock(key, value);
    this.#lastPutRevision = revision;
    const stored = this.#read(id, storeKey);
    const deletion = stored && deletionOf(this.#state.deletions, key, stored);
    if (deletion !== undefined) this.#replaceDeleted(deletion, storeKey, stored!);
    const previous = deletion === undefined ? stored : undefined;
    let supersedes = false;
    if (previous === undefined) {
      writeRecordHeader(record, revision, revision, 1);
      this.#state.keyCount += 1;
    } else {
      writeRecordHeader(record, createRevisionOf(previous), revision, versionOf(previous) + 1);
      supersedes = this.#supersede(key, storeKey, previous, revision);
    }
    this.#contentHash.add(identity);
    this.#change(revision, storeKey, supersedes);
    this.overlay.set(id, record);
    for (const { written } of this.#state.deletions) written?.add(key, id);
    this.#write(storeKey, record);
    return previous;
  }

  /** Does for a key that is written anew what the sweep would have done for its deleted record. */
  #replaceDeleted(deletion: RangeDeletion, storeKey: Buffer, record: Buffer): void {
    this.#removeDeleted(storeKey, record);
    // In a lane of its own: the sweep's blocks begin and end where they want.
    const block = this.#historyBlock(deletion, deletion.lane + 1);
    block?.add(storeKey, record);
    block?.end();
  }

  /** The record that was there before. */
  #delete(key: Buffer, revision: number): Buffer | undefined {
    const id = keyId(key);
    const storeKey = latestKey(key);
    const previous = this.#readLive(id, key, storeKey);
    if (previous !== undefined) this.#deleteRecord(id, key, storeKey, previous, revision);
    return previous;
  }

  #deleteRecord(id: string, key: Buffer, storeKey: Buffer, previous: Buffer, revision: number): void {
    const supersedes = this.#supersede(key, storeKey, previous, revision);
    this.#state.keyCount -= 1;
    this.#change(revision, storeKey, supersedes);
    this.overlay.set(id, undefined);
    this.#write(storeKey, undefined);
  }

  /**
   * Moves a version into the history. One that was written at the same revision was never visible, so it
   * leaves no trace.
   */
  #supersede(key: Buffer, storeKey: Buffer, previous: Buffer, revision: number): boolean {
    this.#contentHash.remove(identityOf(storeKey, previous));
    if (modRevisionOf(previous) >= revision) return false;
    this.#write(historyKey(key, revision), previous);
    return true;
  }

  #change(revision: number, storeKey: Buffer, supersedes: boolean): void {
    this.#changes.push({ revision, key: keyInLatestKey(storeKey), supersedes });
    this.#state.changeCount += 1;
  }

  #write(storeKey: Buffer, record: Buffer | undefined): void {
    this.#frozen = undefined;
    this.#operations.push({ storeKey, record });
    this.#sizeBytes += storeKey.length + (record ?? EMPTY).length;
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

  #captureState(): TableState {
    return { ...this.#state, contentHash: this.#contentHash.toBuffer() };
  }
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
