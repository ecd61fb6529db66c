import { type mvcc, regatta } from '@coxswain/protocol';
import type { SelfSigned } from '@coxswain/testing';
import {
  Metadata,
  Server,
  ServerCredentials,
  type ServerUnaryCall,
  type ServerWritableStream,
  type sendUnaryData,
  type status,
} from '@grpc/grpc-js';

/**
 * The answer of a fake node: a status with a text, nothing while its connection breaks, or nothing until a test
 * releases it.
 */
type Answer =
  | { readonly code: status; readonly details: string; readonly errorCode?: string }
  | 'break'
  | 'silence'
  | undefined;

interface FakeNodeOptions {
  readonly tls?: SelfSigned;
  readonly port?: number;
}

function credentialsOf(tls: SelfSigned | undefined): ServerCredentials {
  if (tls === undefined) return ServerCredentials.createInsecure();
  return ServerCredentials.createSsl(null, [{ private_key: tls.key, cert_chain: tls.cert }]);
}

/** A node that answers as it is told and counts what it was asked. */
export class FakeNode {
  readonly #server = new Server();
  readonly endpoint: string;
  /** The answers, taken one by one; when they are used up, every request succeeds. */
  readonly answers: Answer[] = [];
  /** The pairs that every range gives. */
  pairs: mvcc.KeyValue[] = [];
  putCount = 0;
  rangeCount = 0;
  /** Pages of IterateRange that were handed to the connection. */
  pagesSent = 0;
  isStreamSilent = false;
  isStreamCancelled = false;
  #answerNow: () => void = () => undefined;

  private constructor(port: number, server: Server) {
    this.#server = server;
    this.endpoint = `127.0.0.1:${port}`;
  }

  /** With a certificate it speaks TLS, with a port it listens on that one. */
  static async start({ tls, port: wanted = 0 }: FakeNodeOptions = {}): Promise<FakeNode> {
    const server = new Server();
    const port = await new Promise<number>((resolve, reject) => {
      server.bindAsync(`127.0.0.1:${wanted}`, credentialsOf(tls), (error, bound) =>
        error ? reject(error) : resolve(bound),
      );
    });
    const node = new FakeNode(port, server);
    const { put, range, iterateRange } = regatta.KVService;
    server.addService(
      { put, range, iterateRange },
      {
        put: (_call: ServerUnaryCall<unknown, unknown>, respond: sendUnaryData<unknown>) => {
          node.putCount++;
          node.#answer(regatta.PutResponse.create({}), respond);
        },
        range: (_call: ServerUnaryCall<unknown, unknown>, respond: sendUnaryData<unknown>) => {
          node.rangeCount++;
          node.#answer(regatta.RangeResponse.create({ count: 7n, kvs: node.pairs }), respond);
        },
        iterateRange: (call: ServerWritableStream<unknown, regatta.RangeResponse>) => {
          call.on('cancelled', () => {
            node.isStreamCancelled = true;
          });
          if (!node.isStreamSilent) node.#stream(call);
        },
      },
    );
    return node;
  }

  /** Breaks every connection and listens no more. */
  stop(): void {
    this.#server.forceShutdown();
  }

  #answer(response: unknown, respond: sendUnaryData<unknown>): void {
    const answer = this.answers.shift();
    if (answer === undefined) respond(null, response);
    else if (answer === 'break') this.stop();
    else if (answer === 'silence') this.#answerNow = () => respond(null, response);
    else {
      const metadata = new Metadata();
      if (answer.errorCode !== undefined) metadata.set('coxswain-error', answer.errorCode);
      respond({ ...answer, metadata });
    }
  }

  /** Answers the request about which the node was silent. */
  answerNow(): void {
    this.#answerNow();
  }

  /** Sends pages of 1 MiB without end, as fast as they are taken. */
  #stream(call: ServerWritableStream<unknown, regatta.RangeResponse>): void {
    const page = regatta.RangeResponse.create({
      kvs: [{ key: Buffer.from('k'), value: Buffer.alloc(1024 * 1024) }],
      more: true,
      count: 1n,
    });
    const push = (): void => {
      let takesMore = true;
      while (takesMore && !call.cancelled) {
        takesMore = call.write(page);
        this.pagesSent++;
      }
      if (!call.cancelled) call.once('drain', push);
    };
    push();
  }
}
