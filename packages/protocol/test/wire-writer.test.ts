import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { mvcc, regatta, replication } from '../src/index.js';
import { WireWriter } from '../src/wire/wire-writer.js';

const { Command, KeyValue } = mvcc;
const pair = KeyValue.create({ key: Buffer.from('k') });
const PAIR_BYTES = '0a016b';

function keyValue(sizeBytes: number): mvcc.KeyValue {
  return KeyValue.create({ value: Buffer.alloc(sizeBytes, 0x78) });
}

describe('the writer that all encoders share', () => {
  test('forgets a message whose encoder threw', () => {
    const tooGreat = Command.create({ table: Buffer.from('t'), kv: { version: 2n ** 63n } });
    expect(() => Command.encode(tooGreat)).toThrow(RangeError);
    expect(KeyValue.encode(pair).finish().toString('hex')).toBe(PAIR_BYTES);
    for (const notBytes of [7, 'text', [1, 2]]) {
      const wrong = Command.create({ kv: { ...pair, value: notBytes as unknown as Buffer } });
      expect(() => Command.encode(wrong)).toThrow(TypeError);
      expect(KeyValue.encode(pair).finish().toString('hex')).toBe(PAIR_BYTES);
    }
  });

  test('does not finish a message that another one overtook', () => {
    const first = Command.encode(Command.create({ table: Buffer.from('t') }));
    expect(KeyValue.encode(pair).finish().toString('hex')).toBe(PAIR_BYTES);
    expect(() => first.finish()).toThrow('encoders must not overlap');
  });

  test('does not finish a message whose encoding began another', () => {
    const reentrant = {
      ...pair,
      get value() {
        return KeyValue.encode(pair).finish();
      },
    };
    expect(() =>
      Command.encode(Command.create({ kv: pair, batch: [], sequence: [] })).finish(),
    ).not.toThrow();
    expect(() => KeyValue.encode(reentrant).finish()).toThrow('encoders must not overlap');
    expect(() => Command.encode({ ...Command.create(), kv: reentrant }).finish()).toThrow(
      'encoders must not overlap',
    );
    expect(KeyValue.encode(pair).finish().toString('hex')).toBe(PAIR_BYTES);
  });

  test('does not finish a message twice', () => {
    const writer = KeyValue.encode(pair);
    writer.finish();
    expect(() => writer.finish()).toThrow('encoders must not overlap');
  });

  test('does not finish a message with a nested one still open', () => {
    expect(() => new WireWriter().begin().tag(26).fork().finish()).toThrow('encoders must not overlap');
  });

  test('is not needed: a writer of one’s own is independent of it', () => {
    const own = new WireWriter().begin();
    KeyValue.encode(pair, own);
    expect(KeyValue.encode(keyValue(3)).finish().toString('hex')).toBe('2203787878');
    expect(own.finish().toString('hex')).toBe(PAIR_BYTES);
  });
});

test('messages that were written stay as they are while others are written', () => {
  // Sizes around the slab's 64 KiB and beyond it; sums that end anywhere within a slab.
  const size = fc.oneof(
    { weight: 8, arbitrary: fc.integer({ min: 0, max: 300 }) },
    { weight: 4, arbitrary: fc.integer({ min: 300, max: 30_000 }) },
    { weight: 1, arbitrary: fc.integer({ min: 65_500, max: 65_560 }) },
    { weight: 1, arbitrary: fc.integer({ min: 100_000, max: 400_000 }) },
  );
  fc.assert(
    fc.property(fc.array(fc.array(size, { maxLength: 6 }), { maxLength: 30 }), (messages) => {
      const expected = messages.map((sizes, index) =>
        Command.create({
          batch: sizes.map((sizeBytes) => ({ key: Buffer.of(index), value: Buffer.alloc(sizeBytes, index) })),
        }),
      );
      const written = expected.map((message) => Command.encode(message).finish());
      for (const [index, bytes] of written.entries()) {
        expect(Command.decode(bytes).batch.length).toBe(expected[index]!.batch.length);
        for (const [position, { key, value }] of Command.decode(bytes).batch.entries()) {
          expect(key).toEqual(Buffer.of(index));
          expect(value.equals(expected[index]!.batch[position]!.value)).toBe(true);
        }
      }
    }),
    { numRuns: 40 },
  );
});

