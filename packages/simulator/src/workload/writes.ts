import { mvcc } from '@coxswain/protocol';
import { putOf, responseOf, txnOf } from '../commands.js';
import type { KeyEffect } from '../history.js';
import { Violation } from '../violation.js';
import { keyName } from './key-draws.js';
import type { OperationContext, Seen } from './operation-context.js';
import type { Server } from './options.js';

const nothing = Buffer.alloc(0);
const toTheEnd = Buffer.from([0]);

/** The operations that write keys. Each resolves to whether it was answered. */
export class Writes {
  readonly #context: OperationContext;

  constructor(context: OperationContext) {
    this.#context = context;
  }

  async put(server: Server, table: string, wantsPrevious: boolean): Promise<boolean> {
    const key = this.#context.draws.key();
    const value = this.#context.draws.value();
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

  async delete(server: Server, table: string, isRange: boolean): Promise<boolean> {
    const { draws } = this.#context;
    const { keys, end } = isRange ? draws.someRange() : { keys: [draws.key()], end: undefined };
    const wantsPrevious = this.#context.random.chance(0.7);
    const command = mvcc.Command.fromPartial({
      table: Buffer.from(table),
      type: mvcc.Command_CommandType.DELETE,
      kv: { key: Buffer.from(keys[0]!) },
      ...(end !== undefined && { rangeEnd: Buffer.from(keyName(end)) }),
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
  async putMany(server: Server, table: string): Promise<boolean> {
    const { keys } = this.#context.draws.someRange();
    const values = keys.map((key) => [key, this.#context.draws.value()] as const);
    if (this.#context.random.chance(0.5))
      return this.#writeIfAsSeen(server, table, values[0]!, values.slice(1));
    const effects = values.map(([key, value]): KeyEffect => ({ key, effect: { kind: 'write', value } }));
    const success = values.map(([key, value]) => putOf(key, value));
    return this.#propose(server, table, txnOf(table, success), effects, () => effects);
  }

  /**
   * Deletes a range, or all keys, and writes some of its keys, in one entry. The deletion also removes keys that the
   * same entry wrote before it.
   */
  async replaceRange(server: Server, table: string): Promise<boolean> {
    const isAll = this.#context.random.chance(0.2);
    const { keys, end } = isAll
      ? { keys: this.#context.draws.keys(), end: undefined }
      : this.#context.draws.someRange();
    const before = this.#context.random.chance(0.3)
      ? [putOf(this.#context.random.pick(keys), this.#context.draws.value())]
      : [];
    const wantsPrevious = before.length === 0 && this.#context.random.chance(0.5);
    const deletion = {
      key: isAll ? toTheEnd : Buffer.from(keys[0]!),
      rangeEnd: end === undefined ? toTheEnd : Buffer.from(keyName(end)),
      prevKv: wantsPrevious,
      count: true,
    };
    const values = new Map<string, string>();
    for (const key of keys)
      if (this.#context.random.chance(0.2)) values.set(key, this.#context.draws.value());
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

  /** Writes a key if it is still as this client saw it last; a transfer writes a second key with it. */
  async compareAndSet(server: Server, table: string, isTransfer: boolean): Promise<boolean> {
    const key = this.#context.draws.key();
    const other = isTransfer
      ? this.#context.random.pick(this.#context.draws.keys().filter((name) => name !== key))
      : undefined;
    const value = this.#context.draws.value();
    const otherValue = this.#context.draws.value();
    return this.#writeIfAsSeen(server, table, [key, value], other === undefined ? [] : [[other, otherValue]]);
  }

  /** Writes all pairs if the first key is still as this client saw it last. */
  async #writeIfAsSeen(
    server: Server,
    table: string,
    [key, value]: readonly [key: string, value: string],
    others: ReadonlyArray<readonly [key: string, value: string]>,
  ): Promise<boolean> {
    const seen = this.#context.seen.get(`${table}/${key}`) ?? { value: undefined, modRevision: 0 };
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
        this.#context.seen.set(`${table}/${key}`, {
          value: now,
          modRevision: Number(observed?.modRevision ?? 0),
        });
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
    if (this.#context.random.chance(0.5)) {
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
    return this.#context.calls.send(
      server.process,
      table,
      effects,
      () => server.api.kv.propose(table, command, this.#context.deadline(server)),
      (invocation, { result, header }) => {
        if (result.revision !== header.revision) {
          throw new Violation('answers', `revision ${result.revision} has the header ${header.revision}`);
        }
        const known = interpret(result.responses, result.succeeded);
        this.#context.history.wrote(invocation, table, header.shardId, result.revision, known);
      },
    );
  }
}
