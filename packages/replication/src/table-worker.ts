import { ApiError, type LedTable, type NodeParts, Status } from '@coxswain/node';
import { mvcc, replication, WireError } from '@coxswain/protocol';
import { Backoff, jittered, parseTraceparent, pause, type SpanContext } from '@coxswain/runtime';
import { SnapshotDamagedError } from '@coxswain/stream';
import type { Contact } from './contact.js';
import { replicationEvents } from './events.js';
import type { FollowerEnvironment } from './follower-environment.js';
import type { FollowerOptions } from './follower-options.js';
import { LinkError } from './leader-link.js';
import { LogComparison } from './log-comparison.js';
import { TAKES_MORE_ANSWERS, UNDERSTANDS_REVISION_COMPARES } from './log-stream.js';
import { CommandNotUnderstoodError, checkReceived } from './received-command.js';
import type { Recovery } from './recovery.js';
import { type ReceivedCommand, type ReplicateMessage, readReplicateMessage } from './replicate-message.js';
import { encodeSequence, encodeStamped, sizeInSequence } from './sequence.js';
import type { TableReplication } from './status.js';

/**
 * Proposals under way: the next one is built while the ones before it are on their way to the disk (R1). Small ones
 * come every few milliseconds, and a slow disk takes longer for a write, so a proposal that finds no room waits for two
 * writes.
 */
const PROPOSALS_IN_FLIGHT_MAX = 16;
/** The number of proposals under way when all have the largest size. */
const FULL_PROPOSALS_IN_FLIGHT_MAX = 4;
/**
 * Milliseconds that a proposal may take. Nothing is lost when it takes longer, since the cursor shows whether it was
 * applied.
 */
const PROPOSAL_MS = 30_000;
/** A leader cluster without long poll is asked again after this part of the interval when something has come. */
const POLL_FASTEST = 1 / 256;
/**
 * The number of intervals between attempts after FAILED_PRECONDITION: somebody must act on the leader cluster, so there
 * is no hurry (docs/protocol.md §3).
 */
const PRECONDITION_INTERVALS = 10;
/** The least milliseconds between two snapshots that are taken only because the logs can no longer be compared. */
const UNCOMPARABLE_MS = 3_600_000;
const { USE_SNAPSHOT, LEADER_BEHIND } = replication.ReplicateError;

/** An entry does not fit the stored state; the stored cursor says where to continue. */
class CursorMovedError extends Error {
  override readonly name = 'CursorMovedError';
}

export interface TableWorkerContext {
  readonly node: Pick<NodeParts, 'cluster' | 'logs' | 'follower'>;
  readonly environment: FollowerEnvironment;
  readonly options: FollowerOptions;
  readonly recovery: Recovery;
  /** By table, the monotonic time at which it was last taken again because the logs could not be compared. */
  readonly uncomparable: Map<string, number>;
  /**
   * Called with true when something came from the leader cluster, and with false when an attempt to reach it failed.
   */
  readonly contact: (isThere: boolean) => void;
  readonly counters: { commandsApplied: number; bytesReceived: number };
}

/**
 * Replicates one table while this node leads its group. It asks the leader cluster for the entries after the cursor,
 * packs them, and proposes them on the cursor that they follow (R1). After any failure the stored cursor says where to
 * continue, so the worker has no state that matters.
 */
export class TableWorker {
  readonly table: LedTable;
  /**
   * The contact with the leader cluster about this table: the cluster may be reachable and yet send nothing of the
   * table.
   */
  readonly contact: Contact;
  readonly #context: TableWorkerContext;
  readonly #aborter = new AbortController();
  readonly #backoff: Backoff;
  #state: TableReplication['state'] = 'replicating';
  #error: string | undefined;
  #leaderAppliedIndex = 0;
  /** The monotonic time since which entries are known to be missing; undefined when none are. */
  #behindSinceMs: number | undefined;
  #idleMs = 0;
  #wasLeaderBehind = false;
  /** Compares the logs of a stock leader cluster, which names neither itself nor its shards. */
  readonly #comparison: LogComparison;

