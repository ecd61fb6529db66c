/**
 * Decodes lines of uuencode without header and end, as POSIX defines them: a line begins with a character that says how
 * many bytes it holds, groups of four characters are three bytes, and a character is its six bits above the space; a
 * grave accent means 0, as the space does. Throws where a line is not as long as it says.
 */
export function uudecode(text: Buffer): Buffer {
  const pieces: Buffer[] = [];
  for (let at = 0; at < text.length; ) {
    const end = text.indexOf('\n', at);
    if (end < 0) throw new Error('the last line of the uuencoded text does not end');
    const bytes = bitsOf(text, at);
    const groups = Math.ceil(bytes / 3);
    if (end !== at + 1 + 4 * groups)
      throw new Error(`a line of uuencode says ${bytes} bytes and is ${end - at} long`);
    const decoded = Buffer.alloc(3 * groups);
    for (let group = 0; group < groups; group++) {
      let bits = 0;
      for (let place = 0; place < 4; place++) bits = (bits << 6) | bitsOf(text, at + 1 + 4 * group + place);
      decoded.writeUIntBE(bits, 3 * group, 3);
    }
    pieces.push(decoded.subarray(0, bytes));
    at = end + 1;
  }
  return Buffer.concat(pieces);
}

function bitsOf(text: Buffer, at: number): number {
  const character = text[at]!;
  if (character < 0x20 || character > 0x60) throw new Error(`byte ${character} is no character of uuencode`);
  return (character - 0x20) & 0x3f;
}
