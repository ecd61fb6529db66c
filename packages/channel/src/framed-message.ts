import { MESSAGE_PREFIX_BYTES } from '@coxswain/http2';

/** A message up to this is copied after its prefix, so that it leaves in one frame. */
const COPIED_BYTES_MAX = 16 * 1024 - MESSAGE_PREFIX_BYTES;

/** Gives a message with gRPC's prefix, as pieces that are sent one after the other. The bytes must stay as they are. */
export function framedMessage(message: Buffer): readonly Buffer[] {
  const isCopied = message.length <= COPIED_BYTES_MAX;
  const prefix = Buffer.allocUnsafe(MESSAGE_PREFIX_BYTES + (isCopied ? message.length : 0));
  prefix[0] = 0;
  prefix.writeUInt32BE(message.length, 1);
  if (!isCopied) return [prefix, message];
  prefix.set(message, MESSAGE_PREFIX_BYTES);
  return [prefix];
}
