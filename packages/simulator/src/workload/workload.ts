import { Calls } from '../calls.js';
import { EventKind, type EventLoop } from '../event-loop.js';
import type { History } from '../history.js';
import type { SimulatedProcess } from '../process.js';
import type { SeededRandom } from '../random.js';
import type { RangeDeletions } from '../range-deletions.js';
import { KeyDraws } from './key-draws.js';
import type { Seen } from './operation-context.js';
import { MAIN_TABLE, NAMES_HISTORY, passingTables, type Server, type WorkloadOptions } from './options.js';
import { Reads } from './reads.js';
import { Restoring } from './restoring.js';
import { TableOperations } from './table-operations.js';
import { Writes } from './writes.js';

/** Clients that work on the cluster, each with one operation at a time, and record their requests and the answers. */
export class Workload {
  readonly #calls: Calls;
  readonly #writes: Writes;
  readonly #reads: Reads;
  readonly #tables: TableOperations;
  readonly #restoring: Restoring;
  #isStopped = false;

  readonly #loop: EventLoop;
  readonly #random: SeededRandom;
  readonly #options: WorkloadOptions;
  /** Returns the nodes that are up, including paused ones. */
  readonly #servers: () => readonly Server[];

  constructor(
    loop: EventLoop,
    random: SeededRandom,
    options: WorkloadOptions,
    history: History,
    servers: () => readonly Server[],
    deletions?: RangeDeletions,
  ) {
    this.#loop = loop;
    this.#random = random;
    this.#options = options;
    this.#servers = servers;
    const { deadlineMs } = options;
    this.#calls = new Calls({ loop, history, deadlineMs, namesHistory: NAMES_HISTORY });
    const context = {
      calls: this.#calls,
      history,
      random,
      draws: new KeyDraws(random, options),
      seen: new Map<string, Seen>(),
      deletions,
      deadline: (server: Server) => ({ deadlineMs: server.monotonicMs() + deadlineMs }),
    };
    this.#writes = new Writes(context);
    this.#reads = new Reads(context);
    this.#tables = new TableOperations(context);
    this.#restoring = new Restoring(context);
  }

  /** The number of operations that were sent. */
  get started(): number {
    return this.#calls.sent;
  }

  /** The number of restores that were acknowledged. */
  get restored(): number {
    return this.#restoring.restored;
  }

  start(): void {
    for (let client = 0; client < this.#options.clients; client++) this.#think();
  }

  /** Begins no more operations. */
  stop(): void {
    this.#isStopped = true;
  }

  /** Ends the requests to a process that was killed, since its clients' connections break. */
  processDied(process: SimulatedProcess): void {
    this.#calls.processDied(process);
  }

  get pendingCount(): number {
    return this.#calls.pendingCount;
  }

  /** Makes a write, and a linearizable read of every key. Resolves to false when either was refused. */
  async probe(server: Server): Promise<boolean> {
    return (await this.probeWrite(server)) && (await this.#reads.range(server, MAIN_TABLE, true));
  }

  /** Makes one write, which any node of a healthy cluster answers. Resolves to false when it was refused. */
  probeWrite(server: Server): Promise<boolean> {
    return this.#writes.put(server, MAIN_TABLE, true);
  }

  #think(): void {
    const delayUs = this.#random.exponential(this.#options.thinkMeanUs);
    this.#loop.schedule(delayUs, EventKind.Client, undefined, () => {
      if (this.#isStopped) return;
      const servers = this.#servers();
      if (servers.length === 0) return this.#think();
      const server = this.#random.pick(servers);
      // A request to a paused process waits in its socket.
      const sent = this.#loop.schedule(0, EventKind.Client, server.process, () => {
        givenUp.cancel();
        this.#operate(server).then(
          () => this.#think(),
          (error: unknown) => {
            // Thrown again outside the promise, so that it ends the run.
            this.#loop.schedule(0, EventKind.Client, undefined, () => {
              throw error;
            });
          },
        );
      });
      const givenUp = this.#loop.schedule(1_000_000, EventKind.Client, undefined, () => {
        sent.cancel();
        this.#think();
      });
    });
  }

  async #operate(server: Server): Promise<boolean> {
    const kind = this.#random.weighted(this.#options.operations);
    const table = this.#random.chance(0.9) ? MAIN_TABLE : this.#random.pick(passingTables);
    this.#loop.trace.text(kind);
    switch (kind) {
      case 'put':
        return this.#writes.put(server, table, false);
      case 'putPrevious':
        return this.#writes.put(server, table, true);
      case 'delete':
        return this.#writes.delete(server, table, false);
      case 'deleteRange':
        return this.#writes.delete(server, table, true);
      case 'compareAndSet':
        return this.#writes.compareAndSet(server, table, false);
      case 'transfer':
        return this.#writes.compareAndSet(server, table, true);
      case 'get':
        return this.#reads.get(server, table, true);
      case 'getSerializable':
        return this.#reads.get(server, table, false);
      case 'range':
        return this.#reads.range(server, table, true);
      case 'rangeSerializable':
        return this.#reads.range(server, table, false);
      case 'createTable':
        return this.#tables.create(server, this.#random.pick(passingTables));
      case 'deleteTable':
        return this.#tables.delete(server, this.#random.pick(passingTables));
      case 'listTables':
        return this.#tables.list(server);
      case 'restore':
        return this.#restoring.restore(server, table);
      case 'archive':
        return this.#tables.archive(server);
      case 'putMany':
        return this.#writes.putMany(server, table);
      case 'replaceRange':
        return this.#writes.replaceRange(server, table);
      case 'rangePast':
        return this.#reads.rangePast(server, table);
      case 'count':
        return this.#reads.count(server, table);
      case 'backup':
        return this.#reads.backup(server, table);
    }
  }
}
