import { crc32 } from 'node:zlib';
import type { LogEntry } from '@coxswain/node';
import type { RegisterEffect, RegisterOperation } from './linearizability.js';
import { checkLinearizable } from './linearizability.js';
import { check, Violation } from './violation.js';

/** The effect of one operation on one key, or the state of the key that it saw. */
export interface KeyEffect {
  readonly key: string;
  readonly effect: RegisterEffect;
  /** True when the same entry deleted the key before it wrote it. */
  readonly isAnew?: boolean;
}

/** A key as a read saw it. */
export interface KeyState {
  readonly key: string;
  /** The key's record; undefined when the key did not exist. */
  readonly record:
    | { value: string; createRevision: number; modRevision: number; version: number }
    | undefined;
}

interface Write {
  readonly revision: number;
  readonly value: string | undefined;
  /** True when the same entry deleted the key before it wrote it, see `KeyEffect`. */
  readonly isAnew: boolean;
}

interface View {
  readonly revision: number;
  readonly states: readonly KeyState[];
  readonly what: string;
}

/** The content that a restore brought into a shard before the shard became a table. */
export interface Base {
  /** The revision of the whole content: none of it is later, and no answer is earlier. */
  readonly revision: number;
  /** The value of every key that clients may ask for; undefined when the key does not exist. */
  readonly values: ReadonlyMap<string, string | undefined>;
}

interface ArchivedEntry {
  readonly term: number;
  readonly timeMs: number;
  readonly digest: number;
}

/** The operations of clients on one shard, as the clients saw them. */
class ShardHistory {
  readonly operations = new Map<string, RegisterOperation[]>();
  /** Acknowledged writes by key. */
  readonly writes = new Map<string, Write[]>();
  readonly views: View[] = [];
  /** The shard's content before the first write of a client; undefined when it was empty. */
  base: Base | undefined;
  readonly archived = new Map<number, ArchivedEntry>();
  readonly revisions = new Set<number>();
  /** The highest revision that a client has learnt from a write or a linearizable read. */
  highestKnown = 0;
  /** By process, the revision of its last answer to a serializable read. */
  readonly lastRevisionByReader = new Map<number, number>();
}

/** The state when an operation began, for the checks when it ends. */
export interface Invocation {
  readonly at: number;
  readonly process: number;
  /** By shard, the highest revision that any client knew at that time. */
  readonly highestKnown: ReadonlyMap<string, number>;
  /** By shard, the highest revision at which the asked process had answered serializable reads by that time. */
  readonly highestOfReader: ReadonlyMap<string, number>;
}

/**
 * Records everything that clients did and saw, and checks that
 *
 * - the history of each key is linearizable;
 * - revisions give the same order: a write has a revision of its own, and an operation that begins after it was
 *   acknowledged sees that revision or a later one;
 * - a read at revision r shows every key exactly as the writes up to r left it, serializable reads too;
 * - a shard that a restore made shows all of the restored content;
 * - an entry that is archived twice is the same, whoever led, and terms and times go up (R6, A7);
 * - revisions of a table's name go up from shard to shard (T1, T3).
 *
 * A write whose outcome is unknown belongs to every shard that its table ever had, and may never have happened.
 */
export class History {
  readonly #shards = new Map<string, ShardHistory>();
  /** Writes without an answer, by table. */
  readonly #unanswered = new Map<string, Array<KeyEffect & { invokedAt: number }>>();
  #now = 0;
  /** The number of operations that were answered. */
  answered = 0;

