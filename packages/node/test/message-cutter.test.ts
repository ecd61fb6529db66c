import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { MessageCutter } from '../src/adapters/message-cutter.js';
import { MESSAGE_BYTES_MAX } from '../src/adapters/peer-protocol.js';

function message(content: Buffer): Buffer {
  const length = Buffer.alloc(4);
  length.writeUInt32BE(content.length);
  return Buffer.concat([length, content]);
}

function cut(chunks: readonly Buffer[]): Buffer[] {
  const messages: Buffer[] = [];
  const cutter = new MessageCutter((content) => messages.push(content));
  for (const chunk of chunks) expect(cutter.push(chunk)).toBe(true);
  return messages;
}

const bytesOf = (bytes: Buffer): Buffer[] => [...bytes].map((byte) => Buffer.from([byte]));

test('a message that is cut into single bytes', () => {
  const bytes = Buffer.concat([
    message(Buffer.from('one')),
    message(Buffer.alloc(0)),
    message(Buffer.from('two')),
  ]);
  expect(cut(bytesOf(bytes)).map(String)).toEqual(['one', 'two']);
});

test('many messages in one chunk share its memory', () => {
  const contents = Array.from({ length: 1000 }, (_, place) => Buffer.from(`message ${place}`));
  const chunk = Buffer.concat(contents.map(message));
  const messages = cut([chunk]);
  expect(messages).toEqual(contents);
  for (const { buffer } of messages) expect(buffer).toBe(chunk.buffer);
});

test('messages are the same however the bytes arrive', () => {
  fc.assert(
    fc.property(
      fc.array(
        fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes)),
        { maxLength: 20 },
      ),
      fc.array(fc.integer({ min: 1, max: 30 }), { minLength: 1 }),
      (contents, lengths) => {
        const bytes = Buffer.concat(contents.map(message));
        const chunks: Buffer[] = [];
        for (let at = 0; at < bytes.length; ) {
          // Each in memory of its own, as the socket gives them.
          chunks.push(Buffer.from(bytes.subarray(at, at + lengths[chunks.length % lengths.length]!)));
          at += chunks.at(-1)!.length;
        }
        expect(cut(chunks)).toEqual(contents.filter(({ length }) => length > 0));
      },
    ),
  );
});

test('a message of several megabytes, and the one behind it', () => {
  const large = Buffer.alloc(5_000_000, 'abcdefghijk');
  const bytes = Buffer.concat([message(large), message(Buffer.from('next'))]);
  const chunks: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += 65_536) chunks.push(bytes.subarray(at, at + 65_536));
  const messages = cut(chunks);
  expect(messages.map(({ length }) => length)).toEqual([large.length, 4]);
  expect(messages[0]!.equals(large)).toBe(true);
});

test('a message of the largest length is begun, and one byte more is refused, at its length and wherever that is cut', () => {
  const tooLong = Buffer.alloc(4);
  tooLong.writeUInt32BE(MESSAGE_BYTES_MAX + 1);
  const longest = Buffer.alloc(4);
  longest.writeUInt32BE(MESSAGE_BYTES_MAX);
  for (let first = 1; first <= 4; first++) {
    for (const [length, isTaken] of [
      [longest, true],
      [tooLong, false],
    ] as const) {
      const cutter = new MessageCutter(() => undefined);
      cutter.push(message(Buffer.from('before')));
      const isFirstTaken = cutter.push(length.subarray(0, first));
      expect(isFirstTaken && cutter.push(length.subarray(first))).toBe(isTaken);
    }
  }
});

test('a length that is merely claimed takes little memory', () => {
  const longest = Buffer.alloc(5);
  longest.writeUInt32BE(MESSAGE_BYTES_MAX);
  const before = process.memoryUsage().arrayBuffers;
  const cutters = Array.from({ length: 20 }, () => new MessageCutter(() => undefined));
  for (const cutter of cutters) expect(cutter.push(longest)).toBe(true);
  expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(cutters.length * 2 * 1024 * 1024);
});
