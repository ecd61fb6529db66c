import { once } from 'node:events';
import {
  type ChannelCredentials,
  Client,
  type ClientReadableStream,
  credentials,
  Metadata,
  type ServiceError,
  type StatusObject,
} from '@grpc/grpc-js';
import type { MethodDefinition } from '../../src/grpc/call.js';

/** How a call failed. */
export interface Failure {
  readonly code: number;
  readonly details: string;
}

export interface RpcOptions {
  readonly metadata?: Record<string, string>;
  /** The caller's own deadline, in milliseconds; Infinity: none, so that the server's default holds. */
  readonly timeoutMs?: number;
}

/** Only keeps a test that hangs from hanging for ever: no verdict depends on how fast the machine is. */
const HANGS_MS = 600_000;

/**
 * A bare gRPC client: it sends what it is told, also nonsense, and shows what comes back. Independent of
 * @coxswain/client, so that neither hides a fault of the other.
 */
export class Rpc {
  readonly client: Client;

  constructor(target: string, channelCredentials: ChannelCredentials = credentials.createInsecure()) {
    this.client = new Client(target, channelCredentials, {
      'grpc.use_local_subchannel_pool': 1,
      'grpc.enable_http_proxy': 0,
      'grpc.max_receive_message_length': -1,
      'grpc.max_send_message_length': -1,
    });
  }

  /** The response; fields of the request that are not given are defaults. */
  async call<Request, Response>(
    method: MethodDefinition<Request, Response>,
    request: Partial<Request>,
    options: RpcOptions = {},
  ): Promise<Response> {
    const defaults = method.requestDeserialize(Buffer.alloc(0));
    return this.send(method, method.requestSerialize({ ...defaults, ...request }), options);
  }

  /** Sends bytes as they are. */
  send<Response>(
    method: Pick<MethodDefinition<never, Response>, 'path' | 'responseDeserialize'>,
    bytes: Buffer,
    options: RpcOptions = {},
    onStatus: (status: StatusObject) => void = () => undefined,
  ): Promise<Response> {
    return new Promise((resolve, reject) => {
      const call = this.client.makeUnaryRequest(
        method.path,
        (value: Buffer) => value,
        method.responseDeserialize,
        bytes,
        metadataOf(options),
        callOptions(options),
        (error: ServiceError | null, response?: Response) => (error ? reject(error) : resolve(response!)),
      );
      call.on('status', onStatus);
    });
  }

  /** How the call fails. */
  async failure<Request, Response>(
    method: MethodDefinition<Request, Response>,
    request: Partial<Request>,
    options?: RpcOptions,
  ): Promise<Failure> {
    return failureOf(this.call(method, request, options));
  }

  /** The messages of a stream. */
  stream<Request, Response>(
    method: MethodDefinition<Request, Response>,
    request: Partial<Request>,
    options: RpcOptions = {},
  ): ClientReadableStream<Response> {
    const defaults = method.requestDeserialize(Buffer.alloc(0));
    return this.client.makeServerStreamRequest(
      method.path,
      method.requestSerialize,
      method.responseDeserialize,
      { ...defaults, ...request },
      metadataOf(options),
      callOptions(options),
    );
  }

  /** Sends messages, at the pace of the server, and gives the response. Ends where they end, or throw. */
  async upload<Request, Response>(
    method: MethodDefinition<Request, Response>,
    messages: Iterable<Request> | AsyncIterable<Request>,
    options: RpcOptions = {},
  ): Promise<Response> {
    let isOver = false;
    const answered: { resolve?: (response: Response) => void; reject?: (error: unknown) => void } = {};
    const answer = new Promise<Response>((resolve, reject) => Object.assign(answered, { resolve, reject }));
    answer.catch(() => undefined);
    const call = this.client.makeClientStreamRequest(
      method.path,
      method.requestSerialize,
      method.responseDeserialize,
      metadataOf(options),
      callOptions(options),
      (error: ServiceError | null, response?: Response) => {
        isOver = true;
        if (error) answered.reject!(error);
        else answered.resolve!(response!);
      },
    );
    call.on('error', () => undefined);
    try {
      for await (const message of messages) {
        if (isOver) break;
        if (!call.write(message)) await Promise.race([once(call, 'drain'), answer]);
      }
    } catch (error) {
      call.cancel();
      if (!isOver) throw error;
    }
    call.end();
    return await answer;
  }

  close(): void {
    this.client.close();
  }
}

/** How a promise of a call fails. */
export async function failureOf(call: Promise<unknown>): Promise<Failure> {
  try {
    await call;
  } catch (error) {
    const { code, details } = error as ServiceError;
    return { code, details };
  }
  throw new Error('the call succeeded');
}

/** All messages of a stream. */
export async function collect<Response>(stream: ClientReadableStream<Response>): Promise<Response[]> {
  const messages: Response[] = [];
  for await (const message of stream) messages.push(message as Response);
  return messages;
}

function metadataOf({ metadata = {} }: RpcOptions): Metadata {
  const result = new Metadata();
  for (const [key, value] of Object.entries(metadata)) result.set(key, value);
  return result;
}

function callOptions({ timeoutMs = HANGS_MS }: RpcOptions): { deadline: number } {
  return { deadline: Date.now() + timeoutMs };
}
