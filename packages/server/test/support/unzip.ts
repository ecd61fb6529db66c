const CENTRAL_HEADER = 0x02014b50;
const END = 0x06054b50;
const LOCAL_HEADER_BYTES = 30;
const CENTRAL_HEADER_BYTES = 46;
/** The extra field in which ZIP64 has the sizes and the place of an entry. */
const ZIP64_FIELD = 1;

/** The files of a ZIP whose entries are stored as they are and described in the form of ZIP64, by name. */
export function unzipStored(zip: Buffer): Map<string, Buffer> {
  const files = new Map<string, Buffer>();
  const end = zip.lastIndexOf(Buffer.from(Uint32Array.of(END).buffer));
  let at = zip.readUInt32LE(end + 16);
  while (zip.readUInt32LE(at) === CENTRAL_HEADER) {
    const nameLength = zip.readUInt16LE(at + 28);
    const extraLength = zip.readUInt16LE(at + 30);
    const commentLength = zip.readUInt16LE(at + 32);
    const nameEnd = at + CENTRAL_HEADER_BYTES + nameLength;
    const name = zip.toString('utf8', at + CENTRAL_HEADER_BYTES, nameEnd);
    if (zip.readUInt16LE(at + 10) !== 0) throw new Error(`${name} is compressed`);
    const field = fieldOf(zip.subarray(nameEnd, nameEnd + extraLength));
    const sizeBytes = Number(field.readBigUInt64LE(0));
    const place = Number(field.readBigUInt64LE(16));
    const begin = place + LOCAL_HEADER_BYTES + zip.readUInt16LE(place + 26) + zip.readUInt16LE(place + 28);
    files.set(name, zip.subarray(begin, begin + sizeBytes));
    at = nameEnd + extraLength + commentLength;
  }
  return files;
}

/** The content of the field of ZIP64 among the extra fields of an entry. */
function fieldOf(extra: Buffer): Buffer {
  for (let at = 0; at < extra.length; at += 4 + extra.readUInt16LE(at + 2)) {
    if (extra.readUInt16LE(at) === ZIP64_FIELD) return extra.subarray(at + 4);
  }
  throw new Error('an entry has no field of ZIP64');
}
