import type { LedTable, NodeParts, TableLog } from '@coxswain/node';
import { mvcc, replication } from '@coxswain/protocol';
import { CommandKind } from '@coxswain/table';
import type { FollowerEnvironment } from './follower-environment.js';
import type { FollowerOptions } from './follower-options.js';
import { readReplicateMessage } from './replicate-message.js';

/** How many successive commands are compared: one alone, a probe's say, may be the same in another log. */
const RUN_COMMANDS_MAX = 16;
/** The size in bytes at which a run of large commands ends early. */
const RUN_BYTES_MAX = 1024 * 1024;
/** How many entries of this cluster's log are read to find a run. */
const ENTRIES_READ_MAX = 256;
/**
 * Commands that may be taken between two comparisons. This is less than a stock leader keeps when it compacts (5,000 by
 * default), so that the commands that the next comparison needs are still there.
 */
const UNCOMPARED_MAX = 2_000;
const { SEQUENCE } = mvcc.Command_CommandType;

export interface LogComparisonContext {
  readonly node: Pick<NodeParts, 'logs'>;
  readonly environment: FollowerEnvironment;
  readonly options: FollowerOptions;
}

/** How far this cluster was when a comparison began. */
interface Reached {
  /** The leader cluster's index that was taken last. */
  readonly taken: number;
  /** The entry of the own log that was applied last. */
  readonly entry: number;
}

/** Successive commands of the leader cluster's log, marshalled by this version whoever marshalled them first. */
interface Run {
  readonly firstIndex: number;
  readonly commands: readonly Buffer[];
}

/**
 * `same`: the leader cluster's log is the one that this table was taken from, or nothing is known that it could be
 * compared with. `other`: it is another log. `compacted`: the commands that would decide it are no longer in the log.
 * `shorter`: the log ends before them; the next request of the log finds out why.
 */
export type Verdict = 'same' | 'other' | 'compacted' | 'shorter';

/**
 * Decides whether a stock leader cluster's log still is the one that a table here was taken from. Stock Regatta names
 * neither itself nor its shards: a table that was deleted and made again begins at index 1, and goes on past the cursor
 * as if nothing had happened. So commands that were taken are asked for again from time to time, and compared with
 * those in the log of this cluster's own table.
 *
 * A log that was replaced never comes back. So when a comparison finds commands equal, everything that was taken before
 * it came from the same log, and the next comparison goes by the last of that; anything taken since may be of another
 * log. A new worker does not know when that was: it goes by commands that were taken two intervals before the last one,
 * or the oldest that it has, and where the leader cluster has compacted those, by the newest.
 */
export class LogComparison {
  readonly #table: LedTable;
  readonly #node: LogComparisonContext['node'];
  readonly #environment: FollowerEnvironment;
  readonly #options: FollowerOptions;
  #last: (Reached & { readonly atMs: number }) | undefined;
  #compacted: Reached | undefined;
  /** The leader cluster's commands at the cursor, where this cluster's log holds none of them yet: after a snapshot. */
  #seen: Run | undefined;

  constructor(table: LedTable, { node, environment, options }: LogComparisonContext) {
    this.#table = table;
    this.#node = node;
    this.#environment = environment;
    this.#options = options;
  }

  /** True when nothing more may be taken before another comparison. */
  isDue(taken: number): boolean {
    const last = this.#last;
    return (
      last === undefined ||
      taken - last.taken >= UNCOMPARED_MAX ||
      this.#environment.clock.monotonicMs() - last.atMs >= this.#options.reconcileIntervalMs
    );
  }

  /** Compares the logs. Errors: those of `LogsApi.open`, and LinkError. */
  async compare(taken: number, signal: AbortSignal): Promise<Verdict> {
    const log = await this.#node.logs.open(this.#table.name, { deadlineMs: this.#deadlineMs });
    const now = { taken, entry: log.appliedIndex };
    const known = this.#runs(log);
    for (const run of known) {
      const verdict = await this.#compareRun(run, signal);
      if (verdict === 'compacted') continue;
      if (verdict === 'same') this.#goOnFrom(now);
      return verdict;
    }
    if (known.length > 0) {
      this.#compacted = now;
      return 'compacted';
    }
    const seen = taken === 0 ? undefined : await this.#fetch(taken, 1, signal);
    this.#seen = seen?.commands.length === 1 ? seen : undefined;
    this.#goOnFrom(now);
    return 'same';
  }

  /**
   * Goes on after `compacted` all the same. Commands taken from another log since the last comparison stay unnoticed.
   */
  passOver(): void {
    this.#goOnFrom(this.#compacted!);
  }

