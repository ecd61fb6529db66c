import { Client, credentials } from '@grpc/grpc-js';

const CALL_MS = 10_000;

/** Makes one unary call, with a connection of its own, and resolves with the answer's bytes. */
export function callUnary(endpoint: string, path: string, message: Buffer): Promise<Buffer> {
  const client = new Client(endpoint, credentials.createInsecure());
  const asItIs = (bytes: Buffer): Buffer => bytes;
  return new Promise<Buffer>((resolve, reject) => {
    const options = { deadline: Date.now() + CALL_MS };
    client.makeUnaryRequest(path, asItIs, asItIs, message, options, (error, answer) => {
      if (error) reject(error);
      else resolve(answer!);
    });
  }).finally(() => client.close());
}
