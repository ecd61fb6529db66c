/*
 * Framed snappy as its own description has it (google/snappy: framing_format.txt, format_description.txt), made for
 * the stock peers of these tests, so that ours is read and fed by another hand than its own.
 */
const identifier = Buffer.from('ff060000734e61507059', 'hex');
const BLOCK_BYTES_MAX = 65_536;
const COMPRESSED = 0x00;
const PLAIN = 0x01;
const FIRST_SKIPPABLE = 0x80;

/** Makes a stream of uncompressed blocks. */
export function frame(bytes: Buffer): Buffer {
  const parts: Buffer[] = [identifier];
  for (let at = 0; at < bytes.length; at += BLOCK_BYTES_MAX) {
    const block = bytes.subarray(at, at + BLOCK_BYTES_MAX);
    const header = Buffer.alloc(8);
    header[0] = PLAIN;
    header.writeUIntLE(4 + block.length, 1, 3);
    header.writeUInt32LE(maskedChecksum(block), 4);
    parts.push(header, block);
  }
  return Buffer.concat(parts);
}

/** Returns the plain bytes of a stream. */
export function unframe(stream: Buffer): Buffer {
  if (!stream.subarray(0, identifier.length).equals(identifier)) throw new Error('no framed snappy');
  const blocks: Buffer[] = [];
  for (let at = identifier.length; at < stream.length; ) {
    const type = stream[at]!;
    const end = at + 4 + stream.readUIntLE(at + 1, 3);
    if (end > stream.length) throw new Error('the stream breaks off');
    if (type < FIRST_SKIPPABLE) {
      const body = stream.subarray(at + 8, end);
      const block = type === COMPRESSED ? uncompress(body) : body;
      if (maskedChecksum(block) !== stream.readUInt32LE(at + 4)) throw new Error('a wrong checksum');
      blocks.push(block);
    }
    at = end;
  }
  return Buffer.concat(blocks);
}

/** Uncompresses one block: its plain length as a varint, then literals and copies. */
function uncompress(body: Buffer): Buffer {
  let at = 0;
  let length = 0;
  for (let shift = 0; ; shift += 7) {
    const byte = body[at++]!;
    length += (byte & 0x7f) * 2 ** shift;
    if (byte < 0x80) break;
  }
  const result = Buffer.alloc(length);
  let to = 0;
  while (at < body.length) {
    const tag = body[at++]!;
    let count = tag >>> 2;
    if ((tag & 3) === 0) {
      if (count >= 60) {
        const bytes = count - 59;
        count = body.readUIntLE(at, bytes);
        at += bytes;
      }
      to += body.copy(result, to, at, at + count + 1);
      at += count + 1;
      continue;
    }
    let offset: number;
    if ((tag & 3) === 1) {
      offset = ((tag >>> 5) << 8) | body[at++]!;
      count = (count & 7) + 3;
    } else {
      const bytes = (tag & 3) === 2 ? 2 : 4;
      offset = body.readUIntLE(at, bytes);
      at += bytes;
    }
    // Byte by byte: a copy may take from what it has just written.
    for (let left = count + 1; left > 0; left--, to++) result[to] = result[to - offset]!;
  }
  if (to !== length) throw new Error('a block of another length than it says');
  return result;
}

const table = Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ ((crc & 1) * 0x82f63b78);
  return crc >>> 0;
});

/** Returns the CRC-32C, disguised as the format wants it. */
function maskedChecksum(bytes: Buffer): number {
  let crc = 0xffffffff;
  for (const byte of bytes) crc = (crc >>> 8) ^ table[(crc ^ byte) & 0xff]!;
  crc = ~crc >>> 0;
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
}
