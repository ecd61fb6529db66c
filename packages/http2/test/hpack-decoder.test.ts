import { describe, expect, test } from '@jest/globals';
import { HpackDecoder } from '../src/hpack-decoder.js';

function decode(decoder: HpackDecoder, hex: string): string[] {
  const block = Buffer.from(hex.replaceAll(' ', ''), 'hex');
  const fields: string[] = [];
  decoder.decode(block, 0, block.length, (name, value) => fields.push(`${name}: ${value}`));
  return fields;
}

const EXAMPLE = [':method: GET', ':scheme: http', ':path: /', ':authority: www.example.com'];
const LOCATION = 'location: https://www.example.com';

describe('the HPACK decoder', () => {
  test('reads literals without Huffman coding (RFC 7541, C.3)', () => {
    const decoder = new HpackDecoder();
    expect(decode(decoder, '8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d')).toEqual(EXAMPLE);
    expect(decode(decoder, '8286 84be 5808 6e6f 2d63 6163 6865')).toEqual([
      ...EXAMPLE,
      'cache-control: no-cache',
    ]);
  });

  test('reads Huffman-coded literals and keeps them for later blocks (RFC 7541, C.4)', () => {
    const decoder = new HpackDecoder();
    expect(decode(decoder, '8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff')).toEqual(EXAMPLE);
    expect(decode(decoder, '8286 84be 5886 a8eb 1064 9cbf')).toEqual([...EXAMPLE, 'cache-control: no-cache']);
    expect(decode(decoder, '8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf')).toEqual([
      ':method: GET',
      ':scheme: https',
      ':path: /index.html',
      ':authority: www.example.com',
      'custom-key: custom-value',
    ]);
  });

  test('evicts the oldest entries when the table is full (RFC 7541, C.6)', () => {
    const decoder = new HpackDecoder(256);
    const date = (second: number) => `date: Mon, 21 Oct 2013 20:13:${second} GMT`;
    expect(
      decode(
        decoder,
        '4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6' +
          '2d1b ff6e 919d 29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3',
      ),
    ).toEqual([':status: 302', 'cache-control: private', date(21), LOCATION]);
    expect(decode(decoder, '4883 640e ffc1 c0bf')).toEqual([
      ':status: 307',
      'cache-control: private',
      date(21),
      LOCATION,
    ]);
    expect(
      decode(
        decoder,
        '88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab' +
          '77ad 94e7 821d d7f2 e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f' +
          '9587 3160 65c0 03ed 4ee5 b106 3d50 07',
      ),
    ).toEqual([
      ':status: 200',
      'cache-control: private',
      date(22),
      LOCATION,
      'content-encoding: gzip',
      'set-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1',
    ]);
    // 62 to 64 are set-cookie, content-encoding and date; everything older has been evicted.
    expect(decode(decoder, 'c0')).toEqual([date(22)]);
    expect(() => decode(decoder, 'c1')).toThrow('no table entry 65');
  });

  test('empties the table when the peer sets its size to 0', () => {
    const decoder = new HpackDecoder();
    decode(decoder, '4001 6101 62');
    expect(decode(decoder, 'be')).toEqual(['a: b']);
    decode(decoder, '20');
    expect(() => decode(decoder, 'be')).toThrow('no table entry 62');
  });

  test('reads lengths that take several bytes', () => {
    const value = 'x'.repeat(300);
    const block = Buffer.concat([Buffer.from([0, 1, 0x61, 0x7f, 0xad, 0x01]), Buffer.from(value)]);
    expect(decode(new HpackDecoder(), block.toString('hex'))).toEqual([`a: ${value}`]);
  });

  test.each([
    ['a truncated string', '0001 61 05 62', 'truncated'],
    ['a truncated integer', '7f', 'truncated'],
    ['an endless integer', `00 7f ${'ff'.repeat(9)}`, 'too large'],
    ['an index of nothing', '80', 'no table entry 0'],
    ['a table resized after a field (RFC 7541, 4.2)', '82 20', 'inside'],
    ['a table larger than allowed', '3fe2 1f', 'above the limit'],
    ['Huffman padding of 0 bits', '0001 61 81 18', 'padding'],
    ['Huffman padding of 8 bits', '0001 61 82 1f ff', 'padding'],
    ['EOS in a string', '0001 61 84 ffff ffff', 'EOS'],
  ])('refuses %s', (_case, hex, message) => {
    expect(() => decode(new HpackDecoder(), hex)).toThrow(message);
  });
});
