/**
 * The length in bits of each symbol's code (RFC 7541, Appendix B), one base-36 digit per symbol, 0 to 255 and
 * then EOS. The code is canonical: within a length, codes are consecutive in symbol order, and each length
 * goes on where the shorter one ended. So the lengths alone define it.
 */
const CODE_LENGTHS_BITS = [
  'dnsssssssoussuss',
  'ssssssusssssssss',
  '6aacd68baa8b8666',
  '555666666678f6ca',
  'd677777777777777',
  '77777777878djde6',
  'f565656665776665',
  '67655677777fbeds',
  'kmkkmmmnmnnnnnon',
  'oomnonnnnlmnmnno',
  'mlkmmnnlnmmolmnn',
  'llmlnmnnkmmmnmmn',
  'qqkjmnmpqqqrrqop',
  'jlqrrqrollqqsrrr',
  'koklmllnmmppooqn',
  'qrqqrrrrrsrrrrrq',
  'u',
].join('');

const LENGTH_BITS_MIN = 5;
const LENGTH_BITS_MAX = 30;
const END_OF_STRING = 256;

/** The symbols in the order of their codes. */
const symbols: number[] = [];
/** By length: the first code of that length, the number of codes, and the place of the first one in `symbols`. */
const firstCode: number[] = [];
const codeCount: number[] = [];
const firstSymbol: number[] = [];

for (let length = 0, code = 0; length <= LENGTH_BITS_MAX; length++) {
  code *= 2;
  firstCode[length] = code;
  firstSymbol[length] = symbols.length;
  for (let symbol = 0; symbol <= END_OF_STRING; symbol++) {
    if (Number.parseInt(CODE_LENGTHS_BITS.charAt(symbol), 36) === length) symbols.push(symbol);
  }
  codeCount[length] = symbols.length - firstSymbol[length]!;
  code += codeCount[length]!;
}

/**
 * Decodes a Huffman-coded header string (RFC 7541, 5.2). Bit by bit, since a connection's dynamic table makes
 * coded strings rare after its first responses.
 *
 * @throws Error when the string holds EOS or its padding is not up to seven 1 bits.
 */
export function decodeHuffman(bytes: Uint8Array, start: number, end: number): string {
  // Written into one flat buffer: a large string that is joined symbol by symbol takes 30 times its length in memory.
  const decoded = Buffer.allocUnsafe(Math.ceil(((end - start) * 8) / LENGTH_BITS_MIN));
  let size = 0;
  let code = 0;
  let length = 0;
  for (let position = start; position < end; position++) {
    const byte = bytes[position]!;
    for (let bit = 7; bit >= 0; bit--) {
      code = code * 2 + ((byte >> bit) & 1);
      length++;
      if (length > LENGTH_BITS_MAX) throw new Error('HPACK: no such Huffman code');
      const rank = code - firstCode[length]!;
      if (rank >= codeCount[length]!) continue;
      const symbol = symbols[firstSymbol[length]! + rank]!;
      if (symbol === END_OF_STRING) throw new Error('HPACK: EOS inside a string');
      decoded[size++] = symbol;
      code = 0;
      length = 0;
    }
  }
  if (length > 7 || code !== 2 ** length - 1) throw new Error('HPACK: bad Huffman padding');
  return decoded.toString('latin1', 0, size);
}
