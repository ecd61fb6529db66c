// Jest's `expect` takes many times as long as these, which counts where values are compared by the thousand.
import { deepEqual } from 'node:assert/strict';
import { mvcc } from '@coxswain/protocol';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { PairRecord } from '../src/index.js';

const { Command_CommandType: Type } = mvcc;
const revision = fc.oneof(fc.constant(0n), fc.bigInt({ min: 1n, max: 2n ** 53n - 1n }));
const some = fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes));
const pair = fc.record({
  key: some,
  value: some,
  createRevision: revision,
  modRevision: revision,
  version: revision,
});

const encoded = (command: Partial<mvcc.Command>): Buffer =>
  Buffer.from(mvcc.Command.encode(mvcc.Command.fromPartial(command)).finish());

const { type: _type, kv: _kv, table: _table, ...NOTHING } = mvcc.Command.decode(Buffer.alloc(0));

/** What the generated code reads, where all of it is a usual pair. */
function decoded(record: Buffer) {
  const { type, kv, table: _, ...rest } = mvcc.Command.decode(record);
  if (type !== Type.PUT || kv === undefined) return undefined;
  // All that a command may say beside its pair is left unsaid: apply asks for nothing more (A1).
  deepEqual(rest, NOTHING);
  const { key, value, createRevision, modRevision, version } = kv;
  return {
    key,
    value,
    createRevision: Number(createRevision),
    modRevision: Number(modRevision),
    version: Number(version),
  };
}

/** What our own code reads. */
function readPairRecord(bytes: Buffer, start: number, end: number) {
  const pair = new PairRecord();
  if (!pair.read(bytes, start, end)) return undefined;
  const { key, value, createRevision, modRevision, version } = pair;
  return { key, value, createRevision, modRevision, version };
}

describe('a pair of a snapshot record', () => {
  test('is what the generated code reads, wherever it stands', () => {
    fc.assert(
      fc.property(pair, some, some, some, (kv, table, before, behind) => {
        const record = encoded({ table, type: Type.PUT, kv });
        const bytes = Buffer.concat([before, record, behind]);
        const read = readPairRecord(bytes, before.length, before.length + record.length);
        deepEqual(read, decoded(record));
      }),
    );
  });

  test('is left to the generated code where the record is another command or unusual', () => {
    const kv = { ...mvcc.KeyValue.create(), key: Buffer.from('k'), value: Buffer.from('v') };
    const whole = encoded({ kv });
    const unusual = [
      encoded({ type: Type.DUMMY, leaderIndex: 7n }),
      encoded({ type: Type.DELETE, kv }),
      encoded({ kv, leaderIndex: 7n }),
      encoded({ kv, prevKvs: true }),
      encoded({ kv, rangeEnd: Buffer.from('z') }),
      encoded({ kv, count: true }),
      encoded({ kv, batch: [kv] }),
      encoded({ kv, txn: mvcc.Txn.create() }),
      encoded({ kv, sequence: [mvcc.Command.create()] }),
      encoded({ kv: { ...kv, modRevision: -1n } }),
      encoded({ kv: { ...kv, modRevision: 2n ** 53n } }),
      // The parts of a message that comes twice are joined.
      Buffer.concat([whole, whole]),
      Buffer.alloc(0),
    ];
    for (const record of unusual) expect(readPairRecord(record, 0, record.length)).toBeUndefined();
  });

  test('of damaged bytes is none, or what the generated code reads', () => {
    fc.assert(
      fc.property(pair, fc.nat(), fc.integer({ min: 1, max: 255 }), fc.nat(), (kv, at, flip, cut) => {
        // Behind the pair come a table and a type, as other writers may have it.
        const record = Buffer.concat([
          encoded({ kv }),
          encoded({ table: kv.key }),
          Buffer.from([0x10, 0x80, 0]),
        ]);
        record[at % record.length]! ^= flip;
        const damaged = record.subarray(0, record.length - (cut % record.length));
        const read = readPairRecord(damaged, 0, damaged.length);
        if (read !== undefined) deepEqual(read, decoded(damaged));
      }),
      { numRuns: 3_000 },
    );
  });
});
