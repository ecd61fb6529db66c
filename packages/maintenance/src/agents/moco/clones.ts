import { isIP } from 'node:net';
import {
  ApiError,
  type Call,
  type Clock,
  errors,
  type Log,
  type NodeApi,
  type Random,
  type ReplicationApi,
  Status,
  tableApiError,
} from '@coxswain/node';
import { type moco, replication } from '@coxswain/protocol';
import { Backoff, type LeaderLink, LinkError, pause, type RateLimit } from '@coxswain/replication';
import type { Restorer } from '../../restorer.js';
import { checkLeaderRole } from '../../role.js';
import { DonorError, type DonorTable, donorTable } from './donor-table.js';
import type { OneAtATime } from './one-at-a-time.js';

/** Tables that come at a time. */
const TABLES_IN_FLIGHT_MAX = 2;
const ATTEMPTS_MAX = 6;
const RETRY_LEAST_MS = 250;
const RETRY_GREATEST_MS = 10_000;
/** How long the donor may take to say which tables it has. */
const LIST_MS = 10_000;
const HOST = /^[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,251}[A-Za-z0-9_])?$/;

/** What a clone asks of the node. `Node` implements it. */
export type CloneNode = Pick<NodeApi, 'listTables'> & Pick<ReplicationApi, 'role' | 'openLog'>;

/** Whom to clone. */
export interface Donor {
  readonly address: string;
  readonly token: string;
}

export interface ClonesOptions {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly restorer: Pick<Restorer, 'restore'>;
  readonly requests: OneAtATime;
  /** The way to a donor, who wants to be shown the token where there is one. Throws TypeError for an address that is none. */
  readonly connect: (donor: Donor) => Promise<LeaderLink>;
  /** The donor outside; with an empty address none is configured. */
  readonly external: Donor;
  /** What all restores of this node share. */
  readonly rate: RateLimit;
}

/** The last clone that this node has begun. */
export interface CloneStatus {
  readonly state: 'none' | 'running' | 'done' | 'failed';
  readonly tables: number;
  readonly tablesDone: number;
  /** Compressed, as they came, with what came twice. */
  readonly bytes: number;
  readonly error: string | undefined;
}

/**
 * CloneService.Clone (operations-protocols.md §2): fills this cluster, which must be empty, with every table of another.
 * Each comes by a restore, so through Raft, whole or not at all, and with revisions of its own (T1, T3).
 */
export class Clones {
  readonly #node: CloneNode;
  readonly #options: ClonesOptions;
  readonly #aborter = new AbortController();
  #status: CloneStatus = { state: 'none', tables: 0, tablesDone: 0, bytes: 0, error: undefined };
  #running: Promise<void> | undefined;

  constructor(node: CloneNode, options: ClonesOptions) {
    this.#node = node;
    this.#options = options;
  }

  get status(): CloneStatus {
    return this.#status;
  }

  get isRunning(): boolean {
    return this.#status.state === 'running';
  }

  /**
   * Resolves when the clone has begun: the donor has told its tables. A donor that the request names is shown the token
   * that the caller came with, and no secret of this node. Errors: notForThisRole, donorHostInvalid,
   * donorPortInvalid, anotherRequest, recipientNotEmpty, donorNotConfigured, donorFailed, and those of a linearizable read.
   */
  async begin(request: moco.CloneRequest, token: string, call: Call): Promise<void> {
    checkLeaderRole(this.#node.role, 'Clone');
    const donor = request.external ? this.#options.external : { address: addressOf(request), token };
    const release = this.#options.requests.take();
    let link: LeaderLink | undefined;
    try {
      await this.#checkEmpty(call);
      if (donor.address === '') throw errors.donorNotConfigured();
      link = await this.#connect(donor);
      const tables = await this.#listOf(link, call);
      this.#status = { state: 'running', tables: tables.length, tablesDone: 0, bytes: 0, error: undefined };
      this.#running = this.#run(link, tables).finally(release);
    } catch (error) {
      link?.close();
      release();
      throw error;
    }
  }

  /** Breaks off what is under way. Resolves when nothing is. */
  async stop(): Promise<void> {
    this.#aborter.abort();
    await this.#running;
  }

  async #checkEmpty(call: Call): Promise<void> {
    for (const { name } of await this.#node.listTables(call)) {
      const keyCount = await this.#countKeys(name, call);
      if (keyCount > 0) throw errors.recipientNotEmpty(name, keyCount);
    }
  }

