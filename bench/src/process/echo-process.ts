import { Server, ServerCredentials, type ServerUnaryCall, type sendUnaryData } from '@grpc/grpc-js';
import { regattaDialect } from '../load/regatta-dialect.js';
import type { Listening } from './listening.js';
import { serveRequests } from './worker-process.js';

/** Leaves the bytes unchanged, so that only @grpc/grpc-js itself costs time. */
const identity = (bytes: Buffer): Buffer => bytes;

function createServer(): Server {
  const server = new Server();
  server.addService(
    {
      range: {
        path: regattaDialect.rangePath,
        requestStream: false,
        responseStream: false,
        requestSerialize: identity,
        requestDeserialize: identity,
        responseSerialize: identity,
        responseDeserialize: identity,
      },
    },
    {
      range(call: ServerUnaryCall<Buffer, Buffer>, callback: sendUnaryData<Buffer>) {
        callback(null, call.request);
      },
    },
  );
  return server;
}

serveRequests<object, Listening>(
  () =>
    new Promise((resolve, reject) => {
      createServer().bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, port) => {
        if (error) reject(error);
        else resolve({ endpoint: `127.0.0.1:${port}` });
      });
    }),
);
