/** The fields that HPACK's static table holds with this value (RFC 7541, Appendix A). */
const INDEXED: ReadonlyMap<string, number> = new Map([
  [':status 200', 8],
  [':status 400', 12],
]);
const STATUS_INDEX = 8;
/** A literal that enters no table, with a name of its own or one from the static table (RFC 7541, 6.2.2). */
const LITERAL = 0x00;
const STRING_PREFIX_MAX = 0x7f;
const INDEXED_FLAG = 0x80;

/**
 * Encodes a header block that changes no table: literals without indexing and without Huffman coding. The block is
 * valid on any connection, so a block that is always the same is made once, and no encoder's state has to be kept.
 */
export function encodeHeaders(fields: readonly (readonly [name: string, value: string])[]): Buffer {
  const bytes: number[] = [];
  for (const [name, value] of fields) {
    const index = INDEXED.get(`${name} ${value}`);
    if (index !== undefined) {
      bytes.push(INDEXED_FLAG | index);
      continue;
    }
    if (name === ':status') {
      bytes.push(LITERAL | STATUS_INDEX);
    } else {
      bytes.push(LITERAL);
      pushString(bytes, name);
    }
    pushString(bytes, value);
  }
  return Buffer.from(bytes);
}

function pushString(bytes: number[], text: string): void {
  pushInteger(bytes, text.length, STRING_PREFIX_MAX);
  for (let at = 0; at < text.length; at++) bytes.push(text.charCodeAt(at) & 0xff);
}

/** Appends an integer with a prefix (RFC 7541, 5.1). */
function pushInteger(bytes: number[], value: number, prefixMax: number): void {
  if (value < prefixMax) {
    bytes.push(value);
    return;
  }
  bytes.push(prefixMax);
  let rest = value - prefixMax;
  for (; rest >= 0x80; rest >>>= 7) bytes.push((rest & 0x7f) | 0x80);
  bytes.push(rest);
}
