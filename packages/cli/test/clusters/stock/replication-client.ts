import { replication } from '@coxswain/protocol';
import { Client, compressionAlgorithms, credentials, Metadata } from '@grpc/grpc-js';

/** A method of a generated service definition. */
interface Definition<Request, Response> {
  readonly path: string;
  readonly requestSerialize: (value: Request) => Buffer;
  readonly responseDeserialize: (value: Buffer) => Response;
}

/** An answer to Log.Replicate, as far as a stock follower reads it. */
export interface LogAnswer {
  readonly commands: readonly replication.ReplicateCommand[];
  readonly error: keyof typeof replication.ReplicateError | undefined;
  /** The index of the message that ended the stream; undefined when the stream just ended. */
  readonly terminal: number | undefined;
}

/** Calls a leader cluster as a stock follower does: no fields of ours, gzip on every call. */
export class ReplicationClient {
  readonly #client: Client;

  constructor(address: string) {
    this.#client = new Client(address, credentials.createInsecure(), {
      'grpc.default_compression_algorithm': compressionAlgorithms.gzip,
      'grpc.default_compression_level': 2,
      'grpc.max_receive_message_length': 8 * 1024 * 1024,
      'grpc.use_local_subchannel_pool': 1,
    });
  }

  /** Returns the names of the replicated tables. */
  async tables(): Promise<string[]> {
    const { get } = replication.MetadataService;
    const { tables } = await new Promise<replication.MetadataResponse>((resolve, reject) => {
      this.#client.makeUnaryRequest(
        get.path,
        get.requestSerialize,
        get.responseDeserialize,
        { follower: undefined },
        new Metadata(),
        { deadline: deadline() },
        (error, response) => (error === null ? resolve(response!) : reject(error)),
      );
    });
    return tables.filter(({ type }) => type === replication.Table_Type.REPLICATED).map(({ name }) => name);
  }

  /** Returns everything that is sent until the message that ends it: a stock follower reads no further. */
  async replicate(table: string, leaderIndex: number): Promise<LogAnswer> {
    const request = replication.ReplicateRequest.fromPartial({
      table: Buffer.from(table),
      leaderIndex: BigInt(leaderIndex),
    });
    const commands: replication.ReplicateCommand[] = [];
    for await (const message of this.#stream(replication.LogService.replicate, request)) {
      const { response } = message;
      if (response === undefined) {
        return { commands, error: undefined, terminal: Number(message.leaderIndex) };
      }
      if (response.$case === 'errorResponse') {
        const error = replication.ReplicateError[
          response.value.error
        ] as keyof typeof replication.ReplicateError;
        return { commands, error, terminal: undefined };
      }
      commands.push(...response.value.commands);
    }
    return { commands, error: undefined, terminal: undefined };
  }

  async snapshot(table: string): Promise<Buffer> {
    const request = replication.SnapshotRequest.fromPartial({ table: Buffer.from(table) });
    const chunks: Buffer[] = [];
    for await (const { data, len } of this.#stream(replication.SnapshotService.stream, request)) {
      if (Number(len) !== data.length) throw new Error('a chunk has another length than it says');
      chunks.push(data);
    }
    return Buffer.concat(chunks);
  }

  close(): void {
    this.#client.close();
  }

  #stream<Request, Response>(
    { path, requestSerialize, responseDeserialize }: Definition<Request, Response>,
    request: Request,
  ): AsyncIterable<Response> {
    return this.#client.makeServerStreamRequest(
      path,
      requestSerialize,
      responseDeserialize,
      request,
      new Metadata(),
      { deadline: deadline() },
    );
  }
}

function deadline(): Date {
  return new Date(Date.now() + 60_000);
}

/** Makes one call to Log.Replicate. */
export async function askForLog(address: string, table: string, leaderIndex: number): Promise<LogAnswer> {
  const client = new ReplicationClient(address);
  try {
    return await client.replicate(table, leaderIndex);
  } finally {
    client.close();
  }
}