  async #countKeys(name: string, call: Call): Promise<number> {
    const { table } = await this.#node.openLog(name, call);
    try {
      return await table.countKeys();
    } catch (error) {
      throw tableApiError(error);
    }
  }

  async #connect(donor: Donor): Promise<LeaderLink> {
    try {
      return await this.#options.connect(donor);
    } catch (error) {
      throw errors.donorFailed(donor.address, textOf(error));
    }
  }

  async #listOf(link: LeaderLink, call: Call): Promise<DonorTable[]> {
    const deadlineMs = Math.min(call.deadlineMs, this.#options.clock.monotonicMs() + LIST_MS);
    try {
      const { tables, clusterId } = await link.metadata(replication.MetadataRequest.create(), {
        deadlineMs,
        signal: this.#aborter.signal,
      });
      return tables.map(({ name, shardId }) => ({ name, shardId, clusterId }));
    } catch (error) {
      throw errors.donorFailed(link.address, textOf(error));
    }
  }

  async #run(link: LeaderLink, tables: readonly DonorTable[]): Promise<void> {
    const { log } = this.#options;
    const donor = link.address;
    log('info', 'a clone has begun', { donor, tables: tables.length });
    const broken = new AbortController();
    const signal = AbortSignal.any([this.#aborter.signal, broken.signal]);
    const waiting = [...tables];
    const work = async (): Promise<void> => {
      for (let table = waiting.shift(); table !== undefined && !signal.aborted; table = waiting.shift()) {
        await this.#fill(link, table, signal);
        this.#status = { ...this.#status, tablesDone: this.#status.tablesDone + 1 };
      }
    };
    const workers = Array.from({ length: TABLES_IN_FLIGHT_MAX }, () =>
      work().catch((error: unknown) => {
        broken.abort();
        throw error;
      }),
    );
    const settled = await Promise.allSettled(workers);
    link.close();
    const failed = settled.find((result) => result.status === 'rejected');
    const { tablesDone } = this.#status;
    if (failed === undefined && !signal.aborted) {
      this.#status = { ...this.#status, state: 'done' };
      log('info', 'a clone is done', { donor, tables: tablesDone });
      return;
    }
    const error = this.#aborter.signal.aborted ? 'the node was stopped' : textOf(failed?.reason);
    this.#status = { ...this.#status, state: 'failed', error };
    log('error', 'a clone has failed: delete the tables that have come, and clone again', {
      donor,
      tables: tables.length,
      tablesDone,
      reason: error,
    });
  }

  /** What fails by chance is tried again: until a table has come there is nothing of it here. */
  async #fill(link: LeaderLink, table: DonorTable, signal: AbortSignal): Promise<void> {
    const { clock, random, log, restorer } = this.#options;
    const backoff = new Backoff(random, { leastMs: RETRY_LEAST_MS, greatestMs: RETRY_GREATEST_MS });
    for (let attempt = 1; ; attempt++) {
      try {
        const deadlineMs = clock.monotonicMs() + LIST_MS;
        // A donor that is written to all the time compacts its log faster than a large table comes.
        const stream = this.#stream(link, table, signal, attempt > 2);
        await restorer.restore(table.name, stream, { deadlineMs, signal });
        return;
      } catch (error) {
        if (signal.aborted || attempt === ATTEMPTS_MAX || !mayPass(error)) {
          throw new Error(`table "${table.name}": ${textOf(error)}`, { cause: error });
        }
        log('warn', 'a table could not be cloned, and is tried again', {
          table: table.name,
          reason: textOf(error),
        });
        await pause(clock, backoff.next(), signal);
      }
    }
  }

  async *#stream(
    link: LeaderLink,
    table: DonorTable,
    signal: AbortSignal,
    isSnapshotEnough: boolean,
  ): AsyncGenerator<Buffer> {
    const { clock, rate } = this.#options;
    const call = { nowMs: () => clock.monotonicMs(), signal, isSnapshotEnough };
    for await (const data of donorTable(link, table, call)) {
      this.#status = { ...this.#status, bytes: this.#status.bytes + data.length };
      await rate.pay(data.length, signal);
      yield data;
    }
  }
}

function addressOf({ donorHost, donorPort }: moco.CloneRequest): string {
  if (isIP(donorHost) === 0 && !HOST.test(donorHost)) throw errors.donorHostInvalid();
  if (donorPort < 1 || donorPort > 65_535) throw errors.donorPortInvalid();
  return isIP(donorHost) === 6 ? `[${donorHost}]:${donorPort}` : `${donorHost}:${donorPort}`;
}

/** A donor that is away or replaces the table, or a cluster without a leader for a moment. */
function mayPass(error: unknown): boolean {
  if (error instanceof DonorError) return true;
  if (error instanceof LinkError) return !error.isFromLeader || error.status === Status.Unavailable;
  return error instanceof ApiError && error.status === Status.Unavailable;
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
