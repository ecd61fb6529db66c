import { afterEach, describe, expect, jest, test } from '@jest/globals';
import { MessageReader, MessageTooLargeError, type ReceivedMessage } from '../src/message-reader.js';

const MAX_BYTES = 4 * 1024 * 1024;

function framed(bytes: Buffer, flag = 0): Buffer {
  const prefix = Buffer.alloc(5);
  prefix[0] = flag;
  prefix.writeUInt32BE(bytes.length, 1);
  return Buffer.concat([prefix, bytes]);
}

function takeAll(reader: MessageReader): ReceivedMessage[] {
  const messages: ReceivedMessage[] = [];
  for (let message = reader.next(); message !== undefined; message = reader.next()) messages.push(message);
  return messages;
}

function pushInPieces(
  reader: MessageReader,
  body: Buffer,
  pieceBytes: number,
  onPiece: () => unknown = () => undefined,
): void {
  for (let position = 0; position < body.length; position += pieceBytes) {
    reader.push(body, position, Math.min(body.length, position + pieceBytes));
    onPiece();
  }
}

describe('a reader of messages', () => {
  afterEach(() => {
    jest.restoreAllMocks();
  });

  const sent = [
    { isCompressed: false, bytes: Buffer.from('first') },
    { isCompressed: true, bytes: Buffer.alloc(0) },
    { isCompressed: false, bytes: Buffer.from('the third message') },
  ];
  const body = Buffer.concat(sent.map(({ isCompressed, bytes }) => framed(bytes, isCompressed ? 1 : 0)));

  test.each(Array.from({ length: body.length }, (_, index) => index + 1))(
    'gives the same messages of pieces of %d bytes, whenever they are taken',
    (pieceBytes) => {
      const late = new MessageReader(MAX_BYTES);
      pushInPieces(late, body, pieceBytes);
      expect(late.isEmpty).toBe(false);
      expect(takeAll(late)).toEqual(sent);
      expect(late.takenBytes).toBe(5 + sent[2]!.bytes.length);
      expect(late.isEmpty).toBe(true);

      const reader = new MessageReader(MAX_BYTES);
      const atOnce: ReceivedMessage[] = [];
      pushInPieces(reader, body, pieceBytes, () => atOnce.push(...takeAll(reader)));
      expect(atOnce).toEqual(sent);
      expect(reader.isEmpty).toBe(true);
    },
  );

  test('is not empty while a message, or only its prefix, is not whole', () => {
    for (const length of [1, 4, 5, 9]) {
      const reader = new MessageReader(MAX_BYTES);
      reader.push(body, 0, length);
      expect(reader.next()).toBeUndefined();
      expect(reader.isEmpty).toBe(false);
    }
  });

  test('refuses a message that is too long when it is announced, behind those before it', () => {
    const reader = new MessageReader(10);
    reader.push(Buffer.concat([framed(Buffer.from('fits')), Buffer.from([0, 0, 0, 0, 11])]), 0, 14);
    expect(reader.next()?.bytes.toString()).toBe('fits');
    expect(() => reader.next()).toThrow(
      new MessageTooLargeError('Received message larger than max (11 vs 10)'),
    );
  });

  test('refuses a flag that is none', () => {
    const reader = new MessageReader(MAX_BYTES);
    reader.push(framed(Buffer.from('x'), 2), 0, 6);
    expect(() => reader.next()).toThrow('the flag before a message is neither 0 nor 1');
  });

  /** What is reserved while `act` runs. */
  function reservedBytes(act: () => void): number {
    const allocate = jest.spyOn(Buffer, 'allocUnsafe');
    act();
    return allocate.mock.calls.reduce((sum, [bytes]) => sum + bytes, 0);
  }

  test('copies long messages about once, also while nobody takes them', () => {
    const messages = Buffer.concat(Array.from({ length: 8 }, () => framed(Buffer.alloc(1024 * 1024))));
    const reader = new MessageReader(MAX_BYTES);
    expect(reservedBytes(() => pushInPieces(reader, messages, 16_384))).toBeLessThan(1.25 * messages.length);
    expect(takeAll(reader)).toHaveLength(8);
  });

  test('reserves little for a message that only announces to be long', () => {
    const beginning = framed(Buffer.alloc(MAX_BYTES)).subarray(0, 1_000);
    const reader = new MessageReader(MAX_BYTES);
    expect(reservedBytes(() => pushInPieces(reader, beginning, 100))).toBeLessThan(20 * beginning.length);
  });
});
