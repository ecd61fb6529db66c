import { mvcc } from '@coxswain/protocol';
import { type ApplyResult, CommandKind, type RangeQuery, type TableEntry } from '../src/index.js';

/** Short names for what tests say often. Keys and values are Latin-1 strings. */

export const bytes = (text: string): Buffer => Buffer.from(text, 'latin1');
export const text = (buffer: Uint8Array): string => Buffer.from(buffer).toString('latin1');

const { Command_CommandType: Type } = mvcc;

function keyValue(key: string, value = ''): mvcc.KeyValue {
  return { key: bytes(key), value: bytes(value), createRevision: 0n, modRevision: 0n, version: 0n };
}

function command(type: mvcc.Command_CommandType, fields: Partial<mvcc.Command> = {}): mvcc.Command {
  return {
    table: bytes('table'),
    type,
    kv: undefined,
    batch: [],
    prevKvs: false,
    sequence: [],
    count: false,
    ...fields,
  };
}

export const put = (key: string, value: string, prevKvs = false): mvcc.Command =>
  command(Type.PUT, { kv: keyValue(key, value), prevKvs });

export const del = (key: string, rangeEnd?: string, prevKvs = false): mvcc.Command =>
  command(Type.DELETE, {
    kv: keyValue(key),
    prevKvs,
    ...(rangeEnd !== undefined && { rangeEnd: bytes(rangeEnd) }),
  });

export const putBatch = (pairs: [string, string][]): mvcc.Command =>
  command(Type.PUT_BATCH, { batch: pairs.map(([key, value]) => keyValue(key, value)) });

export const deleteBatch = (keys: string[]): mvcc.Command =>
  command(Type.DELETE_BATCH, { batch: keys.map((key) => keyValue(key)) });

export const dummy = (): mvcc.Command => command(Type.DUMMY);

export const gc = (): mvcc.Command => command(Type.GC);

export const txn = (txn: Partial<mvcc.Txn>): mvcc.Command =>
  command(Type.TXN, { txn: { compare: [], success: [], failure: [], ...txn } });

export const sequence = (commands: mvcc.Command[]): mvcc.Command =>
  command(Type.SEQUENCE, { sequence: commands });

export const replicated = (leaderIndex: number, of: mvcc.Command): mvcc.Command => ({
  ...of,
  leaderIndex: BigInt(leaderIndex),
});

export const opPut = (key: string, value: string, prevKv = false): mvcc.RequestOp => ({
  request: { $case: 'requestPut', value: { key: bytes(key), value: bytes(value), prevKv } },
});

export const opDelete = (key: string, rangeEnd = '', prevKv = false): mvcc.RequestOp => ({
  request: {
    $case: 'requestDeleteRange',
    value: { key: bytes(key), rangeEnd: bytes(rangeEnd), prevKv, count: false },
  },
});

export const opRange = (
  key: string,
  rangeEnd = '',
  options: { limit?: number; keysOnly?: boolean; countOnly?: boolean } = {},
): mvcc.RequestOp => ({
  request: {
    $case: 'requestRange',
    value: {
      key: bytes(key),
      rangeEnd: bytes(rangeEnd),
      limit: BigInt(options.limit ?? 0),
      keysOnly: options.keysOnly ?? false,
      countOnly: options.countOnly ?? false,
    },
  },
});

export type Result = 'EQUAL' | 'GREATER' | 'LESS' | 'NOT_EQUAL';
export type Target = 'VALUE' | 'VERSION' | 'CREATE' | 'MOD';

/** `right` undefined: nothing to compare with is set. */
export function compare(
  target: Target,
  key: string,
  result: Result,
  right: string | number | bigint | undefined,
  rangeEnd = '',
): mvcc.Compare {
  let targetUnion: mvcc.Compare['targetUnion'];
  if (right !== undefined) {
    if (target === 'VALUE') targetUnion = { $case: 'value', value: bytes(String(right)) };
    else if (target === 'VERSION') targetUnion = { $case: 'version', value: BigInt(right) };
    else if (target === 'CREATE') targetUnion = { $case: 'createRevision', value: BigInt(right) };
    else targetUnion = { $case: 'modRevision', value: BigInt(right) };
  }
  return {
    target: mvcc.Compare_CompareTarget[target],
    result: mvcc.Compare_CompareResult[result],
    key: bytes(key),
    rangeEnd: bytes(rangeEnd),
    targetUnion,
  };
}

/** The results when their ranges have been read. */
export async function answered(applied: Promise<ApplyResult[]>): Promise<ApplyResult[]> {
  const results = await applied;
  for (const { reading } of results) await reading;
  return results;
}

export function entry(index: number, command: mvcc.Command, timeMs = index): TableEntry {
  const payload = Buffer.from(mvcc.Command.encode(command).finish());
  return { index, term: 1, timeMs, kind: CommandKind.Command, payload, cursor: undefined, wantsResult: true };
}

export function internalEntry(index: number, kind: CommandKind, value = 0, timeMs = index): TableEntry {
  const payload = Buffer.alloc(8);
  payload.writeBigUInt64LE(BigInt(value));
  return { index, term: 1, timeMs, kind, payload, cursor: undefined, wantsResult: true };
}

export function query(key: string, rangeEnd?: string, options: Partial<RangeQuery> = {}): RangeQuery {
  return {
    key: bytes(key),
    ...(rangeEnd !== undefined && { rangeEnd: bytes(rangeEnd) }),
    limit: 0,
    keysOnly: false,
    countOnly: false,
    minModRevision: 0,
    maxModRevision: 0,
    minCreateRevision: 0,
    maxCreateRevision: 0,
    maxBytes: 4 * 1024 * 1024 - 1024,
    ...options,
  };
}
