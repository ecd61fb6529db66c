import { mvcc, regatta, replication } from '@coxswain/protocol';
import { type StockAge, StockLog } from '@coxswain/testing';
import {
  Server,
  ServerCredentials,
  type ServerUnaryCall,
  type ServerWritableStream,
  type sendUnaryData,
  status,
} from '@grpc/grpc-js';
import { frame } from './snappy-frames.js';

const { PUT, DELETE, TXN } = mvcc.Command_CommandType;
/** Odd pieces of snapshots, so that nothing ends where it is convenient. */
const CHUNK_BYTES = 777;

/** A table, and how its next snapshots end too early: with an error, or as if nothing were missing. */
interface StoredTable {
  readonly log: StockLog;
  readonly brokenSnapshots: ('error' | 'end')[];
}

/** A stock leader cluster as docs/protocol.md §3 describes it: it knows nothing of ours, and sets no revisions on pairs. */
export class StockLeader {
  readonly tables = new Map<string, StoredTable>();
  /** Names of tables that are its own affair. */
  readonly localTables: string[] = [];
  /** How often it was asked for its tables. */
  metadataCalls = 0;
  readonly #server = new Server();
  #address = '';

  private constructor() {
    this.#server.addService(replication.MetadataService, {
      get: this.#unary(() => {
        this.metadataCalls++;
        const { REPLICATED, LOCAL } = replication.Table_Type;
        const tables = [
          ...[...this.tables.keys()].map((name) => ({ name, type: REPLICATED, shardId: 0n })),
          ...this.localTables.map((name) => ({ name, type: LOCAL, shardId: 0n })),
        ];
        return { tables, clusterId: '', nodes: [] };
      }),
    });
    this.#server.addService(replication.LogService, { replicate: this.#replicate.bind(this) });
    this.#server.addService(replication.SnapshotService, { stream: this.#snapshot.bind(this) });
    this.#server.addService(regatta.KVService, {
      put: this.#unary((request: regatta.PutRequest) => {
        const { key, value } = request;
        const kv = mvcc.KeyValue.fromPartial({ key, value });
        return { header: this.#write(request, { type: PUT, kv }), prevKv: undefined };
      }),
      deleteRange: this.#unary((request: regatta.DeleteRangeRequest) => {
        const { key, rangeEnd } = request;
        const kv = mvcc.KeyValue.fromPartial({ key });
        const end = rangeEnd.length === 0 ? {} : { rangeEnd };
        const header = this.#write(request, { type: DELETE, kv, ...end });
        return { header, deleted: 0n, prevKvs: [], more: false };
      }),
      txn: this.#unary((request: regatta.TxnRequest) => {
        const { compare, success, failure } = request;
        const header = this.#write(request, { type: TXN, txn: { compare, success, failure } });
        return { header, succeeded: true, responses: [] };
      }),
      range: this.#unary(() => {
        throw Object.assign(new Error('not asked for here'), { code: status.UNIMPLEMENTED });
      }),
      iterateRange: () => undefined,
    });
  }

  static async start(): Promise<StockLeader> {
    const leader = new StockLeader();
    const port = await new Promise<number>((resolve, reject) => {
      const credentials = ServerCredentials.createInsecure();
      leader.#server.bindAsync('127.0.0.1:0', credentials, (error, bound) =>
        error === null ? resolve(bound) : reject(error),
      );
    });
    leader.#address = `127.0.0.1:${port}`;
    return leader;
  }

  get address(): string {
    return this.#address;
  }

  stop(): void {
    this.#server.forceShutdown();
  }

  /** Makes a table, which it replicates as a leader of that age does. */
  create(name: string, age: StockAge = { hasTerminal: true, hasInnerIndex: true }): void {
    this.tables.set(name, { log: new StockLog(name, age), brokenSnapshots: [] });
  }

  /** Appends and applies; the index is the revision. */
  append(name: string, partial: Partial<mvcc.Command>): number {
    return this.log(name).append(partial);
  }

  put(name: string, key: string, value: string): number {
    return this.log(name).put(key, value);
  }

  /** Goes back to what it was after so many entries, as a leader does that lost its disk. */
  forget(name: string, keep: number): void {
    this.tables.set(name, { log: this.log(name).before(keep), brokenSnapshots: [] });
  }

  /** Forgets the log so far. */
  compact(name: string): void {
    this.log(name).compact();
  }

  log(name: string): StockLog {
    return this.tables.get(name)!.log;
  }

  #write(request: { readonly table: Buffer }, command: Partial<mvcc.Command>): regatta.ResponseHeader {
    const name = request.table.toString();
    if (!this.tables.has(name)) throw Object.assign(new Error('table not found'), { code: status.NOT_FOUND });
    const revision = BigInt(this.append(name, command));
    return regatta.ResponseHeader.fromPartial({ shardId: 10_001n, replicaId: 1n, revision, raftTerm: 1n });
  }

  #unary<Request, Response>(handle: (request: Request) => Response) {
    return (call: ServerUnaryCall<Request, Response>, answer: sendUnaryData<Response>): void => {
      try {
        answer(null, handle(call.request));
      } catch (error) {
        const { code, message } = error as { code?: number; message: string };
        answer({ code: code ?? status.UNKNOWN, details: message });
      }
    };
  }

  #replicate(call: ServerWritableStream<replication.ReplicateRequest, replication.ReplicateResponse>): void {
    const stored = this.tables.get(call.request.table.toString());
    const from = Number(call.request.leaderIndex);
    if (from === 0 || stored === undefined) {
      const isZero = from === 0;
      call.emit('error', {
        code: isZero ? status.INVALID_ARGUMENT : status.NOT_FOUND,
        details: isZero ? 'invalid leaderIndex: leaderIndex must be greater than 0' : 'table not found',
      });
      return;
    }
    for (const message of stored.log.replicate(from)) call.write(message);
    call.end();
  }

  #snapshot(call: ServerWritableStream<replication.SnapshotRequest, replication.SnapshotChunk>): void {
    const name = call.request.table.toString();
    const stored = this.tables.get(name);
    if (stored === undefined) {
      call.emit('error', {
        code: status.UNAVAILABLE,
        details: `unable to stream from table '${name}': table not found`,
      });
      return;
    }
    const whole = frame(stored.log.snapshot());
    const broken = stored.brokenSnapshots.shift();
    const stream = broken === undefined ? whole : whole.subarray(0, whole.length / 2);
    for (let at = 0; at < stream.length; at += CHUNK_BYTES) {
      const data = stream.subarray(at, at + CHUNK_BYTES);
      call.write(replication.SnapshotChunk.fromPartial({ data, len: BigInt(data.length) }));
    }
    if (broken === 'error') {
      call.emit('error', { code: status.UNAVAILABLE, details: 'the snapshot breaks off' });
      return;
    }
    call.end();
  }
}
