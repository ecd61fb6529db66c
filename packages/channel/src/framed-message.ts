import { MESSAGE_PREFIX_BYTES } from '@coxswain/http2';

/** The longest message that is copied after its prefix, so that both leave in one frame. */
const COPIED_BYTES_MAX = 16 * 1024 - MESSAGE_PREFIX_BYTES;

/**
 * Frames a message with gRPC's prefix: returns the buffers to send, in order. The message's bytes must not change
 * afterwards.
 */
export function framedMessage(message: Buffer): readonly Buffer[] {
  const isCopied = message.length <= COPIED_BYTES_MAX;
  const prefix = Buffer.allocUnsafe(MESSAGE_PREFIX_BYTES + (isCopied ? message.length : 0));
  prefix[0] = 0;
  prefix.writeUInt32BE(message.length, 1);
  if (!isCopied) return [prefix, message];
  prefix.set(message, MESSAGE_PREFIX_BYTES);
  return [prefix];
}
