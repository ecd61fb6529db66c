import type { mvcc } from '@coxswain/protocol';
import type { RangeQuery } from '../src/index.js';
import { text } from './commands.js';

interface ModelRecord {
  value: string;
  createRevision: number;
  modRevision: number;
  version: number;
}

type State = Map<string, ModelRecord>;

function inRange(key: string, first: string, rangeEnd: string): boolean {
  if (rangeEnd === '') return key === first;
  return key >= first && (rangeEnd === '\0' || key < rangeEnd);
}

/** What the table must do, said as plainly as possible: a copy of the whole map at every revision. */
export class Model {
  readonly #states = new Map<number, State>([[0, new Map()]]);
  #revision = 0;
  #current: State = new Map();

  get revision(): number {
    return this.#revision;
  }

  at(revision: number): State {
    for (let at = revision; ; at--) {
      const state = this.#states.get(at);
      if (state !== undefined) return state;
    }
  }

  apply(revision: number, command: mvcc.Command): { succeeded: boolean; responses: unknown[] } {
    const result = this.#run(revision, command);
    this.#revision = Math.max(this.#revision, revision);
    this.#states.set(this.#revision, new Map(this.#current));
    return result;
  }

  range(revision: number, query: RangeQuery): { records: object[]; count: number; more: boolean } {
    const first = text(query.key);
    const end = query.rangeEnd === undefined ? '' : text(query.rangeEnd);
    const found = select(this.at(revision), first, end).filter(
      ([, record]) =>
        record.modRevision >= query.minModRevision &&
        (query.maxModRevision === 0 || record.modRevision <= query.maxModRevision) &&
        record.createRevision >= query.minCreateRevision &&
        (query.maxCreateRevision === 0 || record.createRevision <= query.maxCreateRevision),
    );
    const taken = query.limit > 0 ? found.slice(0, query.limit) : found;
    const records = query.countOnly
      ? []
      : taken.map(([key, record]) => ({ ...record, key, value: query.keysOnly ? '' : record.value }));
    return { records, count: taken.length, more: taken.length < found.length };
  }

  #run(revision: number, command: mvcc.Command): { succeeded: boolean; responses: unknown[] } {
    const key = command.kv === undefined ? '' : text(command.kv.key);
    switch (command.type) {
      case 0:
        return {
          succeeded: true,
          responses: [this.#put(revision, key, text(command.kv!.value), command.prevKvs)],
        };
      case 1: {
        const end = command.rangeEnd === undefined ? '' : text(command.rangeEnd);
        return { succeeded: true, responses: [this.#delete(key, end, command.prevKvs)] };
      }
      case 3:
        for (const pair of command.batch) this.#put(revision, text(pair.key), text(pair.value), false);
        return { succeeded: true, responses: [] };
      case 4:
        for (const pair of command.batch) this.#delete(text(pair.key), '', false);
        return { succeeded: true, responses: [] };
      case 5:
        return this.#txn(revision, command.txn!);
      case 6:
        for (const inner of command.sequence) this.apply(Number(inner.leaderIndex ?? revision), inner);
        return { succeeded: true, responses: [] };
      default:
        return { succeeded: true, responses: [] };
    }
  }

  #txn(revision: number, txn: mvcc.Txn): { succeeded: boolean; responses: unknown[] } {
    const succeeded = txn.compare.every((compare) => this.#holds(compare));
    const responses = (succeeded ? txn.success : txn.failure).map(({ request }) => {
      if (request?.$case === 'requestPut') {
        const { key, value, prevKv } = request.value;
        return this.#put(revision, text(key), text(value), prevKv);
      }
      if (request?.$case === 'requestDeleteRange') {
        const { key, rangeEnd, prevKv } = request.value;
        return this.#delete(text(key), text(rangeEnd), prevKv);
      }
      const { key, rangeEnd, limit, keysOnly, countOnly } = request!.value as mvcc.RequestOp_Range;
      const found = select(this.#current, text(key), text(rangeEnd));
      const taken = limit > 0n ? found.slice(0, Number(limit)) : found;
      const kvs = taken.map(([name, record]) => ({
        ...record,
        key: name,
        value: keysOnly ? '' : record.value,
      }));
      return { kvs: countOnly ? [] : kvs, more: taken.length < found.length, count: taken.length };
    });
    return { succeeded, responses };
  }

  #put(revision: number, key: string, value: string, wantsPrevious: boolean): object {
    const previous = this.#current.get(key);
    this.#current.set(key, {
      value,
      createRevision: previous?.createRevision ?? revision,
      modRevision: revision,
      version: (previous?.version ?? 0) + 1,
    });
    return {
      prevKv: wantsPrevious && previous !== undefined ? { ...previous, key } : undefined,
      more: false,
    };
  }

  #delete(key: string, rangeEnd: string, wantsPrevious: boolean): object {
    const found = select(this.#current, key, rangeEnd);
    for (const [name] of found) this.#current.delete(name);
    const prevKvs = wantsPrevious ? found.map(([name, record]) => ({ ...record, key: name })) : [];
    return { deleted: found.length, prevKvs, more: false };
  }

  #holds(compare: mvcc.Compare): boolean {
    const found = select(this.#current, text(compare.key), text(compare.rangeEnd)).map(
      ([, record]) => record,
    );
    const right = compare.targetUnion?.value;
    if (compare.target === 0) {
      if (found.length === 0) return false;
      if (right === undefined) return true;
      const value = text(right as Buffer);
      return found.every((record) => ordered(compare.result, record.value, value));
    }
    const missing = { version: 0, createRevision: 0, modRevision: 0 };
    return (found.length === 0 ? [missing] : found).every((record) => {
      const left = [0, record.version, record.createRevision, record.modRevision][compare.target]!;
      return ordered(compare.result, left, Number(right ?? 0n));
    });
  }
}

function select(state: State, first: string, rangeEnd: string): [string, ModelRecord][] {
  return [...state]
    .filter(([key]) => inRange(key, first, rangeEnd))
    .sort(([left], [right]) => (left < right ? -1 : 1));
}

function ordered<Value extends string | number>(result: number, left: Value, right: Value): boolean {
  return [left === right, left > right, left < right, left !== right][result]!;
}
