import { ApiError, type Call, errors, type NodeParts, type ShardLoad, Status } from '@coxswain/node';
import { mvcc } from '@coxswain/protocol';
import type { RangeQuery } from '@coxswain/table';
import { Calls } from './calls.js';
import { putCommand, putOf, responseOf, txnOf, withLengths } from './commands.js';
import { checkCounts } from './counts.js';
import { EventKind, type EventLoop } from './event-loop.js';
import type { History, Invocation, KeyEffect } from './history.js';
import type { SimulatedProcess } from './process.js';
import type { SeededRandom } from './random.js';
import type { RangeDeletions } from './range-deletions.js';
import { asApi, backedUp, readAll, statesOf, wholeRange } from './table-reading.js';
import { Violation } from './violation.js';

export interface WorkloadOptions {
  readonly clients: number;
  readonly keys: number;
  readonly thinkMeanUs: number;
  readonly valueSizeMeanBytes: number;
  readonly deadlineMs: number;
  /** Relative frequencies of the operations. */
  readonly operations: Readonly<Record<OperationKind, number>>;
  /** The beginning of every value, so that two workloads on one history never write the same value. */
  readonly valuePrefix?: string;
}

export type OperationKind =
  | 'put'
  | 'putPrevious'
  | 'delete'
  | 'deleteRange'
  | 'compareAndSet'
  | 'transfer'
  | 'get'
  | 'getSerializable'
  | 'range'
  | 'rangeSerializable'
  | 'createTable'
  | 'deleteTable'
  | 'listTables'
  | 'restore'
  | 'archive'
  | 'putMany'
  | 'replaceRange'
  | 'rangePast'
  | 'count'
  | 'backup';

/** A node that takes requests now. */
export interface Server {
  readonly process: SimulatedProcess;
  readonly api: Pick<NodeParts, 'kv' | 'tables' | 'cluster' | 'logs' | 'maintenance' | 'reports'>;
  monotonicMs(): number;
}

/** The table to which most operations go; it lives as long as the cluster. */
export const MAIN_TABLE = 'main';
/** Tables that clients create and delete. */
const passingTables = ['passing-a', 'passing-b'];
/** The history of tables' names, which records whether a table of a name exists. */
const NAMES_HISTORY = '(names)';
/** The most revisions that a read goes back. */
const PAST_REVISIONS_MAX = 60;
/** The most bytes of entries that the archive takes at a time. */
const ARCHIVED_BYTES_MAX = 64 * 1024;

const nothing = Buffer.alloc(0);
const toTheEnd = Buffer.from([0]);

/** The state of a key that a client saw last. */
interface Seen {
  readonly value: string | undefined;
  readonly modRevision: number;
}

/** Clients that work on the cluster, each with one operation at a time, and record their requests and the answers. */
export class Workload {
  readonly #calls: Calls;
  readonly #seen = new Map<string, Seen>();
  #sequence = 0;
  #isStopped = false;
  /** The number of restores that were acknowledged. */
  restored = 0;

  readonly #loop: EventLoop;
  readonly #random: SeededRandom;
  readonly #options: WorkloadOptions;
  readonly #history: History;
  /** Returns the nodes that are up, including paused ones. */
  readonly #servers: () => readonly Server[];
  readonly #deletions: RangeDeletions | undefined;

  constructor(
    loop: EventLoop,
    random: SeededRandom,
    options: WorkloadOptions,
    history: History,
    servers: () => readonly Server[],
    deletions?: RangeDeletions,
  ) {
    this.#loop = loop;
    this.#random = random;
    this.#options = options;
    this.#history = history;
    this.#servers = servers;
    this.#deletions = deletions;
    const { deadlineMs } = options;
    this.#calls = new Calls({ loop, history, deadlineMs, namesHistory: NAMES_HISTORY });
  }

  /** The number of operations that were sent. */
  get started(): number {
    return this.#calls.sent;
  }

