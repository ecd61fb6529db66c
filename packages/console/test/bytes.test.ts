import { describe, expect, test } from '@jest/globals';
import {
  decodeText,
  endOfPrefix,
  formsOf,
  fromBase64,
  fromHex,
  hexDump,
  keyAfter,
  oneLine,
  parseForm,
  pretty,
  toBase64,
  toHex,
} from '../src/web/bytes.js';

const bytes = (text: string): Uint8Array => new Uint8Array(Buffer.from(text));

describe('bytes', () => {
  test('any bytes come back from base64 and from hex', () => {
    const all = Uint8Array.from({ length: 70_000 }, (_, at) => at % 256);
    expect(Buffer.from(fromBase64(toBase64(all)))).toEqual(Buffer.from(all));
    expect(Buffer.from(fromHex(toHex(all)))).toEqual(Buffer.from(all));
    expect(Buffer.from(fromHex(' CA fe\n01'))).toEqual(Buffer.from([0xca, 0xfe, 1]));
    for (const wrong of ['c', 'zz', '0x01']) expect(() => fromHex(wrong)).toThrow('two digits');
  });

  test('only what can be shown as it is counts as text', () => {
    expect(decodeText(bytes('naïve\n\ttext 🙂'))).toBe('naïve\n\ttext 🙂');
    expect(decodeText(Uint8Array.of(0xff))).toBeUndefined();
    expect(decodeText(Uint8Array.of(0xc3))).toBeUndefined();
    expect(decodeText(bytes('a\0b'))).toBeUndefined();
    expect(decodeText(bytes('\u001b[2J'))).toBeUndefined();
    // A mark of the byte order is a part of the text: it must not vanish when the text is stored again.
    expect(decodeText(bytes('\ufeffa'))?.length).toBe(2);
  });

  test('the forms in which a value is shown, the best one first', () => {
    expect(formsOf(bytes('{"a":1}'))).toEqual(['json', 'text', 'hex']);
    expect(formsOf(bytes('plain'))).toEqual(['text', 'hex']);
    expect(formsOf(bytes('{not json'))).toEqual(['text', 'hex']);
    expect(formsOf(Uint8Array.of(0, 1))).toEqual(['hex']);
  });

  test('a line is cut, also within a character, and bytes that are no text are hex', () => {
    expect(oneLine(bytes('a\nb'), 10)).toEqual({ text: 'a b', isHex: false });
    expect(oneLine(bytes('🙂🙂🙂'), 2)).toEqual({ text: '🙂🙂…', isHex: false });
    expect(oneLine(bytes('é🙂').subarray(0, 4), 10, true)).toEqual({ text: 'é…', isHex: false });
    // What is whole and no text is not the beginning of a text.
    expect(oneLine(Uint8Array.of(0, 255), 10)).toEqual({ text: '00ff', isHex: true });
    expect(oneLine(Uint8Array.of(0x61, 0xff), 10)).toEqual({ text: '61ff', isHex: true });
  });

  test('JSON is indented as it is written: numbers stay, and keys that are there twice', () => {
    expect(pretty('{"a":12345678901234567890,"a":[1.50,{}],"b":"x{,}\\""}', 'json')).toBe(
      '{\n  "a": 12345678901234567890,\n  "a": [\n    1.50,\n    {}\n  ],\n  "b": "x{,}\\""\n}',
    );
    expect(() => parseForm('{"a":', 'json')).toThrow('no JSON');
    expect(Buffer.from(parseForm('{"a": 1.50}', 'json')).toString()).toBe('{"a": 1.50}');
  });

  test('a dump has the place, the bytes and the ASCII of each sixteen', () => {
    expect(hexDump(bytes('0123456789abcdefX\n'))).toBe(
      [
        '00000000  30 31 32 33 34 35 36 37  38 39 61 62 63 64 65 66  0123456789abcdef',
        '00000010  58 0a                                             X·',
      ].join('\n'),
    );
  });

  test('the range of a prefix ends where the next prefix begins', () => {
    expect([...endOfPrefix(bytes('aa'))]).toEqual([...bytes('ab')]);
    expect([...endOfPrefix(Uint8Array.of(0x61, 0xff))]).toEqual([0x62]);
    expect([...endOfPrefix(Uint8Array.of(0xff, 0xff))]).toEqual([0]);
    expect([...keyAfter(bytes('a'))]).toEqual([0x61, 0]);
  });
});