  /**
   * Records that a client asks `process`. Logical time advances by one for each action and each observation of a
   * client, so that no two are at the same time.
   */
  begin(process: number): Invocation {
    const highestKnown = new Map<string, number>();
    const highestOfReader = new Map<string, number>();
    for (const [name, shard] of this.#shards) {
      highestKnown.set(name, shard.highestKnown);
      highestOfReader.set(name, shard.lastRevisionByReader.get(process) ?? 0);
    }
    return { at: ++this.#now, process, highestKnown, highestOfReader };
  }

  /** Records that a write, or a transaction that was proposed, was answered at `revision`. */
  wrote(
    invocation: Invocation,
    table: string,
    shardId: number,
    revision: number,
    effects: readonly KeyEffect[],
  ): void {
    const shard = this.#shard(table, shardId);
    check(
      !shard.revisions.has(revision),
      'one write per revision',
      () => `shard ${shardId}: two writes were acknowledged at revision ${revision}`,
    );
    shard.revisions.add(revision);
    this.#mustNotGoBack(shard, invocation, table, shardId, revision);
    for (const { key, effect, isAnew = false } of effects) {
      this.#record(shard, invocation, key, effect);
      const writes = shard.writes.get(key) ?? [];
      shard.writes.set(key, writes);
      const hasWritten = effect.kind === 'write' || (effect.kind === 'compareAndSet' && effect.succeeded);
      if (hasWritten) writes.push({ revision, value: effect.value, isAnew });
    }
    this.answered += 1;
  }

  /** Records that a linearizable read was answered as of `revision`. */
  read(
    invocation: Invocation,
    table: string,
    shardId: number,
    revision: number,
    states: readonly KeyState[],
  ): void {
    const shard = this.#shard(table, shardId);
    this.#mustNotGoBack(shard, invocation, table, shardId, revision);
    shard.views.push({ revision, states, what: 'linearizable read' });
    for (const { key, record } of states) {
      this.#record(shard, invocation, key, { kind: 'read', observed: record?.value });
    }
    this.answered += 1;
  }

  /**
   * Records that a serializable read was answered: it must show a prefix of the writes, never a shorter one than the
   * process showed before.
   */
  readSerializable(
    invocation: Invocation,
    table: string,
    shardId: number,
    revision: number,
    states: readonly KeyState[],
  ): void {
    const shard = this.#shard(table, shardId);
    const { process, highestOfReader } = invocation;
    const before = highestOfReader.get(`${table}/${shardId}`) ?? 0;
    check(
      revision >= before,
      'serializable reads are prefixes',
      () => `shard ${shardId}: process ${process} answered at revision ${before} and then at ${revision}`,
    );
    shard.lastRevisionByReader.set(process, Math.max(revision, shard.lastRevisionByReader.get(process) ?? 0));
    shard.views.push({ revision, states, what: 'serializable read' });
    this.answered += 1;
  }

  /** Records the content of a table at a revision, as a read of the past or a backup saw it. */
  readPast(
    table: string,
    shardId: number,
    revision: number,
    states: readonly KeyState[],
    what: string,
  ): void {
    const shard = this.#shard(table, shardId);
    // A state in the middle of a restore's replay was written by no client.
    if (shard.base === undefined || revision >= shard.base.revision)
      shard.views.push({ revision, states, what });
    this.answered += 1;
  }

  /** Declares, before the shard can serve, that it holds the complete restore if it ever serves. */
  beginsWith(table: string, shardId: number, base: Base): void {
    this.#shard(table, shardId).base = base;
  }

  /**
   * Records an entry that the archive took from a leader of the table: it must be the same as from any leader before
   * (R6).
   */
  archived(table: string, shardId: number, { index, term, timeMs, command }: LogEntry): void {
    const { archived } = this.#shard(table, shardId);
    const entry = { term, timeMs, digest: crc32(command) };
    const known = archived.get(index) ?? entry;
    archived.set(index, known);
    check(
      known.term === term && known.timeMs === timeMs && known.digest === entry.digest,
      'an entry that is archived twice is the same (R6)',
      () =>
        `${table}/${shardId}: entry ${index}/${term} was archived as ${index}/${known.term}, or with other bytes`,
    );
  }

  /** Records that a table was made or deleted, or that its name was looked up. Names have no revisions. */
  changedName(invocation: Invocation, names: string, change: KeyEffect): void {
    this.#record(this.#shard(names, 0), invocation, change.key, change.effect);
    this.answered += 1;
  }

  /** Records that a write was never answered, or with *outcome unknown*. */
  unknown(invocation: Invocation, table: string, effects: readonly KeyEffect[]): void {
    const unanswered = this.#unanswered.get(table) ?? [];
    this.#unanswered.set(table, unanswered);
    for (const effect of effects) unanswered.push({ ...effect, invokedAt: invocation.at });
  }

  /** Checks everything that needs the whole history. Call it once, at the end. */
  check(): void {
    this.#checkRevisionsOfNames();
    for (const [name, shard] of this.#shards) {
      const unanswered = this.#unanswered.get(name.slice(0, name.lastIndexOf('/'))) ?? [];
      this.#checkViews(name, shard, unanswered);
      checkArchive(name, shard);
      for (const [key, operations] of shard.operations) {
        const all = [
          ...beginningOf(shard, key),
          ...operations,
          ...unanswered
            .filter((effect) => effect.key === key)
            .map(({ effect, invokedAt }) => ({
              effect,
              invokedAt,
              returnedAt: Number.POSITIVE_INFINITY,
            })),
        ];
        const verdict = checkLinearizable(all);
        if (verdict === 'linearizable') continue;
        throw new Violation(
          'linearizability',
          `${name}: the history of ${key} (${operations.length} answered operations) is ${verdict}`,
        );
      }
    }
  }

  /** Checks that revisions of a name never restart. Shard ids are given out in order. */
  #checkRevisionsOfNames(): void {
    const shardsByTable = new Map<string, [shardId: number, shard: ShardHistory][]>();
    for (const [name, shard] of this.#shards) {
      const at = name.lastIndexOf('/');
      const table = name.slice(0, at);
      const shards = shardsByTable.get(table) ?? [];
      shardsByTable.set(table, shards);
      shards.push([Number(name.slice(at + 1)), shard]);
    }
    for (const [table, shards] of shardsByTable) {
      let before = 0;
      for (const [shardId, shard] of shards.sort(([a], [b]) => a - b)) {
        const revisions = [...shard.revisions, ...shard.views.map(({ revision }) => revision)];
        const lowest = revisions.reduce((a, b) => Math.min(a, b), Number.POSITIVE_INFINITY);
        check(
          lowest > before || before === 0,
          'revisions of a name never restart (T1)',
          () => `${table}: shard ${shardId} answers at revision ${lowest}, an earlier one at ${before}`,
        );
        before = revisions.reduce((a, b) => Math.max(a, b), before);
      }
    }
  }

