import { describe, expect, test } from '@jest/globals';
import { parseTxnText } from '../src/txn-text.js';

/** Returns the key and the value of the only put of a transaction. */
function put(line: string, isHex = false): [Buffer, Buffer] {
  const { request } = parseTxnText(`\n${line}\n`, isHex).success[0]!;
  if (request?.$case !== 'requestPut') throw new Error('not a put');
  return [request.value.key, request.value.value];
}

describe('the text form of txn', () => {
  test.each([
    ['put k v', 'k', 'v'],
    ['put "a b" \'c "d"\'', 'a b', 'c "d"'],
    ['put "\\x00\\xff" "\\n\\"\\\\x41\\u00e9"', '\0\xff', '\n"\\x41\xc3\xa9'],
    ['put "\\ud83d\\ude00" ""', '\xf0\x9f\x98\x80', ''],
    ['put é "--prefix"', '\xc3\xa9', '--prefix'],
  ])('takes any bytes: %s', (line, key, value) => {
    expect(put(line)).toEqual([Buffer.from(key, 'latin1'), Buffer.from(value, 'latin1')]);
  });

  test.each(['put 00ff 0a0d', 'put "00ff" \'0a0d\'', 'put \\x00\\xFF "\\x0a\\x0d"'])(
    'takes hexadecimal digits with --hex: %s',
    (line) => {
      expect(put(line, true)).toEqual([Buffer.from([0, 0xff]), Buffer.from([10, 13])]);
    },
  );

  test('reads keys and values of compares and ranges as those of puts', () => {
    const text = 'value("00ff") = "0a"\nmod(00ff) > "3"\n\nget 00 --prefix\ndel 00 ff\n';
    const { compares, success } = parseTxnText(text, true);
    expect(compares.map(({ key }) => key)).toEqual([Buffer.from([0, 0xff]), Buffer.from([0, 0xff])]);
    expect(compares[0]!.targetUnion).toEqual({ $case: 'value', value: Buffer.from([10]) });
    expect(compares[1]!.targetUnion).toEqual({ $case: 'modRevision', value: 3n });
    expect(success[0]!.request?.value).toMatchObject({ key: Buffer.from([0]), rangeEnd: Buffer.from([1]) });
    expect(success[1]!.request?.value).toMatchObject({
      key: Buffer.from([0]),
      rangeEnd: Buffer.from([0xff]),
    });
  });

  test.each([
    ['put 0 00', true, '--hex: keys and values must be pairs of hexadecimal digits'],
    ['put "\\q" v', false, 'txn: not a quoted text'],
    ['put "a b', false, 'txn: a quote is not closed: "a'],
    ["put k 'v", false, "txn: a quote is not closed: 'v"],
    ['put k v --colour', false, 'txn: unknown flag --colour'],
  ])('refuses %s', (line, isHex, reason) => {
    expect(() => put(line, isHex)).toThrow(reason);
  });

  test('refuses a compare with a quote that is not closed, which would hold of other values', () => {
    expect(() => parseTxnText('value("k") = "1\n\nput hit 1\n', false)).toThrow('a quote is not closed');
  });
});