  #goOnFrom(at: Reached): void {
    this.#last = { ...at, atMs: this.#environment.clock.monotonicMs() };
  }

  get #deadlineMs(): number {
    return this.#environment.clock.monotonicMs() + this.#options.logRpcTimeoutMs;
  }

  /** Returns the runs that can decide it, the best first. */
  #runs(log: TableLog): Run[] {
    const newest = log.appliedIndex;
    const runs =
      this.#last === undefined
        ? [runUpTo(log, oldEntry(log, this.#options)), runUpTo(log, newest)]
        : [runUpTo(log, this.#last.entry)];
    const known = runs.filter(({ commands }) => commands.length > 0);
    if (known.length > 0) return known;
    const first = runAfter(log, this.#last?.entry ?? 0);
    return [...(this.#seen === undefined ? [] : [this.#seen]), ...(first.commands.length > 0 ? [first] : [])];
  }

  async #compareRun({ firstIndex, commands }: Run, signal: AbortSignal): Promise<Verdict> {
    const now = await this.#fetch(firstIndex, commands.length, signal);
    if (now === undefined) return 'compacted';
    if (now.commands.some((command, at) => !command.equals(commands[at]!))) return 'other';
    return now.commands.length === commands.length ? 'same' : 'shorter';
  }

  /** Fetches at most `count` of the leader cluster's commands from an index on; undefined: they were compacted. */
  async #fetch(firstIndex: number, count: number, signal: AbortSignal): Promise<Run | undefined> {
    const request = replication.ReplicateRequest.fromPartial({
      table: Buffer.from(this.#table.name),
      leaderIndex: BigInt(firstIndex),
      follower: this.#options.followerName,
    });
    const commands: Buffer[] = [];
    for await (const bytes of this.#environment.link.replicate(request, {
      deadlineMs: this.#deadlineMs,
      signal,
    })) {
      const message = readReplicateMessage(bytes);
      if (message.error === replication.ReplicateError.USE_SNAPSHOT) return undefined;
      for (const { leaderIndex, command } of message.commands) {
        if (leaderIndex !== firstIndex + commands.length) continue;
        commands.push(canonical(mvcc.Command.decode(command)));
        if (commands.length === count) return { firstIndex, commands };
      }
      if (message.error !== undefined || message.isTerminal) break;
    }
    return { firstIndex, commands };
  }
}

/** Returns an entry that was applied two intervals before the last one, or the oldest. */
function oldEntry(log: TableLog, { reconcileIntervalMs }: FollowerOptions): number {
  const newest = log.appliedIndex;
  if (newest <= log.firstIndex) return newest;
  const limitMs = log.entries(newest, 1)[0]!.timeMs - 2 * reconcileIntervalMs;
  let old = newest;
  for (let step = 1; old > log.firstIndex; step *= 2) {
    old = Math.max(log.firstIndex, newest - step);
    const { timeMs } = log.entries(old, 1)[0]!;
    if (timeMs > 0 && timeMs <= limitMs) break;
  }
  return old;
}

/** Returns the last commands up to an entry of this cluster's log. */
function runUpTo(log: TableLog, entry: number): Run {
  const commands: mvcc.Command[] = [];
  let sizeBytes = 0;
  const from = Math.min(entry, log.appliedIndex);
  for (let at = from; at >= Math.max(log.firstIndex, from - ENTRIES_READ_MAX); at--) {
    const taken = commandsIn(log, at);
    // R1: an entry without effect, whose commands another one brought, is in the log too.
    const isBefore = taken.commands.at(-1)?.leaderIndex === (commands[0]?.leaderIndex ?? 0n) - 1n;
    if (commands.length > 0 && !isBefore) continue;
    commands.unshift(...taken.commands);
    sizeBytes += taken.sizeBytes;
    if (commands.length >= RUN_COMMANDS_MAX || sizeBytes >= RUN_BYTES_MAX) break;
  }
  return runOf(commands.slice(-RUN_COMMANDS_MAX));
}

/** Returns the first commands after an entry of this cluster's log. */
function runAfter(log: TableLog, entry: number): Run {
  let commands: mvcc.Command[] = [];
  for (let at = Math.max(entry + 1, log.firstIndex); commands.length === 0 && at <= log.appliedIndex; at++) {
    commands = commandsIn(log, at).commands;
  }
  return runOf(commands.slice(0, RUN_COMMANDS_MAX));
}

function runOf(commands: readonly mvcc.Command[]): Run {
  return { firstIndex: Number(commands[0]?.leaderIndex ?? 0n), commands: commands.map(canonical) };
}

/**
 * Returns the leader cluster's commands in an entry of this cluster's log: the parts of a sequence that was packed
 * here, or the single command.
 */
function commandsIn(log: TableLog, entry: number): { commands: mvcc.Command[]; sizeBytes: number } {
  const { kind, command: bytes } = log.entries(entry, 1)[0]!;
  if (kind !== CommandKind.Command) return { commands: [], sizeBytes: 0 };
  const command = mvcc.Command.decode(bytes);
  const { sequence, type, leaderIndex = 0n } = command;
  const firstIndex = leaderIndex - BigInt(sequence.length) + 1n;
  const isPacked =
    type === SEQUENCE && sequence.every((inner, at) => inner.leaderIndex === firstIndex + BigInt(at));
  return { commands: isPacked ? sequence : [command], sizeBytes: bytes.length };
}

/**
 * Marshals the command as this version does, without its time, which is added here: a release of the leader cluster may
 * order fields otherwise, or add some.
 */
function canonical(command: mvcc.Command): Buffer {
  return mvcc.Command.encode({ ...command, timeMs: undefined }).finish() as Buffer;
}
