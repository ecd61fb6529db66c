// Jest's `expect` takes many times as long as these, which counts where values are compared by the thousand.
import { deepEqual } from 'node:assert/strict';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { mvcc, regatta, replication, WireError } from '../src/index.js';
import { beginMessage } from '../src/wire/wire-writer.js';
import { randomMessage } from './random-messages.js';
import { type Codec, codecs, loadSchema } from './schema.js';

const hex = (digits: string): Buffer => Buffer.from(digits.replaceAll(' ', ''), 'hex');

/** A length-delimited field that holds so many levels of itself. */
function nested(tag: number, levels: number): Buffer {
  const heads: Buffer[] = [];
  let lengthBytes = 0;
  for (let level = 0; level < levels; level++) {
    const head = beginMessage().tag(tag).uint32(lengthBytes).finish();
    heads.push(head);
    lengthBytes += head.length;
  }
  return Buffer.concat(heads.reverse());
}

describe('a message is refused with WireError when', () => {
  const { KeyValue, Command } = mvcc;
  const cases: readonly [string, Codec<unknown>, string, string][] = [
    ['a tag is cut short', KeyValue, '80', 'varint is truncated'],
    ['a varint is missing', KeyValue, '10', 'varint is truncated'],
    ['a varint is cut after four bytes', KeyValue, '10 80 80 80 80', 'varint is truncated'],
    ['a varint is cut after nine bytes', KeyValue, '10 80 80 80 80 80 80 80 80 80', 'varint is truncated'],
    [
      'a varint has a 65th bit',
      KeyValue,
      '10 ff ff ff ff ff ff ff ff ff 02',
      'varint is longer than 64 bits',
    ],
    [
      'a varint has eleven bytes',
      KeyValue,
      '10 80 80 80 80 80 80 80 80 80 80 01',
      'varint is longer than 64 bits',
    ],
    ['an unknown varint is cut short', KeyValue, '78 80', 'varint is truncated'],
    ['a tag does not fit into 32 bits', KeyValue, '90 80 80 80 10 01', 'tag does not fit into 32 bits'],
    [
      'a length does not fit into 32 bits',
      KeyValue,
      '0a 81 80 80 80 10 61',
      'length does not fit into 32 bits',
    ],
    ['bytes end beyond the message', KeyValue, '0a 02 61', 'field ends beyond its message'],
    ['a length is the greatest there is', KeyValue, '0a ff ff ff ff 0f 61', 'field ends beyond its message'],
    [
      'a string ends beyond the message',
      regatta.DeleteTableRequest,
      '0a 02 61',
      'field ends beyond its message',
    ],
    ['a nested message ends beyond the message', Command, '1a 04 0a 01 61', 'field ends beyond its message'],
    ['bytes end beyond their nested message', Command, '1a 03 0a 02 61 62', 'field ends beyond its message'],
    ['a varint ends beyond its nested message', Command, '1a 02 10 80 01', 'varint is truncated'],
    ['a tag ends beyond its nested message', Command, '1a 01 a0 06 01', 'varint is truncated'],
    [
      'an unknown field ends beyond its nested message',
      Command,
      '1a 02 7a 01 61',
      'field ends beyond its message',
    ],
    ['a 32-bit field is cut short', KeyValue, '7d 00 00 00', 'field ends beyond its message'],
    ['a 64-bit field is cut short', KeyValue, '79 00 00 00 00 00 00 00', 'field ends beyond its message'],
    [
      'a double is cut short',
      regatta.TableInfo,
      '2a 09 0a 07 12 05 11 00 00 00 00',
      'field ends beyond its message',
    ],
    ['a field has number 0', KeyValue, '00 00', 'field number 0'],
    ['a field of bytes has number 0', KeyValue, '02 00', 'field number 0'],
    ['a group ends that did not begin', KeyValue, '0c', 'end of a group that did not begin'],
    ['a group does not end', KeyValue, '7b 08 01', 'varint is truncated'],
    ['a group ends beyond its nested message', Command, '1a 01 7b 7c', 'varint is truncated'],
    ['a group ends with the tag of another', KeyValue, '7b 74', 'group ends with the tag of another'],
    ['a wire type is 6', KeyValue, '0e', 'unknown wire type 6'],
    ['a wire type is 7', KeyValue, '0f', 'unknown wire type 7'],
    ['a string has a stray byte', regatta.DeleteTableRequest, '0a 01 ff', 'string is not valid UTF-8'],
    ['a string has an overlong form', regatta.DeleteTableRequest, '0a 02 c0 80', 'string is not valid UTF-8'],
    [
      'a string has half a surrogate pair',
      regatta.DeleteTableRequest,
      '0a 03 ed a0 80',
      'string is not valid UTF-8',
    ],
    [
      'a string has U+FFFD and a stray byte',
      regatta.DeleteTableRequest,
      '0a 04 ef bf bd 80',
      'string is not valid UTF-8',
    ],
  ];
  test.each(cases)('%s', (_what, codec, bytes, message) => {
    expect(() => codec.decode(hex(bytes))).toThrow(new WireError(message));
  });

  test('messages nest deeper than 100 levels', () => {
    const sequenceTag = 0x52;
    expect(mvcc.Command.decode(nested(sequenceTag, 99)).sequence).toHaveLength(1);
    const refusal = new WireError('nested deeper than 100 levels');
    expect(() => mvcc.Command.decode(nested(sequenceTag, 100))).toThrow(refusal);
    expect(() => mvcc.Command.decode(nested(sequenceTag, 100_000))).toThrow(refusal);
  });

  test('unknown groups nest deeper than 100 levels', () => {
    const groups = (levels: number) =>
      Buffer.concat([Buffer.alloc(levels, 0x7b), Buffer.alloc(levels, 0x7c)]);
    expect(mvcc.KeyValue.decode(groups(99))).toEqual(mvcc.KeyValue.create());
    const refusal = new WireError('nested deeper than 100 levels');
    expect(() => mvcc.KeyValue.decode(groups(100))).toThrow(refusal);
    expect(() => mvcc.KeyValue.decode(groups(100_000))).toThrow(refusal);
  });
});

