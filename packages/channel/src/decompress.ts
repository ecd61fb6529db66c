import { CallError } from './call-error.js';
import { Status } from './status.js';

/** The compressions that servers may use for their answers, in the form of grpc-accept-encoding. */
export const ACCEPTED_ENCODINGS = 'identity,deflate,gzip';

/**
 * Decompresses a message of an answer. Rejects with a CallError when the encoding is unknown, the bytes are damaged, or
 * the message is longer than `messageBytesMax`.
 */
export async function decompress(
  encoding: string | undefined,
  bytes: Buffer,
  messageBytesMax: number,
): Promise<Buffer> {
  // Loaded late, since most answers are not compressed.
  const { gunzip, inflate } = await import('node:zlib');
  const algorithm = encoding === 'gzip' ? gunzip : encoding === 'deflate' ? inflate : undefined;
  if (algorithm === undefined) {
    const text = `Received message compressed with unsupported encoding "${encoding ?? 'identity'}"`;
    throw new CallError(Status.UNIMPLEMENTED, text, 'unusable');
  }
  const options = Number.isFinite(messageBytesMax) ? { maxOutputLength: Math.max(messageBytesMax, 1) } : {};
  return await new Promise((resolve, reject) => {
    algorithm(bytes, options, (error: NodeJS.ErrnoException | null, plain) => {
      if (error === null) resolve(plain);
      else if (error.code === 'ERR_BUFFER_TOO_LARGE') {
        const text = `Received message that decompresses to a size larger than ${messageBytesMax}`;
        reject(new CallError(Status.RESOURCE_EXHAUSTED, text, 'unusable', undefined, { cause: error }));
      } else {
        const text = `Failed to decompress ${encoding}-encoded message`;
        reject(new CallError(Status.INTERNAL, text, 'unusable', undefined, { cause: error }));
      }
    });
  });
}