  /** The last index that is in a proposal, and the proposals that are not applied yet. */
  #taken = 0;
  readonly #inFlight = new Set<Promise<void>>();
  #inFlightBytes = 0;
  /** The commands after that index, which are in no proposal yet. */
  #packed: ReceivedCommand[] = [];
  #packedBytes = 0;
  /** True when the packed commands are all that has come for the moment, so that they wait only for room. */
  #isPackedDue = false;
  #failure: { readonly error: unknown } | undefined;

  constructor(table: LedTable, context: TableWorkerContext, contact: Contact) {
    this.table = table;
    this.contact = contact;
    this.#context = context;
    this.#comparison = new LogComparison(table, context);
    const { pollIntervalMs } = context.options;
    this.#backoff = new Backoff(context.environment.random, {
      leastMs: pollIntervalMs / 16,
      greatestMs: pollIntervalMs,
    });
  }

  /**
   * Replicates until stopped, and resolves when none of its proposals is under way. Rejects with a broken invariant.
   */
  async run(): Promise<void> {
    const { signal } = this.#aborter;
    const { name, stopped, isResetWanted } = this.table;
    if (stopped !== undefined) {
      this.#state = 'stopped';
      this.#error = stopped;
      this.contact.failed();
      return;
    }
    if (isResetWanted) this.#state = 'resetting';
    while (!signal.aborted) {
      try {
        if (this.#state === 'resetting' || this.#state === 'recovering') {
          await this.#context.recovery.run(name, signal, () => this.contact.heard());
          // The new shard counts as another table to lead, here or on another node.
          return;
        }
        await this.#replicate();
      } catch (error) {
        await this.#afterFailure(error);
      }
    }
    await this.#settled();
  }

  stop(): void {
    this.#aborter.abort();
  }

  status(): Omit<TableReplication, 'replicatedBy'> {
    const cursor = this.#context.node.follower.cursor(this.table.shardId) ?? 0;
    const lagEntries = Math.max(0, this.#leaderAppliedIndex - cursor);
    if (lagEntries === 0) this.#behindSinceMs = undefined;
    else this.#behindSinceMs ??= this.#nowMs;
    return {
      name: this.table.name,
      state: this.#state,
      leaderIndex: cursor,
      leaderAppliedIndex: this.#leaderAppliedIndex,
      lagEntries,
      lagMs: Math.max(
        this.#behindSinceMs === undefined ? 0 : this.#nowMs - this.#behindSinceMs,
        this.contact.unheardMs,
      ),
      error: this.#error,
    };
  }

  get #nowMs(): number {
    return this.#context.environment.clock.monotonicMs();
  }

  /** Polls again and again, as long as nothing fails. */
  async #replicate(): Promise<void> {
    const { signal } = this.#aborter;
    await this.#settled();
    this.#failure = undefined;
    const cursor = this.#context.node.follower.cursor(this.table.shardId);
    if (cursor === undefined) throw new CursorMovedError('the table does not serve here for the moment');
    this.#taken = cursor;
    while (!signal.aborted) {
      const beganMs = this.#nowMs;
      const before = this.#taken;
      if (this.#isStock && this.#comparison.isDue(this.#taken)) await this.#compare();
      await this.#poll();
      this.#throwFailure();
      this.#backoff.reset();
      this.#state = 'replicating';
      this.#error = undefined;
      this.#wasLeaderBehind = false;
      if (this.#taken !== before) this.#idleMs = 0;
      else await this.#idle(this.#nowMs - beganMs);
    }
  }

  /**
   * Waits after an answer without entries. A leader cluster of ours has waited itself; another one is asked again after
   * a while.
   */
  async #idle(answeredAfterMs: number): Promise<void> {
    const { clock, random } = this.#context.environment;
    const { pollIntervalMs } = this.#context.options;
    if (answeredAfterMs >= pollIntervalMs / 2) return;
    this.#idleMs = Math.min(pollIntervalMs, Math.max(pollIntervalMs * POLL_FASTEST, this.#idleMs * 2));
    await pause(clock, jittered(random, this.#idleMs), this.#aborter.signal);
  }

  async #poll(): Promise<void> {
    try {
      await this.#takeLog();
      await this.#propose();
    } finally {
      // Commands that are in no proposal are asked for again.
      this.#takePacked();
    }
  }

  /**
   * Makes one Log.Replicate: takes the entries from the last one taken up to those that the leader cluster had applied,
   * and those that come soon after.
   */
  async #takeLog(): Promise<void> {
    const { environment, options, node, contact, counters } = this.#context;
    const { signal } = this.#aborter;
    const { name } = this.table;
    const isWanting = this.#leaderAppliedIndex === 0 || this.contact.isFailing;
    const request = replication.ReplicateRequest.fromPartial({
      table: Buffer.from(name),
      leaderIndex: BigInt(this.#taken + 1),
      // At first, and after a failure, an immediate answer says how far the leader cluster is, and that the failure is
      // over.
      waitMs: isWanting ? 0 : Math.floor(options.logRpcTimeoutMs / 2),
      clusterId: node.cluster.leaderClusterId ?? '',
      capabilities: UNDERSTANDS_REVISION_COMPARES | TAKES_MORE_ANSWERS,
      follower: options.followerName,
      followerClusterId: node.cluster.id ?? '',
      appliedIndex: BigInt(node.follower.cursor(this.table.shardId) ?? 0),
    });
    const call = { deadlineMs: this.#nowMs + options.logRpcTimeoutMs, signal };
    for await (const bytes of environment.link.replicate(request, call)) {
      contact(true);
      this.contact.heard();
      counters.bytesReceived += bytes.length;
      const message = readReplicateMessage(bytes);
      this.#learn(message);
      if (message.error !== undefined) {
        await this.#refused(message.error);
        return;
      }
      await this.#pack(message.commands);
      if (this.#isStock && this.#comparison.isDue(this.#packedUpTo)) break;
      if (this.#failure !== undefined || signal.aborted) break;
      if (!message.isTerminal) continue;
      // A stock leader's stream ends here. One of ours may continue, so the commands so far wait only for room.
      if (this.#isStock) break;
      this.#isPackedDue = true;
      this.#proposeDue();
    }
  }

  /** The last index that has come. */
  get #packedUpTo(): number {
    return this.#taken + this.#packed.length;
  }

  /** Packs commands, and proposes each full pack. */
  async #pack(commands: readonly ReceivedCommand[]): Promise<void> {
    for (const command of commands) {
      const due = this.#packedUpTo + 1;
      // A command that is sent twice is harmless.
      if (command.leaderIndex < due) continue;
      if (command.leaderIndex !== due) {
        throw new CursorMovedError(
          `entry ${command.leaderIndex} of the leader cluster came where ${due} was due`,
        );
      }
      checkReceived(command);
      const size = sizeInSequence(command);
      const isAlone = command.type === mvcc.Command_CommandType.SEQUENCE;
      const isFull = this.#packedBytes + size > this.#context.options.sequenceBytesMax;
      if (this.#packed.length > 0 && (isAlone || isFull)) await this.#propose();
      this.#packed.push(command);
      this.#packedBytes += size;
      this.#isPackedDue = false;
      if (isAlone) await this.#propose();
    }
  }

  get #isStock(): boolean {
    return this.#context.node.cluster.leaderClusterId === '';
  }

  /** Compares the logs before more is taken, and takes the table again when the leader cluster's log is another one. */
  async #compare(): Promise<void> {
    const { environment, uncomparable } = this.#context;
    const { name: table } = this.table;
    const verdict = await this.#comparison.compare(this.#taken, this.#aborter.signal);
    if (verdict === 'same' || verdict === 'shorter') return;
    if (verdict === 'other') {
      environment.log(replicationEvents.followedTableRemade, { table });
    } else {
      const lastMs = uncomparable.get(table);
      if (lastMs !== undefined && this.#nowMs - lastMs < UNCOMPARABLE_MS) {
        this.#comparison.passOver();
        return;
      }
      uncomparable.set(table, this.#nowMs);
      environment.log(replicationEvents.followedLogUncomparable, { table });
    }
    await this.#settled();
    this.#state = 'recovering';
    throw new CursorMovedError('the log of the leader cluster is another one');
  }

  #learn({ leaderIndex, commands }: ReplicateMessage): void {
    // Early stock leaders do not send their index; then the entries that they send are all that is known.
    const applied = Math.max(leaderIndex, commands.at(-1)?.leaderIndex ?? 0);
    if (applied > 0) this.#leaderAppliedIndex = applied;
    if (this.#leaderAppliedIndex <= this.#taken) this.#behindSinceMs = undefined;
    else this.#behindSinceMs ??= this.#nowMs;
  }

  async #refused(error: replication.ReplicateError): Promise<void> {
    await this.#settled();
    const { node, environment } = this.#context;
    const { name } = this.table;
    if (error === USE_SNAPSHOT) {
      environment.log(replicationEvents.followedLogTooShort, { table: name });
      this.#state = 'recovering';
      throw new CursorMovedError('a snapshot is needed');
    }
    if (error !== LEADER_BEHIND)
      throw new CursorMovedError(`the leader cluster answered with error ${error}`);
    // Asks once more, from the stored cursor: a proposal that was under way when it asked may have been overtaken.
    if (!this.#wasLeaderBehind) {
      this.#wasLeaderBehind = true;
      throw new CursorMovedError('the leader cluster is behind this one');
    }
    await this.#stopForGood(
      `the leader cluster's log of the table ends before index ${node.follower.cursor(this.table.shardId)}, which was replicated from it: the table was deleted and made again there, or the leader cluster was restored or is another one; run "coxswain reset --table ${name}" to take everything from it anew`,
    );
  }

  async #stopForGood(reason: string): Promise<void> {
    const { node, environment } = this.#context;
    environment.log(replicationEvents.replicationStopped, { table: this.table.name, reason });
    this.#state = 'stopped';
    this.#error = reason;
    this.contact.failed();
    await node.follower.stopReplication(this.table.name, reason, { deadlineMs: this.#nowMs + PROPOSAL_MS });
    // The registry now says so, and the node that follows it stops this worker.
    await pause(environment.clock, PROPOSAL_MS, this.#aborter.signal);
  }

  #throwFailure(): void {
    if (this.#failure !== undefined) throw this.#failure.error;
  }

  /** Proposes the packed commands, after waiting for room among the proposals under way. */
  async #propose(): Promise<void> {
    while (this.#packed.length > 0 && !this.#hasRoom) await Promise.race(this.#inFlight);
    this.#proposePacked();
  }

  get #hasRoom(): boolean {
    const bytesMax = FULL_PROPOSALS_IN_FLIGHT_MAX * this.#context.options.sequenceBytesMax;
    const { size } = this.#inFlight;
    return (
      size === 0 || (size < PROPOSALS_IN_FLIGHT_MAX && this.#inFlightBytes + this.#packedBytes <= bytesMax)
    );
  }

  /** Proposes the packed commands if they are due and there is room; otherwise more are packed until there is. */
  #proposeDue(): void {
    if (this.#isPackedDue && this.#hasRoom) this.#proposePacked();
  }

  #proposePacked(): void {
    const last = this.#packed.at(-1);
    // R1: a proposal after a failed one would be refused by its cursor.
    if (last === undefined || this.#failure !== undefined) return;
    const sizeBytes = this.#packedBytes;
    const commands = this.#takePacked();
    const cursor = this.#taken;
    const command = commands.length === 1 ? encodeStamped(last) : encodeSequence(commands);
    this.#taken = last.leaderIndex;
    const proposal = this.#apply(cursor, command, commands).finally(() => {
      this.#inFlight.delete(proposal);
      this.#inFlightBytes -= sizeBytes;
      this.#proposeDue();
    });
    this.#inFlight.add(proposal);
    this.#inFlightBytes += sizeBytes;
  }

  #takePacked(): ReceivedCommand[] {
    const commands = this.#packed;
    this.#packed = [];
    this.#packedBytes = 0;
    this.#isPackedDue = false;
    return commands;
  }

  async #apply(cursor: number, command: Buffer, commands: readonly ReceivedCommand[]): Promise<void> {
    const { node, counters, environment } = this.#context;
    const trace = this.#traceOf(commands);
    const beganMs = this.#nowMs;
    try {
      const { shardId } = this.table;
      const call = { deadlineMs: beganMs + PROPOSAL_MS, trace: trace?.context };
      const { hasStaleCursor } = await node.follower.replicate(shardId, { cursor, command }, call);
      if (hasStaleCursor) throw new CursorMovedError('another proposal came first');
      counters.commandsApplied += commands.length;
      if (trace !== undefined) {
        environment.tracer!.record({
          name: 'replicate',
          kind: 'consumer',
          ...trace,
          parentId: undefined,
          beganMs,
          endedMs: this.#nowMs,
          attributes: {
            'coxswain.table': this.table.name,
            'coxswain.shard_id': shardId,
            'coxswain.leader_index': commands.at(-1)!.leaderIndex,
            'coxswain.commands': commands.length,
          },
        });
      }
    } catch (error) {
      this.#failure ??= { error };
    }
  }

  /**
   * Returns a trace for a proposal of commands, linked to the spans of the leader cluster that wrote them; undefined
   * when none of them is known.
   */
  #traceOf(
    commands: readonly ReceivedCommand[],
  ): { readonly context: SpanContext; readonly links: readonly SpanContext[] } | undefined {
    const { tracer } = this.#context.environment;
    if (tracer === undefined) return undefined;
    const links = commands.flatMap(({ traceparent }) => parseTraceparent(traceparent) ?? []);
    // The trace is recorded since those to which it is linked are.
    return links.length === 0
      ? undefined
      : { context: { ...tracer.begin(undefined), isSampled: true }, links };
  }

  /** Resolves when no proposal of this worker is under way. */
  async #settled(): Promise<void> {
    await Promise.all(this.#inFlight);
  }

  async #afterFailure(error: unknown): Promise<void> {
    const { environment, options, contact } = this.#context;
    const { signal } = this.#aborter;
    await this.#settled();
    if (signal.aborted) return;
    if (error instanceof CommandNotUnderstoodError) {
      await this.#stopForGood(
        `${error.message}: start every node of this cluster with ${error.remedy}, then run "coxswain reset --table ${this.table.name}"`,
      );
      return;
    }
    if (error instanceof CursorMovedError) {
      // Takes a snapshot or looks at the stored cursor again, without delay unless this repeats.
      if (this.#state === 'recovering') return;
    } else if (isSurvivable(error)) {
      this.#error = describe(error);
      this.contact.failed();
      if (error instanceof LinkError && !error.isFromLeader) contact(false);
      if (this.#state === 'replicating') this.#state = 'retrying';
    } else throw error;
    const isUnmet = error instanceof LinkError && error.status === Status.FailedPrecondition;
    const delayMs = isUnmet
      ? jittered(environment.random, options.pollIntervalMs * PRECONDITION_INTERVALS)
      : this.#backoff.next();
    await pause(environment.clock, delayMs, signal);
  }
}

/** Whether another attempt may succeed: the fault lies with the leader cluster, the network or the moment. */
function isSurvivable(error: unknown): boolean {
  return (
    error instanceof LinkError ||
    error instanceof ApiError ||
    error instanceof SnapshotDamagedError ||
    // Thrown for bytes that are no message.
    error instanceof WireError ||
    error instanceof RangeError
  );
}

function describe(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
