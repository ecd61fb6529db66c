import { mvcc, regatta, replication } from '@coxswain/protocol';
import {
  Server,
  ServerCredentials,
  type ServerUnaryCall,
  type ServerWritableStream,
  type sendUnaryData,
  status,
} from '@grpc/grpc-js';
import { frame } from './snappy-frames.js';
import { StockTable } from './stock-table.js';

const { PUT, DELETE, DUMMY, TXN } = mvcc.Command_CommandType;
const { USE_SNAPSHOT, LEADER_BEHIND } = replication.ReplicateError;
/** Few commands a message, and odd pieces of snapshots, so that nothing ends where it is convenient. */
const commandsPerMessage = 3;
const chunkBytes = 777;

export interface StockTableOptions {
  /** 0.5 ends a stream with a message of its own; leaders of the seed's days did not, and told no leader_index. */
  readonly age: 'seed' | '0.5';
  /** Commands carry their index themselves. */
  readonly hasInnerIndex: boolean;
}

/** A table: what is in its log, from index `compacted` + 1 on, and what that makes. */
interface StoredTable {
  readonly options: StockTableOptions;
  /** How the next snapshots end too early: with an error, or as if nothing were missing. */
  readonly brokenSnapshots: ('error' | 'end')[];
  compacted: number;
  readonly log: mvcc.Command[];
  readonly state: StockTable;
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

  /** Makes a table, which it replicates as a leader of the table's options does. */
  create(name: string, options: StockTableOptions = { age: '0.5', hasInnerIndex: true }): void {
    this.tables.set(name, { options, brokenSnapshots: [], compacted: 0, log: [], state: new StockTable() });
  }

  /** Appends and applies; the index is the revision. */
  append(name: string, partial: Partial<mvcc.Command>): number {
    const stored = this.tables.get(name)!;
    const command = mvcc.Command.fromPartial({ table: Buffer.from(name), ...partial } as never);
    stored.log.push(command);
    stored.state.apply(command);
    return stored.compacted + stored.log.length;
  }

  put(name: string, key: string, value: string): number {
    return this.append(name, {
      type: PUT,
      kv: mvcc.KeyValue.fromPartial({ key: Buffer.from(key), value: Buffer.from(value) }),
    });
  }

  /** Goes back to what it was after so many entries, as a leader does that lost its disk. */
  forget(name: string, keep: number): void {
    const { log, options } = this.tables.get(name)!;
    this.create(name, options);
    for (const command of log.slice(0, keep)) this.append(name, command);
  }

  /** Forgets the log so far. */
  compact(name: string): void {
    const stored = this.tables.get(name)!;
    stored.compacted += stored.log.length;
    stored.log.length = 0;
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
    const isNew = stored.options.age === '0.5';
    const applied = stored.compacted + stored.log.length;
    const leaderIndex = isNew ? BigInt(applied) : 0n;
    const send = (response: replication.ReplicateResponse['response']): void => {
      call.write({ response, leaderIndex, leaderTimeMs: 0n });
    };
    if (applied + 1 < from) send({ $case: 'errorResponse', value: { error: LEADER_BEHIND } });
    else if (from <= stored.compacted) send({ $case: 'errorResponse', value: { error: USE_SNAPSHOT } });
    else {
      for (let index = from; index <= applied; index += commandsPerMessage) {
        const commands = stored.log
          .slice(index - stored.compacted - 1, index - stored.compacted - 1 + commandsPerMessage)
          .map((command, offset) => this.#outgoing(stored, command, index + offset));
        send({ $case: 'commandsResponse', value: { commands } });
      }
      if (isNew) send(undefined);
    }
    call.end();
  }

  #outgoing({ options }: StoredTable, command: mvcc.Command, index: number): replication.ReplicateCommand {
    const leaderIndex = BigInt(index);
    const inner = options.hasInnerIndex ? { ...command, leaderIndex } : command;
    return replication.ReplicateCommand.fromPartial({ leaderIndex, command: inner } as never);
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
    const { pairs } = stored.state;
    const keys = [...pairs.keys()].sort();
    const records = [
      // A pair with an empty key, which no table can hold: some leaders send one.
      { type: PUT, kv: {} },
      ...keys.map((key) => ({ type: PUT, kv: { key: Buffer.from(key, 'latin1'), value: pairs.get(key)! } })),
      { type: DUMMY, leaderIndex: BigInt(stored.compacted + stored.log.length) },
    ].map((partial) => Buffer.from(mvcc.Command.encode(mvcc.Command.fromPartial(partial)).finish()));
    const parts = records.flatMap((record) => {
      const length = Buffer.alloc(8);
      length.writeBigUInt64LE(BigInt(record.length));
      return [length, record];
    });
    const whole = frame(Buffer.concat(parts));
    const broken = stored.brokenSnapshots.shift();
    const stream = broken === undefined ? whole : whole.subarray(0, whole.length / 2);
    for (let at = 0; at < stream.length; at += chunkBytes) {
      const data = stream.subarray(at, at + chunkBytes);
      call.write(replication.SnapshotChunk.fromPartial({ data, len: BigInt(data.length) }));
    }
    if (broken === 'error') {
      call.emit('error', { code: status.UNAVAILABLE, details: 'the snapshot breaks off' });
      return;
    }
    call.end();
  }
}
