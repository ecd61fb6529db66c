export { ClientConnection, type ClientConnectionOptions } from './client-connection.js';
export { ClientStream, type ClientStreamListener } from './client-stream.js';
export { ConnectionError, ErrorCode } from './errors.js';
export * from './frame.js';
export { FrameReader, type FrameVisitor } from './frame-reader.js';
export { encodeHeaders } from './header-block.js';
export { HeaderListReader } from './header-list.js';
export { HeldMemory, type HeldMemoryOptions } from './held-memory.js';
export { HpackDecoder } from './hpack-decoder.js';
export type { Field } from './hpack-encoder.js';
export {
  MESSAGE_PREFIX_BYTES,
  MessageFlagError,
  MessageReader,
  MessageTooLargeError,
  type ReceivedMessage,
} from './message-reader.js';
export { ServerConnection } from './server-connection.js';
export type { ServerConnectionOptions } from './server-connection-options.js';
export type { ServerStream, StreamListener } from './server-stream.js';