  start(): void {
    for (let client = 0; client < this.#options.clients; client++) this.#think();
  }

  /** Begins no more operations. */
  stop(): void {
    this.#isStopped = true;
  }

  /** Ends the requests to a process that was killed, since its clients' connections break. */
  processDied(process: SimulatedProcess): void {
    this.#calls.processDied(process);
  }

  get pendingCount(): number {
    return this.#calls.pendingCount;
  }

  /** Makes a write, and a linearizable read of every key. Resolves to false when either was refused. */
  async probe(server: Server): Promise<boolean> {
    return (await this.probeWrite(server)) && (await this.#range(server, MAIN_TABLE, true));
  }

  /** Makes one write, which any node of a healthy cluster answers. Resolves to false when it was refused. */
  probeWrite(server: Server): Promise<boolean> {
    return this.#put(server, MAIN_TABLE, true);
  }

  #think(): void {
    const delayUs = this.#random.exponential(this.#options.thinkMeanUs);
    this.#loop.schedule(delayUs, EventKind.Client, undefined, () => {
      if (this.#isStopped) return;
      const servers = this.#servers();
      if (servers.length === 0) return this.#think();
      const server = this.#random.pick(servers);
      // A request to a paused process waits in its socket.
      const sent = this.#loop.schedule(0, EventKind.Client, server.process, () => {
        givenUp.cancel();
        this.#operate(server).then(
          () => this.#think(),
          (error: unknown) => {
            // Thrown again outside the promise, so that it ends the run.
            this.#loop.schedule(0, EventKind.Client, undefined, () => {
              throw error;
            });
          },
        );
      });
      const givenUp = this.#loop.schedule(1_000_000, EventKind.Client, undefined, () => {
        sent.cancel();
        this.#think();
      });
    });
  }

  async #operate(server: Server): Promise<boolean> {
    const kind = this.#random.weighted(this.#options.operations);
    const table = this.#random.chance(0.9) ? MAIN_TABLE : this.#random.pick(passingTables);
    this.#loop.trace.text(kind);
    switch (kind) {
      case 'put':
        return this.#put(server, table, false);
      case 'putPrevious':
        return this.#put(server, table, true);
      case 'delete':
        return this.#delete(server, table, false);
      case 'deleteRange':
        return this.#delete(server, table, true);
      case 'compareAndSet':
        return this.#compareAndSet(server, table, false);
      case 'transfer':
        return this.#compareAndSet(server, table, true);
      case 'get':
        return this.#get(server, table, true);
      case 'getSerializable':
        return this.#get(server, table, false);
      case 'range':
        return this.#range(server, table, true);
      case 'rangeSerializable':
        return this.#range(server, table, false);
      case 'createTable':
        return this.#createTable(server, this.#random.pick(passingTables));
      case 'deleteTable':
        return this.#deleteTable(server, this.#random.pick(passingTables));
      case 'listTables':
        return this.#listTables(server);
      case 'restore':
        return this.#restore(server, table);
      case 'archive':
        return this.#archive(server);
      case 'putMany':
        return this.#putMany(server, table);
      case 'replaceRange':
        return this.#replaceRange(server, table);
      case 'rangePast':
        return this.#rangePast(server, table);
      case 'count':
        return this.#count(server, table);
      case 'backup':
        return this.#backup(server, table);
    }
  }

  // ---- writes

  async #put(server: Server, table: string, wantsPrevious: boolean): Promise<boolean> {
    const key = this.#key();
    const value = this.#value();
    const command = mvcc.Command.fromPartial({
      table: Buffer.from(table),
      type: mvcc.Command_CommandType.PUT,
      kv: { key: Buffer.from(key), value: Buffer.from(value) },
      prevKvs: wantsPrevious,
    });
    const effects: KeyEffect[] = [{ key, effect: { kind: 'write', value } }];
    return this.#propose(server, table, command, effects, (responses) => {
      if (!wantsPrevious) return effects;
      const previous = responseOf(responses[0], 'responsePut').prevKv?.value.toString();
      return [{ key, effect: { kind: 'write', value, previous: { value: previous } } }];
    });
  }

  async #delete(server: Server, table: string, isRange: boolean): Promise<boolean> {
    const first = this.#random.integer(0, this.#options.keys - 1);
    const end = isRange ? this.#random.integer(first + 1, this.#options.keys) : first + 1;
    const keys = this.#keys().slice(first, end);
    const wantsPrevious = this.#random.chance(0.7);
    const command = mvcc.Command.fromPartial({
      table: Buffer.from(table),
      type: mvcc.Command_CommandType.DELETE,
      kv: { key: Buffer.from(keys[0]!) },
      ...(isRange && { rangeEnd: Buffer.from(keyName(end)) }),
      prevKvs: wantsPrevious,
      count: true,
    });
    const effects: KeyEffect[] = keys.map((key) => ({ key, effect: { kind: 'write', value: undefined } }));
    return this.#propose(server, table, command, effects, (responses) => {
      const { deleted, prevKvs, more } = responseOf(responses[0], 'responseDeleteRange');
      if (!wantsPrevious || more) return effects;
      if (Number(deleted) !== prevKvs.length) {
        throw new Violation('answers', `${deleted} keys were deleted, and ${prevKvs.length} are shown`);
      }
      const previous = new Map(prevKvs.map((kv) => [kv.key.toString(), kv.value.toString()]));
      return keys.map((key) => ({
        key,
        effect: { kind: 'write', value: undefined, previous: { value: previous.get(key) } },
      }));
    });
  }

  /** Writes neighbouring keys in one entry, often only if the first one is still as this client saw it last. */
  async #putMany(server: Server, table: string): Promise<boolean> {
    const { keys } = this.#someRange();
    const values = keys.map((key) => [key, this.#value()] as const);
    if (this.#random.chance(0.5)) return this.#writeIfAsSeen(server, table, values[0]!, values.slice(1));
    const effects = values.map(([key, value]): KeyEffect => ({ key, effect: { kind: 'write', value } }));
    const success = values.map(([key, value]) => putOf(key, value));
    return this.#propose(server, table, txnOf(table, success), effects, () => effects);
  }

  /**
   * Deletes a range, or all keys, and writes some of its keys, in one entry. The deletion also removes keys that the
   * same entry wrote before it.
   */
  async #replaceRange(server: Server, table: string): Promise<boolean> {
    const isAll = this.#random.chance(0.2);
    const { keys, end } = isAll ? { keys: this.#keys(), end: undefined } : this.#someRange();
    const before = this.#random.chance(0.3) ? [putOf(this.#random.pick(keys), this.#value())] : [];
    const wantsPrevious = before.length === 0 && this.#random.chance(0.5);
    const deletion = {
      key: isAll ? toTheEnd : Buffer.from(keys[0]!),
      rangeEnd: end === undefined ? toTheEnd : Buffer.from(keyName(end)),
      prevKv: wantsPrevious,
      count: true,
    };
    const values = new Map<string, string>();
    for (const key of keys) if (this.#random.chance(0.2)) values.set(key, this.#value());
    const success: mvcc.RequestOp[] = [
      ...before,
      { request: { $case: 'requestDeleteRange', value: deletion } },
      ...[...values].map(([key, value]) => putOf(key, value)),
    ];
    const effectsOf = (previous: ReadonlyMap<string, string> | undefined) =>
      keys.map(
        (key): KeyEffect => ({
          key,
          isAnew: true,
          effect: {
            kind: 'write',
            value: values.get(key),
            ...(previous && { previous: { value: previous.get(key) } }),
          },
        }),
      );
    return this.#propose(server, table, txnOf(table, success), effectsOf(undefined), (responses) => {
      const { deleted, prevKvs, more } = responseOf(responses[before.length], 'responseDeleteRange');
      if (!wantsPrevious || more) return effectsOf(undefined);
      if (Number(deleted) !== prevKvs.length) {
        throw new Violation('answers', `${deleted} keys were deleted, and ${prevKvs.length} are shown`);
      }
      return effectsOf(new Map(prevKvs.map((kv) => [kv.key.toString(), kv.value.toString()])));
    });
  }

  /** Draws a range of keys; `end` is the number of the first key after it. */
  #someRange(): { keys: string[]; end: number } {
    const first = this.#random.integer(0, this.#options.keys - 1);
    const end = this.#random.integer(first + 1, this.#options.keys);
    return { keys: this.#keys().slice(first, end), end };
  }

  /** Writes a key if it is still as this client saw it last; a transfer writes a second key with it. */
  async #compareAndSet(server: Server, table: string, isTransfer: boolean): Promise<boolean> {
    const key = this.#key();
    const other = isTransfer ? this.#random.pick(this.#keys().filter((name) => name !== key)) : undefined;
    const value = this.#value();
    const otherValue = this.#value();
    return this.#writeIfAsSeen(server, table, [key, value], other === undefined ? [] : [[other, otherValue]]);
  }

  /** Writes all pairs if the first key is still as this client saw it last. */
  async #writeIfAsSeen(
    server: Server,
    table: string,
    [key, value]: readonly [key: string, value: string],
    others: ReadonlyArray<readonly [key: string, value: string]>,
  ): Promise<boolean> {
    const seen = this.#seen.get(`${table}/${key}`) ?? { value: undefined, modRevision: 0 };
    const command = mvcc.Command.fromPartial({
      table: Buffer.from(table),
      type: mvcc.Command_CommandType.TXN,
      txn: {
        compare: [this.#isAsSeen(key, seen)],
        success: [putOf(key, value), ...others.map(([other, otherValue]) => putOf(other, otherValue))],
        failure: [{ request: { $case: 'requestRange', value: { key: Buffer.from(key) } } }],
      },
    });
    const compareAndSet = (succeeded: boolean | undefined): KeyEffect => ({
      key,
      effect: { kind: 'compareAndSet', expected: seen.value, value, succeeded },
    });
    const otherWrites = others.map(
      ([other, otherValue]): KeyEffect => ({ key: other, effect: { kind: 'write', value: otherValue } }),
    );
    return this.#propose(
      server,
      table,
      command,
      [compareAndSet(undefined), ...otherWrites],
      (responses, succeeded) => {
        if (succeeded) return [compareAndSet(true), ...otherWrites];
        const observed = responseOf(responses[0], 'responseRange').kvs[0];
        const now = observed?.value.toString();
        if (now === seen.value)
          throw new Violation('answers', `a compare with the present value of ${key} failed`);
        this.#seen.set(`${table}/${key}`, { value: now, modRevision: Number(observed?.modRevision ?? 0) });
        return [{ key, effect: { kind: 'read', observed: now } }];
      },
    );
  }

  /** Returns one of several compares that ask the same question, since each value is written only once. */
  #isAsSeen(key: string, seen: Seen): mvcc.Compare {
    const { value, modRevision } = seen;
    const EQUAL = mvcc.Compare_CompareResult.EQUAL;
    const base = { result: EQUAL, key: Buffer.from(key), rangeEnd: nothing };
    if (value === undefined) {
      return {
        ...base,
        target: mvcc.Compare_CompareTarget.VERSION,
        targetUnion: { $case: 'version', value: 0n },
      };
    }
    if (this.#random.chance(0.5)) {
      return {
        ...base,
        target: mvcc.Compare_CompareTarget.MOD,
        targetUnion: { $case: 'modRevision', value: BigInt(modRevision) },
      };
    }
    return {
      ...base,
      target: mvcc.Compare_CompareTarget.VALUE,
      targetUnion: { $case: 'value', value: Buffer.from(value) },
    };
  }

  async #propose(
    server: Server,
    table: string,
    command: mvcc.Command,
    effects: readonly KeyEffect[],
    interpret: (responses: mvcc.ResponseOp[], succeeded: boolean) => readonly KeyEffect[],
  ): Promise<boolean> {
    return this.#calls.send(
      server.process,
      table,
      effects,
      () => server.api.kv.propose(table, command, this.#deadline(server)),
      (invocation, { result, header }) => {
        if (result.revision !== header.revision) {
          throw new Violation('answers', `revision ${result.revision} has the header ${header.revision}`);
        }
        const known = interpret(result.responses, result.succeeded);
        this.#history.wrote(invocation, table, header.shardId, result.revision, known);
      },
    );
  }

  // ---- reads

  async #get(server: Server, table: string, linearizable: boolean): Promise<boolean> {
    const key = this.#key();
    return this.#read(server, table, linearizable, [key], {
      ...wholeRange,
      key: Buffer.from(key),
      rangeEnd: nothing,
    });
  }

  async #range(server: Server, table: string, linearizable: boolean): Promise<boolean> {
    return this.#read(server, table, linearizable, this.#keys(), wholeRange);
  }

  async #read(
    server: Server,
    table: string,
    linearizable: boolean,
    keys: readonly string[],
    query: RangeQuery,
  ): Promise<boolean> {
    return this.#calls.send(
      server.process,
      table,
      [],
      async () => {
        const readable = await server.api.kv.read(table, { linearizable }, this.#deadline(server));
        this.#deletions?.reads(readable.table, 'latest');
        return await asApi(() => readAll(readable.table, query, (revision) => readable.header(revision)));
      },
      (invocation, { header, records }) => {
        const states = statesOf(keys, records);
        for (const { key, record } of states) {
          this.#seen.set(`${table}/${key}`, {
            value: record?.value,
            modRevision: record?.modRevision ?? 0,
          });
        }
        const { shardId, revision } = header;
        if (linearizable) this.#history.read(invocation, table, shardId, revision, states);
        else this.#history.readSerializable(invocation, table, shardId, revision, states);
      },
    );
  }

  /** Reads every key as of an earlier revision, on any node. */
  async #rangePast(server: Server, table: string): Promise<boolean> {
    const linearizable = this.#random.chance(0.5);
    return this.#calls.send(
      server.process,
      table,
      [],
      async () => {
        const readable = await server.api.kv.read(table, { linearizable }, this.#deadline(server));
        const { table: read } = readable;
        const at = Math.max(read.historyFloor, read.revision - this.#random.integer(0, PAST_REVISIONS_MAX));
        this.#deletions?.reads(read, 'past');
        return await asApi(() => readAll(read, wholeRange, (revision) => readable.header(revision), at));
      },
      (_invocation, { header: { shardId, revision }, records }) =>
        this.#history.readPast(table, shardId, revision, statesOf(this.#keys(), records), 'read of the past'),
      isOutOfRange,
    );
  }

  /** Checks that the table's counts of keys, now or at an earlier revision, match the keys themselves. */
  async #count(server: Server, table: string): Promise<boolean> {
    return this.#calls.send(
      server.process,
      table,
      [],
      async () => {
        const { table: read } = await server.api.kv.read(
          table,
          { linearizable: false },
          this.#deadline(server),
        );
        const at = Math.max(read.historyFloor, read.revision - this.#random.pick([0, 0, 1, 5]));
        return await asApi(() => checkCounts(read, wholeRange, at));
      },
      () => undefined,
      isOutOfRange,
    );
  }

  /** Takes a backup of the table as it is, or as it was. */
  async #backup(server: Server, table: string): Promise<boolean> {
    return this.#calls.send(
      server.process,
      table,
      [],
      async () => {
        const log = await server.api.logs.open(table, this.#deadline(server));
        const { historyFloor, revision } = log.table;
        const at = Math.max(historyFloor, revision - this.#random.pick([0, 0, 1, 10]));
        this.#deletions?.reads(log.table, 'backup');
        return await asApi(async () => {
          const view = log.table.view(at);
          try {
            return { shardId: log.shardId, revision: at, records: await backedUp(view, table) };
          } finally {
            view.close();
          }
        });
      },
      (_invocation, { shardId, revision, records }) =>
        this.#history.readPast(table, shardId, revision, statesOf(this.#keys(), records), 'backup'),
      isOutOfRange,
    );
  }

  // ---- tables

  async #createTable(server: Server, name: string): Promise<boolean> {
    const effect = (succeeded: boolean | undefined): KeyEffect => ({
      key: name,
      effect: { kind: 'compareAndSet', expected: undefined, value: 'exists', succeeded },
    });
    return this.#calls.send(
      server.process,
      NAMES_HISTORY,
      [effect(undefined)],
      () => server.api.tables.create(name, undefined, this.#deadline(server)),
      (invocation) => this.#history.changedName(invocation, NAMES_HISTORY, effect(true)),
      (invocation, error) => {
        if (error.code !== 'tableExists') return false;
        this.#history.changedName(invocation, NAMES_HISTORY, effect(false));
        return true;
      },
    );
  }

  /** Deletes a table. Two deletions at the same time may both succeed, as long as the table is gone. */
  async #deleteTable(server: Server, name: string): Promise<boolean> {
    const deleted: KeyEffect = { key: name, effect: { kind: 'write', value: undefined } };
    return this.#calls.send(
      server.process,
      NAMES_HISTORY,
      [deleted],
      () => server.api.tables.delete(name, this.#deadline(server)),
      (invocation) => this.#history.changedName(invocation, NAMES_HISTORY, deleted),
      (invocation, error) => {
        if (error.code !== 'tableNotFound') return false;
        const missing: KeyEffect = { key: name, effect: { kind: 'read', observed: undefined } };
        this.#history.changedName(invocation, NAMES_HISTORY, missing);
        return true;
      },
    );
  }

  async #listTables(server: Server): Promise<boolean> {
    return this.#calls.send(
      server.process,
      NAMES_HISTORY,
      [],
      () => server.api.tables.list(this.#deadline(server)),
      (invocation, tables) => {
        const names = new Set(tables.map(({ name }) => name));
        for (const key of passingTables) {
          const observed = names.has(key) ? 'exists' : undefined;
          this.#history.changedName(invocation, NAMES_HISTORY, { key, effect: { kind: 'read', observed } });
        }
      },
    );
  }

  // ---- restores

  /**
   * Replaces or makes a table from some pairs and some commands that are replayed, and breaks that off now and then.
   * The new shard is complete, or never serves: readers of the shard are checked against the content that is declared
   * here before the switch.
   */
  async #restore(server: Server, table: string): Promise<boolean> {
    const isPassing = table !== MAIN_TABLE;
    const exists: KeyEffect = { key: table, effect: { kind: 'write', value: 'exists' } };
    return this.#calls.send(
      server.process,
      isPassing ? NAMES_HISTORY : table,
      isPassing ? [exists] : [],
      async () => {
        const load = await server.api.maintenance.beginRestore(table, this.#deadline(server));
        try {
          await this.#fill(server, table, load);
          if (this.#random.chance(0.2)) throw errors.loadReplaced();
          await load.switch({}, this.#deadline(server));
        } catch (error) {
          await load.abandon(this.#deadline(server)).catch(ignoreApiError);
          throw error;
        }
      },
      (invocation) => {
        this.restored++;
        if (isPassing) this.#history.changedName(invocation, NAMES_HISTORY, exists);
      },
      (_invocation, { status }) => status === Status.FailedPrecondition,
    );
  }

  async #fill(server: Server, table: string, load: ShardLoad): Promise<void> {
    const call = (): Call => this.#deadline(server);
    const values = new Map<string, string | undefined>();
    for (const key of this.#keys()) values.set(key, this.#random.chance(0.7) ? this.#value() : undefined);
    const pairs = [...values].flatMap(([key, value]) =>
      value === undefined ? [] : [putCommand(key, value)],
    );
    const half = this.#random.integer(0, pairs.length);
    const parts = [pairs.slice(0, half), pairs.slice(half)].filter(({ length }) => length > 0);
    await Promise.all(parts.map((part) => load.load([withLengths(part)], call())));
    await load.finish({ leaderIndex: 0, keyCount: pairs.length, hasUnstamped: true }, call());
    const replays = this.#random.integer(0, 2);
    for (let i = 0; i < replays; i++) {
      const key = this.#key();
      const value = this.#value();
      values.set(key, value);
      await load.replay([putCommand(key, 'overwritten'), putCommand(key, value)], call());
    }
    this.#history.beginsWith(table, load.shardId, { revision: load.header().revision, values });
  }

  // ---- the archive

  /** Takes entries of a table that the node leads and the archive lacks, and reports that to the cluster. */
  async #archive(server: Server): Promise<boolean> {
    const { api } = server;
    const led = api.logs.led();
    if (led.length === 0) return false;
    const { name, shardId } = this.#random.pick(led);
    const call = (): Call => this.#deadline(server);
    return this.#calls.send(
      server.process,
      name,
      [],
      async () => {
        const log = await api.logs.open(name, call());
        if (log.shardId !== shardId) return;
        const from = Math.max(log.firstIndex, api.maintenance.archivedIndex(shardId) + 1);
        if (from > log.appliedIndex) return;
        const entries = log.entries(from, this.#random.integer(1, ARCHIVED_BYTES_MAX));
        for (const entry of entries) this.#history.archived(name, shardId, entry);
        await api.maintenance.reportArchived(new Map([[shardId, entries.at(-1)!.index]]), call());
      },
      () => undefined,
    );
  }

  #deadline(server: Server): { deadlineMs: number } {
    return { deadlineMs: server.monotonicMs() + this.#options.deadlineMs };
  }

  #key(): string {
    return keyName(this.#random.integer(0, this.#options.keys - 1));
  }

  #keys(): string[] {
    return Array.from({ length: this.#options.keys }, (_, i) => keyName(i));
  }

  /** Returns a value that never comes twice, so that it identifies the write that it is from. */
  #value(): string {
    const id = `${this.#options.valuePrefix ?? ''}${++this.#sequence}.`;
    return id + 'x'.repeat(Math.floor(this.#random.exponential(this.#options.valueSizeMeanBytes)));
  }
}

/** Whether a read failed because history was dropped after its lower end was determined. */
function isOutOfRange(_invocation: Invocation, { status }: ApiError): boolean {
  return status === Status.OutOfRange;
}

const keyName = (number: number) => `key-${String(number).padStart(3, '0')}`;

function ignoreApiError(error: unknown): void {
  if (!(error instanceof ApiError)) throw error;
}
