// Jest's `expect` takes many times as long as these, which counts where values are compared by the thousand.
import { deepEqual, equal, match, throws } from 'node:assert/strict';
import { EntryType, type Message } from '@coxswain/raft';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import {
  type FrameHeader,
  FrameReader,
  FrameWriter,
  NO_CLUSTER,
  type PeerMessage,
} from '../src/cluster/frame.js';

const header: FrameHeader = {
  clusterId: 'ab'.repeat(16),
  from: 7,
  incarnation: '0123456789abcdef',
  boot: 'fedcba9876543210',
  metaApplied: 42,
  position: 12345,
  timeMs: 1_700_000_000_000,
  isAdmitted: true,
};

const from = header.from;
const TO = 3;
const number = fc.oneof(fc.nat(), fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER }));
const bytes = fc.uint8Array({ maxLength: 64 }).map((array) => Buffer.from(array));
const context = fc.string({ unit: 'binary-ascii', maxLength: 40 });
const addressed = { from: fc.constant(from), to: fc.constant(TO), term: number };

const startRecord = fc.record({
  member: fc.nat(),
  number,
  boot: fc.constantFrom('0123456789abcdef', 'fedcba9876543210'),
  position: number,
  tookPart: fc.boolean(),
});

const raftMessage: fc.Arbitrary<Message> = fc.oneof(
  fc
    .record({
      ...addressed,
      type: fc.constant('append' as const),
      prevIndex: fc.nat(),
      prevTerm: number,
      commit: number,
      isToAnswer: fc.boolean(),
      entries: fc.array(
        fc.record({ term: number, type: fc.constantFrom(EntryType.Empty, EntryType.Normal), data: bytes }),
        { maxLength: 5 },
      ),
    })
    .map(({ entries, ...rest }) => ({
      ...rest,
      entries: entries.map((entry, i) => ({ index: rest.prevIndex + 1 + i, ...entry })),
    })),
  fc.record({
    ...addressed,
    type: fc.constant('appendResponse' as const),
    index: number,
    rejected: fc.boolean(),
    hintIndex: number,
    hintTerm: number,
  }),
  fc.record({ ...addressed, type: fc.constant('heartbeat' as const), commit: number, context }),
  fc.record({ ...addressed, type: fc.constant('heartbeatResponse' as const), commit: number, context }),
  fc.record({ ...addressed, type: fc.constant('preVote' as const), lastIndex: number, lastTerm: number }),
  fc.record({
    ...addressed,
    type: fc.constant('vote' as const),
    lastIndex: number,
    lastTerm: number,
    isTransfer: fc.boolean(),
  }),
  fc.record({ ...addressed, type: fc.constant('timeoutNow' as const) }),
  fc.record({
    ...addressed,
    type: fc.constantFrom('voteResponse' as const, 'preVoteResponse' as const),
    granted: fc.boolean(),
  }),
  fc.record({ ...addressed, type: fc.constant('readIndex' as const), context }),
  fc.record({ ...addressed, type: fc.constant('readIndexResponse' as const), context, index: number }),
);

const peerMessage: fc.Arbitrary<PeerMessage> = fc.oneof(
  fc.record({ type: fc.constant('raft' as const), group: number, message: raftMessage }),
  fc.record({
    type: fc.constant('forward' as const),
    group: number,
    term: number,
    settledBelow: number,
    proposals: fc.array(
      fc.record({
        sequence: number,
        kind: fc.nat(3),
        cursor: fc.option(number, { nil: undefined }),
        command: bytes,
      }),
      { maxLength: 4 },
    ),
  }),
  fc.record({
    type: fc.constant('traces' as const),
    group: number,
    traces: fc.array(fc.record({ sequence: number, traceparent: context }), { maxLength: 4 }),
  }),
  fc.record({
    type: fc.constant('refused' as const),
    group: number,
    term: number,
    isBusy: fc.boolean(),
    sequences: fc.array(number, { maxLength: 4 }),
  }),
  fc.record({ type: fc.constant('quiesce' as const), group: number, term: number, commit: number }),
  fc.record({ type: fc.constant('snapshotWanted' as const), group: number }),
  fc.record({
    type: fc.constant('hello' as const),
    genesis: fc.option(fc.string({ unit: 'binary-ascii', minLength: 1 }), { nil: undefined }),
    members: fc.array(fc.nat(), { maxLength: 4 }),
    nonce: context,
    echo: context,
  }),
  fc.record({
    type: fc.constant('introduce' as const),
    number,
    judged: fc.option(startRecord, { nil: undefined }),
  }),
  fc.record({ type: fc.constant('records' as const), records: fc.array(startRecord, { maxLength: 4 }) }),
  fc.record({ type: fc.constant('ask' as const), id: number, topic: context, body: bytes }),
  fc.record({ type: fc.constant('answer' as const), id: number, body: bytes }),
);