test('the length of a nested message takes the fewest bytes, whatever its siblings take', () => {
  // A value of n bytes makes a KeyValue of n + 2, 3, 4 or 5 bytes.
  const lengths: [sizeBytes: number, lengthHex: string, head: string][] = [
    [0, '00', ''],
    [125, '7f', '227d'],
    [126, '8001', '227e'],
    [127, '8101', '227f'],
    [16_380, 'ff7f', '22fc7f'],
    [16_381, '808001', '22fd7f'],
    [2_097_147, 'ffff7f', '22fbff7f'],
    [2_097_148, '80808001', '22fcff7f'],
  ];
  for (const [firstSize, firstLength, firstHead] of lengths) {
    for (const [secondSize, secondLength, secondHead] of lengths) {
      const bytes = Command.encode(
        Command.create({ batch: [keyValue(firstSize), keyValue(secondSize)] }),
      ).finish();
      const head = `32${firstLength}${firstHead}`;
      expect(bytes.toString('hex', 0, head.length / 2)).toBe(head);
      const secondAt = head.length / 2 + firstSize;
      const secondBytes = `32${secondLength}${secondHead}`;
      expect(bytes.toString('hex', secondAt, secondAt + secondBytes.length / 2)).toBe(secondBytes);
      expect(bytes.length).toBe(secondAt + secondBytes.length / 2 + secondSize);
    }
  }
});

test('the length of a nested message may take its last byte from beyond the slab', () => {
  const slabSizeBytes = 64 * 1024;
  // Only a double reserves no more than it takes, so that it can end exactly where the slab does.
  const message = regatta.CreateTableRequest.create({
    config: { a: 'x'.repeat(60), b: 'x'.repeat(60), c: 1.5 },
  });
  const expected = regatta.CreateTableRequest.encode(message).finish();
  for (let freeBytes = 0; freeBytes <= expected.length; freeBytes++) {
    const writer = new WireWriter().begin();
    // A field of n bytes takes n + 4: its tag and a length of three bytes.
    const first = KeyValue.encode(keyValue(slabSizeBytes - freeBytes - 4), writer).finish();
    expect(first.length).toBe(slabSizeBytes - freeBytes);
    expect(regatta.CreateTableRequest.encode(message, writer.begin()).finish().equals(expected)).toBe(true);
  }
});

test('a message takes no more memory than one and a half times its size when it is one great value', () => {
  const bytes = KeyValue.encode(keyValue(2 * 1024 * 1024)).finish();
  expect(bytes.buffer.byteLength).toBeLessThan(bytes.length * 1.5);
});

test('integers out of range are refused, not cut off', () => {
  expect(() => KeyValue.encode({ ...pair, version: 2n ** 63n })).toThrow(RangeError);
  expect(() => KeyValue.encode({ ...pair, version: -(2n ** 63n) - 1n })).toThrow(RangeError);
  expect(() => Command.encode({ ...Command.create(), leaderIndex: 2n ** 64n })).toThrow(RangeError);
  expect(() => Command.encode({ ...Command.create(), leaderIndex: -1n })).toThrow(RangeError);
  const { ReplicateRequest } = replication;
  for (const waitMs of [-1, 2 ** 32, 0.5, Number.NaN]) {
    expect(() => ReplicateRequest.encode(ReplicateRequest.create({ waitMs }))).toThrow(RangeError);
  }
  for (const type of [2 ** 31, -(2 ** 31) - 1, 0.5]) {
    expect(() => Command.encode(Command.create({ type }))).toThrow(RangeError);
  }
});

test('messages that no decoder would accept are refused: nested deeper than 100 levels', () => {
  let command = Command.create();
  for (let level = 0; level < 99; level++) command = { ...Command.create(), sequence: [command] };
  expect(Command.decode(Command.encode(command).finish())).toEqual(command);
  for (let level = 0; level < 2; level++) command = { ...Command.create(), sequence: [command] };
  expect(() => Command.encode(command)).toThrow(RangeError);
});