const LATER_TYPE: number = 99;

describe('a message is accepted when', () => {
  const { KeyValue, Command } = mvcc;
  const cases: readonly [string, Codec<unknown>, string, unknown][] = [
    [
      'unknown fields of every wire type stand among the known ones',
      KeyValue,
      '78 96 01 79 01 02 03 04 05 06 07 08 0a 01 6b 7a 02 61 62 7b 08 01 7a 01 61 83 01 84 01 7c 7d 01 02 03 04 22 01 76',
      KeyValue.create({ key: Buffer.from('k'), value: Buffer.from('v') }),
    ],
    ['a known field has another wire type', KeyValue, '0d 01 02 03 04', KeyValue.create()],
    [
      'numbers take more bytes than they need',
      KeyValue,
      '8a 00 81 00 6b 10 81 80 00',
      KeyValue.create({ key: Buffer.from('k'), createRevision: 1n }),
    ],
    [
      'an enum has a value of a later version, which is kept',
      Command,
      '10 63',
      Command.create({ type: LATER_TYPE }),
    ],
    ['an enum is negative', Command, '10 ff ff ff ff ff ff ff ff ff 01', Command.create({ type: -1 })],
    [
      'a bool is a great number',
      regatta.PutRequest,
      '20 80 80 80 80 10',
      regatta.PutRequest.create({ prevKv: true }),
    ],
    [
      'a uint32 has 64 bits, the low ones of which count',
      replication.ReplicateRequest,
      'a0 06 87 80 80 80 f0 01',
      replication.ReplicateRequest.create({ waitMs: 7 }),
    ],
    [
      'a field occurs twice, and the last one counts',
      Command,
      '28 07 28 08',
      Command.create({ leaderIndex: 8n }),
    ],
    [
      'members of a oneof follow each other, and the last one counts',
      mvcc.Compare,
      '22 01 76 28 05',
      mvcc.Compare.create({ targetUnion: { $case: 'createRevision', value: 5n } }),
    ],
    [
      'a string has U+FFFD itself',
      regatta.DeleteTableRequest,
      '0a 03 ef bf bd',
      regatta.DeleteTableRequest.create({ name: '\ufffd' }),
    ],
  ];
  test.each(cases)('%s', (_what, codec, bytes, message) => {
    expect(codec.decode(hex(bytes))).toEqual(message);
  });

  test('it has more than 100 messages and groups side by side', () => {
    const batch = Array.from({ length: 300 }, () => KeyValue.create({ key: Buffer.from('k') }));
    const groups = Buffer.alloc(600, '\x7b\x7c');
    const bytes = Buffer.concat([groups, Command.encode(Command.create({ batch })).finish(), groups]);
    expect(Command.decode(bytes)).toEqual(Command.create({ batch }));
  });

  test('it is a plain Uint8Array, somewhere within its memory', () => {
    const memory = new Uint8Array([1, 2, ...hex('0a 01 6b'), 9]);
    const { key } = mvcc.KeyValue.decode(memory.subarray(2, 5));
    expect(Buffer.isBuffer(key)).toBe(true);
    expect(key).toEqual(Buffer.from('k'));
  });
});

