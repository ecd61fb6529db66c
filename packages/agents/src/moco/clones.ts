import { isIP } from 'node:net';
import type { Restorer } from '@coxswain/backup';
import { checkLeaderRole } from '@coxswain/backup';
import {
  ApiError,
  type Call,
  errors,
  type HeldClone,
  type NodeParts,
  nodeEvents,
  Status,
  tableApiError,
} from '@coxswain/node';
import { type moco, replication } from '@coxswain/protocol';
import { type LeaderLink, LinkError } from '@coxswain/replication';
import { Backoff, type Clock, type Log, pause, type Random, type RateLimit } from '@coxswain/runtime';
import { readSnapshotRecords } from '@coxswain/stream';
import { agentEvents } from '../events.js';
import { DonorError, type DonorTable, donorTable } from './donor-table.js';
import type { OneAtATime } from './one-at-a-time.js';

/** Tables that are copied at the same time. */
const TABLES_IN_FLIGHT_MAX = 2;
const ATTEMPTS_MAX = 6;
const RETRY_LEAST_MS = 250;
const RETRY_GREATEST_MS = 10_000;
/** Milliseconds within which the donor must list its tables, or the restore of one must begin. */
const LIST_MS = 10_000;
/**
 * gRPC statuses with which a donor refuses a token. A proxy in front of the donor may answer with the first one,
 * PERMISSION_DENIED.
 */
const TOKEN_REFUSALS: ReadonlySet<number> = new Set([7, Status.Unauthenticated]);
const HOST = /^[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,251}[A-Za-z0-9_])?$/;

/** The parts of the node that a clone uses. `Node` implements them. */
export type CloneNode = Pick<NodeParts, 'tables' | 'cluster' | 'logs' | 'maintenance'>;

/** The cluster to copy, by its address, and the token to show to it. */
export interface Donor {
  readonly address: string;
  readonly token: string;
}

/** The parts of the process that clones use, and the donor of the configuration. */
export interface ClonesOptions {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly restorer: Pick<Restorer, 'restore'>;
  readonly requests: OneAtATime;
  /** Connects to a donor and shows it the token, if there is one. Throws TypeError for an invalid address. */
  readonly connect: (donor: Donor) => Promise<LeaderLink>;
  /** The donor that the configuration names; its address is empty when none is configured. */
  readonly external: Donor;
  /** The rate limit that all restores of this node share, in compressed bytes. */
  readonly rate: RateLimit;
}

/**
 * Makes the error for a refused token. The advice in it depends on whether the request or the configuration named the
 * donor.
 */
type TokenRefused = (donor: string) => ApiError;

/** The last clone that this process began. The cluster's own record of a clone is `ClusterClone`. */
export interface CloneStatus {
  readonly state: 'none' | 'running' | 'done' | 'failed';
  readonly tables: number;
  readonly tablesDone: number;
  /** Compressed bytes received so far, counting again those of repeated attempts. */
  readonly bytes: number;
  readonly error: string | undefined;
}

