import { regatta, replication } from '@coxswain/protocol';
import { type LeaderLink, type LinkCall, LinkError } from '../../src/index.js';

type Replicate = (request: replication.ReplicateRequest, call: LinkCall) => AsyncIterable<Buffer>;

/** A leader cluster as a test says it. What is not said is out of reach. */
export class FakeLink implements LeaderLink {
  readonly address = 'leader:1';
  readonly requests: replication.ReplicateRequest[] = [];
  metadataAnswer: () => Promise<replication.MetadataResponse> = unreachable;
  replicateAnswer: Replicate = () => broken();
  snapshotAnswer: (call: LinkCall) => AsyncIterable<Buffer> = () => broken();
  writeAnswer: (call: LinkCall) => Promise<regatta.PutResponse> = unreachable;

  onMetadata: (request: replication.MetadataRequest) => unknown = () => undefined;

  metadata(request: replication.MetadataRequest): Promise<replication.MetadataResponse> {
    this.onMetadata(request);
    return this.metadataAnswer();
  }

  replicate(request: replication.ReplicateRequest, call: LinkCall): AsyncIterable<Buffer> {
    this.requests.push(request);
    return this.replicateAnswer(request, call);
  }

  async *snapshot(
    _request: replication.SnapshotRequest,
    call: LinkCall,
  ): AsyncGenerator<replication.SnapshotChunk> {
    for await (const data of this.snapshotAnswer(call))
      yield replication.SnapshotChunk.fromPartial({ data, len: BigInt(data.length) });
  }

  range(): Promise<regatta.RangeResponse> {
    return Promise.resolve(regatta.RangeResponse.create());
  }

  put(_request: regatta.PutRequest, call: LinkCall): Promise<regatta.PutResponse> {
    return this.writeAnswer(call);
  }

  deleteRange(): Promise<regatta.DeleteRangeResponse> {
    return unreachable();
  }

  txn(): Promise<regatta.TxnResponse> {
    return unreachable();
  }

  close(): void {
    // Nothing is open.
  }
}

export const lost = (mayHaveHappened = false): LinkError =>
  new LinkError(14, 'No connection established', false, mayHaveHappened);

export function refusal(status: number, text: string): LinkError {
  return new LinkError(status, text, true, false);
}

function unreachable(): Promise<never> {
  return Promise.reject(lost());
}

/** Fails at once. */
export function broken(error: Error = lost()): AsyncIterable<never> {
  return { [Symbol.asyncIterator]: () => ({ next: () => Promise.reject(error) }) };
}

/** Messages one after the other, and then the end. */
export async function* messages(...all: Buffer[]): AsyncGenerator<Buffer> {
  yield* all;
}

/** Answers when the call is given up, as a long poll that nothing ends. */
export async function* silence(call: LinkCall): AsyncGenerator<Buffer> {
  await new Promise<void>((resolve) => {
    if (call.signal?.aborted) resolve();
    call.signal?.addEventListener('abort', () => resolve());
  });
  yield* [];
}
