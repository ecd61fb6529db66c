const MAGIC = 0xfd2fb528;
/** The first of the 16 numbers with which skippable frames begin, up to 15 above it. */
const SKIPPABLE_MAGIC = 0x184d2a50;
const DICTIONARY_ID_BYTES = [0, 1, 2, 4];
const CONTENT_SIZE_BYTES = [0, 2, 4, 8];
const RLE_BLOCK = 1;

/**
 * Returns the size in bytes of the first zstd frame in `bytes` (RFC 8878, 3.1); undefined when it is cut off or is not
 * a frame. It is counted here because Node's decompressor mistakes a frame that is cut off for a shorter message,
 * without an error (22.23 and 24.10 do; 24.21 does not), and no version reports that a second frame follows. Only the
 * lengths are read here; the decompressor checks the content.
 */
export function zstdFrameBytes(bytes: Buffer): number | undefined {
  if (bytes.length < 5) return undefined;
  const magic = bytes.readUInt32LE(0);
  const end =
    (magic & ~0xf) === SKIPPABLE_MAGIC ? skippableEnd(bytes) : magic === MAGIC ? dataEnd(bytes) : undefined;
  return end !== undefined && end <= bytes.length ? end : undefined;
}

function skippableEnd(bytes: Buffer): number | undefined {
  return bytes.length < 8 ? undefined : 8 + bytes.readUInt32LE(4);
}

function dataEnd(bytes: Buffer): number | undefined {
  const descriptor = bytes[4]!;
  const isSingleSegment = (descriptor & 0x20) !== 0;
  const hasChecksum = (descriptor & 0x04) !== 0;
  const sizeFlag = descriptor >> 6;
  // A single segment has no descriptor of its window, and always has its size.
  const sizeBytes = sizeFlag === 0 && isSingleSegment ? 1 : CONTENT_SIZE_BYTES[sizeFlag]!;
  let at = 5 + (isSingleSegment ? 0 : 1) + DICTIONARY_ID_BYTES[descriptor & 0x03]! + sizeBytes;
  for (;;) {
    if (at + 3 > bytes.length) return undefined;
    const header = bytes.readUIntLE(at, 3);
    at += 3 + (((header >> 1) & 0x03) === RLE_BLOCK ? 1 : header >> 3);
    if ((header & 1) === 1) return at + (hasChecksum ? 4 : 0);
  }
}
