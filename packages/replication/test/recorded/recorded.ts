import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const folder = join(dirname(fileURLToPath(import.meta.url)), '../../../test/recorded');
const PREFIX_BYTES = 5;

/** The bytes of a recorded stream: hexadecimal digits, with comments that say what they mean. */
export function recordedBytes(name: string): Buffer<ArrayBuffer> {
  const digits = readFileSync(join(folder, `${name}.hex`), 'utf8')
    .replaceAll(/#.*/g, '')
    .replaceAll(/\s/g, '');
  const bytes = Buffer.from(digits, 'hex');
  if (bytes.length * 2 !== digits.length) throw new Error(`${name}.hex holds something else than digits`);
  return bytes;
}

/** The messages of a recorded gRPC stream: each behind a byte (0: not compressed) and its length, big-endian. */
export function recordedMessages(name: string): Buffer<ArrayBuffer>[] {
  const bytes = recordedBytes(name);
  const messages: Buffer<ArrayBuffer>[] = [];
  let at = 0;
  while (at < bytes.length) {
    const end = at + PREFIX_BYTES + bytes.readUInt32BE(at + 1);
    if (bytes[at] !== 0 || end > bytes.length) throw new Error(`${name}.hex is no stream of messages`);
    messages.push(bytes.subarray(at + PREFIX_BYTES, end));
    at = end;
  }
  return messages;
}
