import { maintenance, regatta } from '@coxswain/protocol';
import {
  Server,
  ServerCredentials,
  type ServerReadableStream,
  type ServerUnaryCall,
  type sendUnaryData,
  status,
} from '@grpc/grpc-js';

/** Lets whatever else is under way go on. */
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/**
 * A stock leader cluster's Maintenance.Restore and Cluster.Status, as far as `coxswain restore` meets them. Its list of
 * tables has a version: a restore reads it, and writes it back three times (a new id, the shard that is filled, the switch),
 * each time only where nobody else has written since; else it ends with UNKNOWN `version mismatch`, and the table is as it was.
 */
export class StockMaintenance {
  /** The bytes that were restored, by table. */
  readonly tables = new Map<string, Buffer>();
  /** The most restores that were under way at the same time. */
  parallelMax = 0;
  /** The number of times that somebody else writes the list within the next restores. */
  foreignWrites = 0;
  restoreCount = 0;
  readonly #server = new Server();
  #underWay = 0;
  #version = 0;
  #address = '';

  static async start(): Promise<StockMaintenance> {
    const stock = new StockMaintenance();
    stock.#server.addService(regatta.ClusterService, {
      memberList: (_call: unknown, answer: sendUnaryData<unknown>) =>
        answer({ code: status.UNIMPLEMENTED, details: 'not asked for here' }),
      status: (
        _call: ServerUnaryCall<regatta.StatusRequest, regatta.StatusResponse>,
        answer: sendUnaryData<regatta.StatusResponse>,
      ) => {
        const tables = new Map([...stock.tables.keys()].map((name) => [name, regatta.TableStatus.create()]));
        answer(null, regatta.StatusResponse.fromPartial({ id: '1', version: '0.5.2', tables }));
      },
    });
    const { restore } = maintenance.MaintenanceService;
    stock.#server.addService(
      { restore },
      {
        restore: (
          call: ServerReadableStream<maintenance.RestoreMessage, maintenance.RestoreResponse>,
          answer: sendUnaryData<maintenance.RestoreResponse>,
        ) => void stock.#restore(call, answer),
      },
    );
    const port = await new Promise<number>((resolve, reject) => {
      stock.#server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
        error === null ? resolve(bound) : reject(error),
      );
    });
    stock.#address = `127.0.0.1:${port}`;
    return stock;
  }

  get address(): string {
    return this.#address;
  }

  stop(): void {
    this.#server.forceShutdown();
  }

  async #restore(
    call: ServerReadableStream<maintenance.RestoreMessage, maintenance.RestoreResponse>,
    answer: sendUnaryData<maintenance.RestoreResponse>,
  ): Promise<void> {
    this.restoreCount++;
    this.parallelMax = Math.max(this.parallelMax, ++this.#underWay);
    let name = '';
    const chunks: Buffer[] = [];
    for await (const { data } of call as AsyncIterable<maintenance.RestoreMessage>) {
      if (data?.$case === 'info') name = data.value.table.toString();
      else if (data?.$case === 'chunk') chunks.push(Buffer.from(data.value.data));
    }
    let isRefused = false;
    for (let write = 0; write < 3 && !isRefused; write++) isRefused = !(await this.#write());
    this.#underWay--;
    if (isRefused) {
      answer({ code: status.UNKNOWN, details: 'version mismatch' });
      return;
    }
    this.tables.set(name, Buffer.concat(chunks));
    answer(null, maintenance.RestoreResponse.create());
  }

  /** Writes the list, and returns whether nobody else has written it meanwhile. */
  async #write(): Promise<boolean> {
    const read = this.#version;
    await turn();
    if (this.foreignWrites > 0) {
      this.foreignWrites--;
      this.#version++;
    }
    if (this.#version !== read) return false;
    this.#version++;
    return true;
  }
}