/**
 * CloneService.Clone (docs/operations-protocols.md §2): fills this cluster, which must be empty, with every table of
 * another cluster. A restore brings each table, so it passes through Raft, arrives whole or not at all, and gets
 * revisions of this cluster (T1, T3). From the answer on, every member knows that a clone is under way, and none
 * reports SERVING until it has succeeded (`ClusterClone`).
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
   * Begins a clone and resolves once it runs: the donor has listed its tables and accepted the token, and the cluster
   * has recorded the clone. A donor that the request names is shown the caller's token and no secret of this node. When
   * it rejects, nothing has begun. Errors, in the order in which they are checked: notForThisRole, donorHostInvalid,
   * donorPortInvalid, anotherRequest, recipientNotEmpty, donorNotConfigured, then donorFailed, donorIsNone,
   * donorIsThisCluster, donorWithoutMaintenance and donorRefusesToken (for the configured donor
   * externalDonorRefusesToken); also those of a linearizable read and of a proposal.
   */
  async begin(request: moco.CloneRequest, token: string, call: Call): Promise<void> {
    checkLeaderRole(this.#node.cluster.role, 'Clone');
    const donor = request.external ? this.#options.external : { address: addressOf(request), token };
    const release = this.#options.requests.take();
    let link: LeaderLink | undefined;
    try {
      await this.#checkEmpty(call);
      if (donor.address === '') throw errors.donorNotConfigured();
      const refused = request.external ? errors.externalDonorRefusesToken : errors.donorRefusesToken;
      link = await this.#connect(donor);
      const tables = await this.#listOf(link, refused, call);
      await this.#checkAccess(link, tables[0]?.name ?? '', refused, call);
      const held = await this.#node.maintenance.clone.begin(donor.address, call);
      // From here on no member takes writes, so this second check sees every write that was acknowledged.
      await this.#checkEmpty(call).catch(async (error: unknown) => {
        await held.withdraw();
        throw error;
      });
      this.#status = { state: 'running', tables: tables.length, tablesDone: 0, bytes: 0, error: undefined };
      this.#running = this.#run(link, tables, held).finally(release);
    } catch (error) {
      link?.close();
      release();
      throw error;
    }
  }

  /** Breaks off the clone that is under way, if any, and resolves when it has ended. */
  async stop(): Promise<void> {
    this.#aborter.abort();
    await this.#running;
  }

  async #checkEmpty(call: Call): Promise<void> {
    for (const { name } of await this.#node.tables.list(call)) {
      const keyCount = await this.#countKeys(name, call);
      if (keyCount > 0) throw errors.recipientNotEmpty(name, keyCount);
    }
  }

  async #countKeys(name: string, call: Call): Promise<number> {
    const { table } = await this.#node.logs.open(name, call);
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

  async #listOf(link: LeaderLink, refused: TokenRefused, call: Call): Promise<DonorTable[]> {
    const request = replication.MetadataRequest.create();
    const metadata = await link.metadata(request, this.#shortCall(call)).catch((error: unknown) => {
      throw statusOf(error) === Status.Unimplemented
        ? errors.donorIsNone(link.address)
        : refusalOf(error, link.address, refused);
    });
    const { tables, clusterId } = metadata;
    if (clusterId !== '' && clusterId === this.#node.cluster.id)
      throw errors.donorIsThisCluster(link.address);
    return tables.map(({ name, shardId }) => ({ name, shardId, clusterId }));
  }

  #shortCall(call: Call): { deadlineMs: number; signal: AbortSignal } {
    const deadlineMs = Math.min(call.deadlineMs, this.#options.clock.monotonicMs() + LIST_MS);
    return { deadlineMs, signal: this.#aborter.signal };
  }

  /**
   * A donor lists its tables for anybody, but lets only some read them. So this asks for a log from entry 0 on: every
   * server that lets the caller read at all refuses that entry, and refusing costs it nothing.
   */
  async #checkAccess(link: LeaderLink, table: string, refused: TokenRefused, call: Call): Promise<void> {
    const request = replication.ReplicateRequest.fromPartial({ table: Buffer.from(table), leaderIndex: 0n });
    try {
      for await (const _ of link.replicate(request, this.#shortCall(call))) break;
    } catch (error) {
      const status = statusOf(error);
      if (status === Status.Unimplemented) throw errors.donorWithoutMaintenance(link.address);
      if (status === undefined || TOKEN_REFUSALS.has(status)) throw refusalOf(error, link.address, refused);
    }
  }

  async #run(link: LeaderLink, tables: readonly DonorTable[], held: HeldClone): Promise<void> {
    const { log } = this.#options;
    const donor = link.address;
    log(agentEvents.cloneBegun, { donor, tables: tables.length });
    const broken = new AbortController();
    // When the clone is no longer held, an operator has decided otherwise, and nothing may be added to the cluster.
    const leave = this.#node.cluster.onChange(() => {
      if (!held.isHeld) broken.abort(new Error('the cluster does not wait for it any more'));
    });
    const signal = AbortSignal.any([this.#aborter.signal, broken.signal]);
    const waiting = [...tables];
    const work = async (): Promise<void> => {
      for (let table = waiting.shift(); table !== undefined && !signal.aborted; table = waiting.shift()) {
        await this.#fill(link, table, { signal, cloneId: held.id });
        this.#status = { ...this.#status, tablesDone: this.#status.tablesDone + 1 };
      }
    };
    const workers = Array.from({ length: TABLES_IN_FLIGHT_MAX }, () =>
      work().catch((error: unknown) => {
        broken.abort(error);
        throw error;
      }),
    );
    const settled = await Promise.allSettled(workers);
    link.close();
    leave();
    const failed = settled.find((result) => result.status === 'rejected');
    const { tablesDone } = this.#status;
    if (failed === undefined && !signal.aborted) {
      await held.end();
      this.#status = { ...this.#status, state: 'done' };
      log(agentEvents.cloneDone, { donor, tables: tablesDone });
      return;
    }
    const isStopped = this.#aborter.signal.aborted;
    const error = isStopped ? 'the node was stopped' : textOf(broken.signal.reason ?? failed?.reason);
    // A node that stops leaves the failed clone to its next start: without a quorum the call would never end.
    if (!isStopped) await held.end(error);
    this.#status = { ...this.#status, state: 'failed', error };
    log(nodeEvents.cloneFailed, { donor, tables: tables.length, tablesDone, reason: error });
  }

  /**
   * Copies one table, and repeats the attempt after errors that may pass. Until a table has come whole, nothing of it
   * is visible here.
   */
  async #fill(
    link: LeaderLink,
    table: DonorTable,
    { signal, cloneId }: { readonly signal: AbortSignal; readonly cloneId: string },
  ): Promise<void> {
    const { clock, random, log, restorer } = this.#options;
    const backoff = new Backoff(random, { leastMs: RETRY_LEAST_MS, greatestMs: RETRY_GREATEST_MS });
    for (let attempt = 1; ; attempt++) {
      try {
        const deadlineMs = clock.monotonicMs() + LIST_MS;
        // A donor under constant writes may compact its log faster than a large table can be copied.
        const records = readSnapshotRecords(this.#stream(link, table, signal, attempt > 2));
        await restorer.restore(table.name, { records }, { deadlineMs, signal, cloneId });
        return;
      } catch (error) {
        if (signal.aborted || attempt === ATTEMPTS_MAX || !mayPass(error)) {
          throw new Error(`table "${table.name}": ${textOf(error)}`, { cause: error });
        }
        log(agentEvents.tableCloneFailed, {
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

/**
 * Whether another attempt may succeed: the donor is away or is replacing the table, or this cluster has no leader for
 * the moment.
 */
function mayPass(error: unknown): boolean {
  if (error instanceof DonorError) return true;
  if (error instanceof LinkError) return !error.isFromLeader || error.status === Status.Unavailable;
  return error instanceof ApiError && error.status === Status.Unavailable;
}

/** The gRPC status that the donor itself returned; undefined when the connection failed or was lost. */
function statusOf(error: unknown): number | undefined {
  return error instanceof LinkError && error.isFromLeader ? error.status : undefined;
}

/** The error that the caller gets when a call to the donor has failed. */
function refusalOf(error: unknown, donor: string, refused: TokenRefused): ApiError {
  const status = statusOf(error);
  if (status !== undefined && TOKEN_REFUSALS.has(status)) return refused(donor);
  return errors.donorFailed(donor, textOf(error));
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