  #mustNotGoBack(
    shard: ShardHistory,
    invocation: Invocation,
    table: string,
    shardId: number,
    revision: number,
  ): void {
    const known = invocation.highestKnown.get(`${table}/${shardId}`) ?? 0;
    check(
      revision >= known,
      'no stale answer',
      () => `shard ${shardId}: an operation that began after revision ${known} was known saw ${revision}`,
    );
    shard.highestKnown = Math.max(shard.highestKnown, revision);
  }

  #record(shard: ShardHistory, invocation: Invocation, key: string, effect: RegisterEffect): void {
    const operations = shard.operations.get(key) ?? [];
    shard.operations.set(key, operations);
    operations.push({ effect, invokedAt: invocation.at, returnedAt: ++this.#now });
  }

  /**
   * Checks that each view shows, for each key, the last acknowledged write up to its revision, or an unanswered one
   * after it.
   */
  #checkViews(name: string, shard: ShardHistory, unanswered: readonly KeyEffect[]): void {
    for (const writes of shard.writes.values()) writes.sort((a, b) => a.revision - b.revision);
    const valueByWrite = new Map<string, string>();
    for (const { revision, states, what } of shard.views) {
      const { base } = shard;
      check(
        base === undefined || revision >= base.revision,
        'nothing of a restore is seen before all of it',
        () => `${name}, ${what} at revision ${revision}: it was whole at ${base?.revision}`,
      );
      for (const { key, record } of states) {
        const where = () => `${name}, ${what} at revision ${revision}, ${key}`;
        const last =
          shard.writes.get(key)?.findLast((write) => write.revision <= revision) ?? baseWrite(base, key);
        const mayHaveChanged = () => unanswered.some((effect) => effect.key === key);
        if (record === undefined) {
          check(
            last === undefined || last.value === undefined || mayHaveChanged(),
            'reads show every write',
            () => `${where()}: missing, but it was written at ${last?.revision}`,
          );
          continue;
        }
        check(
          record.modRevision <= revision &&
            record.createRevision <= record.modRevision &&
            record.version >= 1,
          'revisions of a record',
          () =>
            `${where()}: create ${record.createRevision}, mod ${record.modRevision}, version ${record.version}`,
        );
        const expected = mayHaveChanged() ? undefined : originOf(shard, key, revision);
        check(
          expected === undefined ||
            (record.createRevision === expected.createRevision && record.version === expected.version),
          'revisions of a record',
          () =>
            `${where()}: create ${record.createRevision}, version ${record.version}, ` +
            `and it was created at ${expected?.createRevision} and written ${expected?.version} times since`,
        );
        // Restored keys have revisions up to that of the restore's end.
        const isOfBase = base !== undefined && record.modRevision <= base.revision;
        const isLast = isOfBase ? last?.revision === base.revision : record.modRevision === last?.revision;
        check(
          last === undefined || isLast || record.modRevision >= last.revision,
          'reads show every write',
          () =>
            `${where()}: written at ${last?.revision}, but shows what was written at ${record.modRevision}`,
        );
        if (isLast) {
          check(last !== undefined && record.value === last.value, 'reads show what was written', where);
        } else {
          check(mayHaveChanged(), 'reads show what was written', () => `${where()}: nobody wrote it`);
        }
        const id = `${key}/${record.modRevision}`;
        const known = valueByWrite.get(id);
        check(known === undefined || known === record.value, 'one value per revision', where);
        valueByWrite.set(id, record.value);
      }
    }
  }

  #shard(table: string, shardId: number): ShardHistory {
    const name = `${table}/${shardId}`;
    let shard = this.#shards.get(name);
    if (shard === undefined) {
      shard = new ShardHistory();
      this.#shards.set(name, shard);
    }
    return shard;
  }
}

