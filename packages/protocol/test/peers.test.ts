// Jest's `expect` takes many times as long as these, which counts where values are compared by the thousand.
import { deepEqual } from 'node:assert/strict';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import protobuf from 'protobufjs';
import { mvcc } from '../src/index.js';
import { randomMessage, toReflected } from './random-messages.js';
import { codecs, loadSchema } from './schema.js';

describe('prev_kv of RequestOp.DeleteRange, which moved from 3 to 4, is understood', () => {
  const schema = (fields: string): protobuf.Type =>
    protobuf
      .parse(`syntax = "proto3"; message DeleteRange { bytes key = 1; bytes range_end = 2; ${fields} }`)
      .root.lookupType('DeleteRange');
  const peers: [string, protobuf.Type][] = [
    ['the first API', schema('bool prev_kv = 3;')],
    ['0.5', schema('bool prev_kv = 4; bool count = 5;')],
  ];

  test.each(peers)('by a peer of %s, in both directions', (_age, peer) => {
    for (const prevKv of [true, false]) {
      const bytes = mvcc.RequestOp_DeleteRange.encode(mvcc.RequestOp_DeleteRange.create({ prevKv })).finish();
      expect(peer.toObject(peer.decode(bytes), { defaults: true })).toMatchObject({ prevKv });
      const theirs = Buffer.from(peer.encode(peer.fromObject({ prevKv })).finish());
      expect(mvcc.RequestOp_DeleteRange.decode(theirs).prevKv).toBe(prevKv);
    }
  });

  test.each([
    ['18 01', true],
    ['20 01', true],
    ['18 01 20 00', true],
    ['18 00 20 01', true],
    ['20 01 18 00', true],
    ['18 00 20 00', false],
    ['', false],
  ])('when the fields are %s', (digits, prevKv) => {
    const bytes = Buffer.from(digits.replaceAll(' ', ''), 'hex');
    expect(mvcc.RequestOp_DeleteRange.decode(bytes)).toEqual(mvcc.RequestOp_DeleteRange.create({ prevKv }));
  });
});

describe('a peer that does not know the fields from 100 up reads all the others', () => {
  const ours = loadSchema();
  const stock = loadSchema();
  const supersets = [...codecs].filter(([name]) => {
    const type = stock.lookupType(name);
    const own = type.fieldsArray.filter((field) => field.id >= 100);
    for (const field of own) type.remove(field);
    return own.length > 0;
  });

  test('and there are such fields', () => {
    expect(supersets.length).toBeGreaterThan(10);
  });

  test.each(supersets)('of %s', (name, codec) => {
    const stockType = stock.lookupType(name);
    fc.assert(
      fc.property(randomMessage(ours.lookupType(name)), (message) => {
        const read = stockType.decode(codec.encode(message).finish());
        deepEqual(stockType.toObject(read, { longs: String }), toReflected(stockType, message));
      }),
      { numRuns: 30 },
    );
  });
});
