// Jest's `expect` takes many times as long as these, which counts where values are compared by the thousand.
import { deepEqual, ok } from 'node:assert/strict';
import { mvcc, replication, WireError } from '@coxswain/protocol';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import {
  encodeCommands,
  encodeError,
  encodeTerminal,
  readReplicateMessage,
} from '../src/replicate-message.js';
import { readReplicatedEntry } from '../src/replicated-entry.js';
import { encodeSequence, encodeStamped } from '../src/sequence.js';

const index = fc.oneof(
  fc.integer({ min: 1, max: 300 }),
  fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }),
);
const command = fc
  .record({ key: fc.uint8Array({ minLength: 1, maxLength: 20 }), value: fc.uint8Array({ maxLength: 300 }) })
  .map(({ key, value }) =>
    mvcc.Command.fromPartial({
      table: Buffer.from('t'),
      kv: { key: Buffer.from(key), value: Buffer.from(value) },
    }),
  );
const traceparent = fc.option(fc.constant(`00-${'1'.repeat(32)}-${'2'.repeat(16)}-01`), { nil: undefined });
const entry = fc.record({ leaderIndex: index, timeMs: fc.nat(2 ** 31), traceparent, command });

const marshal = (of: mvcc.Command): Buffer => Buffer.from(mvcc.Command.encode(of).finish());

describe('a ReplicateResponse with marshalled commands', () => {
  test('is what the generated codec decodes, each command with its own leader_index', () => {
    fc.assert(
      fc.property(fc.array(entry, { minLength: 1, maxLength: 5 }), index, (entries, applied) => {
        const bytes = encodeCommands(
          entries.map((each) => ({ ...each, command: marshal(each.command) })),
          applied,
        );
        const { response, leaderIndex } = replication.ReplicateResponse.decode(bytes);
        expect(leaderIndex).toBe(BigInt(applied));
        if (response?.$case !== 'commandsResponse') throw new Error('no commands');
        deepEqual(
          response.value.commands,
          entries.map((each) => ({
            leaderIndex: BigInt(each.leaderIndex),
            timeMs: BigInt(each.timeMs),
            traceparent: each.traceparent ?? '',
            command: { ...each.command, leaderIndex: BigInt(each.leaderIndex) },
          })),
        );
      }),
    );
  });

  test('is read as the generated codec writes it, with or without the inner leader_index', () => {
    fc.assert(
      fc.property(fc.array(entry, { maxLength: 5 }), index, fc.boolean(), (entries, applied, hasInner) => {
        const bytes = replication.ReplicateResponse.encode({
          response: {
            $case: 'commandsResponse',
            value: {
              commands: entries.map(({ leaderIndex, timeMs, traceparent: trace, command: inner }) => ({
                leaderIndex: BigInt(leaderIndex),
                timeMs: BigInt(timeMs),
                traceparent: trace ?? '',
                command: hasInner ? { ...inner, leaderIndex: BigInt(leaderIndex) } : inner,
              })),
            },
          },
          leaderTimeMs: 0n,
          leaderIndex: BigInt(applied),
        }).finish();
        const message = readReplicateMessage(Buffer.from(bytes));
        expect(message).toMatchObject({ leaderIndex: applied, error: undefined, isTerminal: false });
        expect(message.commands.map((each) => [each.leaderIndex, each.timeMs, each.traceparent])).toEqual(
          entries.map((each) => [each.leaderIndex, each.timeMs, each.traceparent]),
        );
        for (const [at, { command: raw, leaderIndex }] of message.commands.entries()) {
          const expected = { ...entries[at]!.command, leaderIndex: BigInt(leaderIndex) };
          deepEqual(mvcc.Command.decode(raw), expected);
        }
      }),
    );
  });

  test('tells errors and the end apart, USE_SNAPSHOT too, whose number is 0', () => {
    const { USE_SNAPSHOT, LEADER_BEHIND } = replication.ReplicateError;
    expect(readReplicateMessage(encodeError(USE_SNAPSHOT, 7))).toMatchObject({
      error: USE_SNAPSHOT,
      leaderIndex: 7,
      isTerminal: false,
    });
    expect(readReplicateMessage(encodeError(LEADER_BEHIND, 7))).toMatchObject({
      error: LEADER_BEHIND,
      isTerminal: false,
    });
    expect(readReplicateMessage(encodeTerminal(7, 9))).toMatchObject({
      leaderTimeMs: 9,
      error: undefined,
      leaderIndex: 7,
      isTerminal: true,
    });
    expect(readReplicateMessage(Buffer.alloc(0))).toMatchObject({ leaderIndex: 0, isTerminal: true });
  });

  test('of any bytes is read or refused, and never anything else', () => {
    const whole = encodeCommands(
      [
        {
          leaderIndex: 5,
          timeMs: 3,
          command: marshal(mvcc.Command.fromPartial({ kv: { key: Buffer.from('k') } })),
        },
      ],
      9,
    );
    const cut = fc.nat(whole.length).map((length) => whole.subarray(0, length));
    const flipped = fc.tuple(fc.nat(whole.length - 1), fc.nat(255)).map(([at, byte]) => {
      const bytes = Buffer.from(whole);
      bytes[at] = byte;
      return bytes;
    });
    const any = fc.uint8Array({ maxLength: 60 }).map((bytes) => Buffer.from(bytes));
    fc.assert(
      fc.property(fc.oneof(cut, flipped, any), (bytes) => {
        try {
          readReplicateMessage(bytes);
        } catch (error) {
          ok(error instanceof WireError || error instanceof RangeError);
        }
      }),
      { numRuns: 3000 },
    );
  });
});

