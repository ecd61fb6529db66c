import { GrpcConnection } from './grpc-connection.js';
import type { GrpcRequest } from './grpc-request.js';

/** Makes one call on a connection of its own. Resolves with the failure, or undefined when there was none. */
export async function callOnce(endpoint: string, request: GrpcRequest): Promise<string | undefined> {
  let connection: GrpcConnection;
  try {
    connection = await GrpcConnection.connect(endpoint);
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
  const failure = await new Promise<string | undefined>((resolve) => {
    connection.start(request, { onCallEnd: resolve });
  });
  connection.close();
  return failure;
}
