import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import {
  CLIENT_PREFACE,
  encodeFrame,
  encodeSettings,
  encodeWindowUpdate,
  FrameFlag,
  FrameType,
  Setting,
} from '@coxswain/http2';
import { GrpcRequest } from '../http2/grpc-request.js';
import { serveRequests } from './worker-process.js';

/** Connections whose client greets like any other, asks for answers, and reads none of them. */
export interface UnreadRequest {
  /** The address of the server, as `host:port`. */
  readonly endpoint: string;
  readonly connectionCount: number;
  /** The number of calls of each connection, all started at once. */
  readonly callsPerConnection: number;
  /** The path of the method, such as `/regatta.v1.KV/IterateRange`. */
  readonly path: string;
  /** The encoded request, in base64. */
  readonly message: string;
  /** The initial window of each stream, in bytes. */
  readonly streamWindowBytes: number;
  /** The initial window of a connection, in bytes. */
  readonly connectionWindowBytes: number;
}

const INITIAL_CONNECTION_WINDOW_BYTES = 65_535;

/** Held, so that they are not collected as garbage. */
const sockets: Socket[] = [];

/** Resolves when every request has been written. The connections stay open until the process ends. */
async function open(request: UnreadRequest): Promise<{ connectionCount: number }> {
  const separator = request.endpoint.lastIndexOf(':');
  const host = request.endpoint.slice(0, separator);
  const port = Number(request.endpoint.slice(separator + 1));
  const call = new GrpcRequest({
    path: request.path,
    authority: 'localhost',
    message: Buffer.from(request.message, 'base64'),
  });
  for (let index = 0; index < request.connectionCount; index++) {
    const socket = connect({ host, port });
    sockets.push(socket);
    socket.on('error', () => undefined);
    await once(socket, 'connect');
    socket.write(
      Buffer.concat([
        CLIENT_PREFACE,
        encodeSettings([[Setting.initialWindowSize, request.streamWindowBytes]]),
      ]),
    );
    // The server's settings, the last bytes that are ever taken from the socket.
    await once(socket, 'data');
    socket.pause();
    const calls = Buffer.alloc(call.sizeBytes * request.callsPerConnection);
    for (let at = 0; at < request.callsPerConnection; at++) {
      call.writeTo(calls, at * call.sizeBytes, 2 * at + 1);
    }
    socket.write(
      Buffer.concat([
        encodeFrame(FrameType.settings, FrameFlag.acknowledge, 0, Buffer.alloc(0)),
        ...(request.connectionWindowBytes > INITIAL_CONNECTION_WINDOW_BYTES
          ? [encodeWindowUpdate(0, request.connectionWindowBytes - INITIAL_CONNECTION_WINDOW_BYTES)]
          : []),
        calls,
      ]),
    );
  }
  return { connectionCount: request.connectionCount };
}

serveRequests<UnreadRequest, { connectionCount: number }>(open);