describe('a SEQUENCE', () => {
  test('holds its commands as they were, and has the leader_index of the last one', () => {
    fc.assert(
      fc.property(fc.array(entry, { minLength: 1, maxLength: 6 }), (entries) => {
        const inner = entries.map(({ command: each, leaderIndex }) => ({
          ...each,
          leaderIndex: BigInt(leaderIndex),
        }));
        const marshalled = entries.map((each, at) => ({ ...each, command: marshal(inner[at]!) }));
        const sequence = encodeSequence(marshalled);
        deepEqual(
          mvcc.Command.decode(sequence),
          mvcc.Command.fromPartial({
            type: mvcc.Command_CommandType.SEQUENCE,
            sequence: inner.map((each, at) => ({
              ...each,
              ...(entries[at]!.timeMs > 0 && { timeMs: BigInt(entries[at]!.timeMs) }),
            })),
            leaderIndex: BigInt(entries.at(-1)!.leaderIndex),
          }),
        );
        const places = (all: readonly { leaderIndex: number; timeMs: number }[]) =>
          all.map(({ leaderIndex, timeMs }) => [leaderIndex, timeMs]);
        deepEqual(places(readReplicatedEntry(sequence)), places(entries));
        for (const each of marshalled)
          deepEqual(places(readReplicatedEntry(encodeStamped(each))), places([each]));
      }),
    );
  });

  test('that the leader cluster itself had is one command, whatever it holds', () => {
    const command = mvcc.Command.encode(
      mvcc.Command.fromPartial({
        type: mvcc.Command_CommandType.SEQUENCE,
        leaderIndex: 7n,
        sequence: [{ leaderIndex: 3n }, { leaderIndex: 4n }],
      }),
    ).finish() as Buffer;
    const found = readReplicatedEntry(encodeStamped({ leaderIndex: 7, timeMs: 99, command }));
    expect(found).toMatchObject([{ leaderIndex: 7, timeMs: 99 }]);
  });

  test('is read back from bytes of any kind, or refused as no message', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
        try {
          for (const { leaderIndex } of readReplicatedEntry(Buffer.from(bytes)))
            expect(leaderIndex).toBeGreaterThan(0);
        } catch (error) {
          expect(error).toBeInstanceOf(WireError);
        }
      }),
    );
  });
});