/** Checks that terms and times never go back along a log (A7); entries without a command have no time. */
function checkArchive(name: string, { archived }: ShardHistory): void {
  let before = { term: 0, timeMs: 0 };
  for (const [index, entry] of [...archived].sort(([a], [b]) => a - b)) {
    const timeMs = entry.timeMs === 0 ? before.timeMs : entry.timeMs;
    check(
      entry.term >= before.term && timeMs >= before.timeMs,
      'an archived log goes forward (A7)',
      () =>
        `${name}: entry ${index} is of term ${entry.term} at ${timeMs}, one before it ${before.term} at ${before.timeMs}`,
    );
    before = { term: entry.term, timeMs };
  }
}

/**
 * Returns, by the acknowledged writes up to a revision, when the key of a record was created and how often it was
 * written since. Undefined when the key was there before the first of them, or none of them wrote it.
 */
function originOf(
  { writes, base }: ShardHistory,
  key: string,
  revision: number,
): { createRevision: number; version: number } | undefined {
  let origin: { createRevision: number; version: number } | undefined;
  for (const write of (writes.get(key) ?? []).toReversed()) {
    if (write.revision > revision) continue;
    if (write.value === undefined) return origin;
    origin = { createRevision: write.revision, version: (origin?.version ?? 0) + 1 };
    if (write.isAnew) return origin;
  }
  return base === undefined ? origin : undefined;
}

/** Returns the shard's initial content of a key in the form of a write. */
function baseWrite(base: Base | undefined, key: string): Write | undefined {
  if (base === undefined) return undefined;
  return { revision: base.revision, value: base.values.get(key), isAnew: false };
}

/** Returns the initial content of a register in the form of an operation. */
function beginningOf({ base }: ShardHistory, key: string): RegisterOperation[] {
  if (base === undefined) return [];
  const effect: RegisterEffect = { kind: 'write', value: base.values.get(key) };
  return [{ effect, invokedAt: 0, returnedAt: 0 }];
}