function write(writer: FrameWriter, message: PeerMessage): void {
  switch (message.type) {
    case 'raft':
      writer.raft(message.group, message.message);
      return;
    case 'forward':
      writer.forward(message);
      return;
    case 'traces':
      writer.traces(message);
      return;
    case 'refused':
      writer.refused(message);
      return;
    case 'quiesce':
      writer.quiesce(message.group, message.term, message.commit);
      return;
    case 'snapshotWanted':
      writer.snapshotWanted(message.group);
      return;
    case 'hello':
      writer.hello(message);
      return;
    case 'introduce':
      writer.introduce(message);
      return;
    case 'records':
      writer.records(message.records);
      return;
    case 'ask':
      writer.ask(message);
      return;
    case 'answer':
      writer.answer(message);
      return;
  }
}

function readAll(frame: Buffer): PeerMessage[] {
  const reader = new FrameReader(frame, TO);
  const messages: PeerMessage[] = [];
  while (!reader.isAtEnd) messages.push(reader.next());
  return messages;
}

/** The bytes of one message, without the frame's header. */
function encode(message: PeerMessage): Buffer {
  const writer = new FrameWriter(TO);
  write(writer, message);
  return writer.take(header).subarray(61);
}

const asBody = (array: Uint8Array): Buffer => Buffer.from(array);

describe('a peer frame', () => {
  test('carries every kind of message, in order, and says who speaks (T4)', () => {
    fc.assert(
      fc.property(fc.array(peerMessage, { maxLength: 8 }), (messages) => {
        const writer = new FrameWriter(TO);
        for (const message of messages) write(writer, message);
        const frame = writer.take(header);
        deepEqual(new FrameReader(frame, TO).header, header);
        expect(readAll(frame)).toEqual(messages);
        equal(writer.isEmpty, true);
      }),
      { numRuns: 300 },
    );
  });

  test('has these bytes for a transfer of leadership: what nodes of one version exchange must not change', () => {
    const hex = (message: Message) =>
      encode({ type: 'raft', group: 10_001, message }).subarray(1).toString('hex');
    const group = '000000008088c340';
    const [three, four, nine] = ['0000000000000840', '0000000000001040', '0000000000002240'];
    expect(hex({ type: 'timeoutNow', from, to: TO, term: 3 })).toBe(`0b${group}${three}`);
    const vote = { from, to: TO, term: 4, lastIndex: 9, lastTerm: 3 };
    const election = `${group}${four}${nine}${three}`;
    expect(hex({ type: 'vote', ...vote, isTransfer: true })).toBe(`03${election}01`);
    expect(hex({ type: 'vote', ...vote, isTransfer: false })).toBe(`03${election}00`);
    expect(hex({ type: 'preVote', ...vote })).toBe(`01${election}`);
  });

  test('without messages is a sign of life', () => {
    const frame = new FrameWriter(TO).take({ ...header, clusterId: NO_CLUSTER });
    expect(readAll(frame)).toEqual([]);
    expect(new FrameReader(frame, TO).header.clusterId).toBe(NO_CLUSTER);
  });

  test('that is cut short is refused and never read beyond its end', () => {
    fc.assert(
      fc.property(
        peerMessage,
        fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true }),
        (message, part) => {
          const writer = new FrameWriter(TO);
          write(writer, message);
          const frame = writer.take(header);
          const cut = frame.subarray(0, Math.floor(frame.length * part));
          // At the end of the header there is a shorter but whole frame.
          if (cut.length === 62) return;
          throws(() => readAll(cut));
        },
      ),
      { numRuns: 300 },
    );
  });

  test('of hostile bytes is refused with an error, and holds nothing but counts in its numbers (T4)', () => {
    const isSound = (value: unknown): boolean =>
      typeof value === 'number'
        ? Number.isSafeInteger(value) && value >= 0
        : Buffer.isBuffer(value) ||
          typeof value !== 'object' ||
          value === null ||
          Object.values(value).every(isSound);
    let refused = 0;
    fc.assert(
      fc.property(
        fc.oneof(peerMessage.map(encode), fc.uint8Array({ maxLength: 200 }).map(asBody)),
        fc.array(
          fc.tuple(fc.nat(), fc.constantFrom(0, 1, 7, 127, 128, 240, 255), fc.integer({ min: 1, max: 8 })),
        ),
        (body, damages) => {
          const frame = Buffer.concat([new FrameWriter(TO).take(header), body]);
          for (const [at, value, length] of damages) {
            const start = at % frame.length;
            frame.fill(value, start, Math.min(frame.length, start + length));
          }
          try {
            equal(
              readAll(frame).every((message) => isSound(message)),
              true,
            );
          } catch (error) {
            // Whatever it is, `Peers` catches it: nothing was believed of the message.
            match(String(error), /peer (frame|message)|out of range|out-of-range|outside buffer bounds/i);
            refused++;
          }
        },
      ),
      { numRuns: 10_000, seed: 7 },
    );
    expect(refused).toBeGreaterThan(1000);
  });

  test('of another version is refused', () => {
    const frame = new FrameWriter(TO).take(header);
    frame[0] = 9;
    expect(() => new FrameReader(frame, TO)).toThrow(/version 9/);
  });
});