test('decoded bytes are views of the input, and empty ones do not keep it alive', () => {
  const input = hex('0a 01 6b 22 00');
  const { key, value } = mvcc.KeyValue.decode(input);
  expect(key.buffer).toBe(input.buffer);
  expect(key.byteOffset).toBe(input.byteOffset + 2);
  expect(value.buffer.byteLength).toBe(0);
});

describe('whatever the bytes, decoding ends with a message or a WireError', () => {
  const schema = loadSchema();

  /** What was decoded must also encode, and come back the same. */
  function decodeAnything(codec: Codec<unknown>, bytes: Buffer): void {
    let message: unknown;
    try {
      message = codec.decode(bytes);
    } catch (error) {
      if (!(error instanceof WireError)) throw error;
      return;
    }
    deepEqual(codec.decode(codec.encode(message).finish()), message);
  }

  test.each([...codecs])('%s', (name, codec) => {
    const valid = randomMessage(schema.lookupType(name)).map((message) => codec.encode(message).finish());
    const flips = fc.array(fc.tuple(fc.nat(), fc.integer({ min: 0, max: 7 })), {
      minLength: 1,
      maxLength: 4,
    });
    const damaged = fc.tuple(valid, flips, fc.nat()).map(([original, bits, cut]) => {
      const bytes = Buffer.from(original);
      for (const [position, bit] of bytes.length > 0 ? bits : []) {
        bytes[position % bytes.length]! ^= 1 << bit;
      }
      return bytes.subarray(0, cut % 2 === 0 ? bytes.length : cut % (bytes.length + 1));
    });
    const noise = fc.uint8Array({ maxLength: 64 }).map((bytes) => Buffer.from(bytes));
    // Bytes that are mostly small look like tags and lengths, and get further than noise.
    const nearly = fc
      .array(fc.oneof(fc.integer({ min: 0, max: 40 }), fc.integer({ min: 0, max: 255 })), { maxLength: 48 })
      .map((bytes) => Buffer.from(bytes));
    const property = fc.property(fc.oneof(damaged, noise, nearly), (bytes) => decodeAnything(codec, bytes));
    fc.assert(property, { numRuns: 80 });
  });

  test('every prefix of a valid message', () => {
    const bytes = mvcc.Command.encode(
      mvcc.Command.create({
        table: Buffer.from('t'),
        leaderIndex: 2n ** 64n - 1n,
        txn: { compare: [{ key: Buffer.from('k'), targetUnion: { $case: 'version', value: -1n } }] },
        sequence: [{ kv: { key: Buffer.alloc(200), version: 300n } }],
      }),
    ).finish();
    for (let length = 0; length <= bytes.length; length++) {
      decodeAnything(mvcc.Command, bytes.subarray(0, length));
    }
  });
});
