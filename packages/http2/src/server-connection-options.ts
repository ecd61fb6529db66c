import type { HeldMemory } from './held-memory.js';
import type { ServerStream, StreamListener } from './server-stream.js';

export interface ServerConnectionOptions {
  /** The most requests under way at the same time; 0 means no limit. */
  readonly streamsMax: number;
  /** Bytes that the client may send on one stream before they are consumed, see `ServerStream.consume`. */
  readonly streamWindowBytes: number;
  /**
   * Counts the memory of the streams of this connection and others: requests until they are answered, and answers until
   * they are sent.
   */
  readonly memory: HeldMemory;
  /** Called when the headers of a request have come. Returns the receiver of its body. */
  readonly onRequest: (stream: ServerStream) => StreamListener;
}
