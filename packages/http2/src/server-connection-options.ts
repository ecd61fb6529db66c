import type { HeldMemory } from './held-memory.js';
import type { ServerStream, StreamListener } from './server-stream.js';

export interface ServerConnectionOptions {
  /** Requests under way at a time; 0: no limit. */
  readonly streamsMax: number;
  /** What one stream may send that is not consumed, see `ServerStream.consume`. */
  readonly streamWindowBytes: number;
  /** What the streams of this connection and others hold, requests until they are answered and answers until they are sent. */
  readonly memory: HeldMemory;
  /** A request's headers have come. Gives what takes the rest of it. */
  readonly onRequest: (stream: ServerStream) => StreamListener;
}
