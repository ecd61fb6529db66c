import { ApiError, type Call, errors, type Log, type NodeParts, type ShardLoad } from '@coxswain/node';
import { mvcc } from '@coxswain/protocol';
import { ShardFiller, whyNotUnderstood } from '@coxswain/replication';
import type { Clock } from '@coxswain/runtime';
import { SnapshotDamagedError, type SnapshotRecords } from '@coxswain/stream';

/** How long each step other than reading the stream may take. */
const STEP_MS = 60_000;
/** The most bytes of commands that are run again as one entry, see `ShardLoad.replay`. */
const REPLAY_BYTES_MAX = 512 * 1024;
/** No accepted request makes a larger command, whatever a conversion adds to it (P4). */
const COMMAND_BYTES_MAX = 4 * 1024 * 1024 + 64 * 1024;
/** The most bytes that a SEQUENCE puts before each command in it. */
const FRAME_BYTES = 8;
const { DUMMY, SEQUENCE, GC } = mvcc.Command_CommandType;

/** The call of a client that asks for a restore. */
export interface RestoreCall extends Call {
  /** Aborted when nobody waits for it any more: then the restore is not finished. */
  readonly signal: AbortSignal;
  /** The clone that brings the table: until it has succeeded nobody else restores. */
  readonly cloneId?: string;
}

/**
 * The pairs and commands that make a table, as records: a source that reads them from bytes checks those to their end.
 */
export interface RestoreSource {
  /** Pairs in key order; a DUMMY ends them where commands follow among the records. The restore ends the generator. */
  readonly records: AsyncGenerator<SnapshotRecords, void, undefined>;
  /** Marshalled mvcc.v1.Commands of a log, some at a time, that are run again after those of `records`. */
  readonly commands?: AsyncIterable<readonly Buffer[]>;
}

/** The parts of the node that a restore uses. */
export interface RestorerEnvironment {
  readonly clock: Clock;
  readonly log: Log;
}

/** The state of a table after a restore. */
export interface Restored {
  readonly shardId: number;
  readonly revision: number;
  readonly keyCount: number;
}

/**
 * Replaces a table, or makes one, by pairs and by commands that are run again in order (DESIGN.md). All of it goes into
 * a shard of its own, which takes over the name in one step when the source has come to its end (T2). A failure before
 * that step leaves the table as it is, and leaves nothing else.
 */
export class Restorer {
  readonly #node: Pick<NodeParts, 'maintenance'>;
  readonly #environment: RestorerEnvironment;
  readonly #underWay = new Set<Promise<unknown>>();

  constructor(node: Pick<NodeParts, 'maintenance'>, environment: RestorerEnvironment) {
    this.#node = node;
    this.#environment = environment;
  }

  /**
   * Reads `source` at the pace of the cluster. The call's deadline is for the beginning alone: the rest takes as long
   * as the source. Rejects with the errors of the source, restoreDamaged, requestBrokenOff, loadReplaced,
   * restoreInterrupted, the errors of `MaintenanceControl.beginRestore` and, when the switch was begun, outcomeUnknown.
   */
  async restore(name: string, source: RestoreSource, call: RestoreCall): Promise<Restored> {
    const restore = this.#restore(name, source, call);
    this.#underWay.add(restore);
    try {
      return await restore;
    } finally {
      this.#underWay.delete(restore);
    }
  }

  /** Resolves when no step that was begun is still under way. */
  async settled(): Promise<void> {
    await Promise.allSettled(this.#underWay);
  }

  async #restore(name: string, source: RestoreSource, call: RestoreCall): Promise<Restored> {
    const shard = await this.#begin(name, call);
    try {
      await this.#fill(shard, source);
      // Some clients end a stream in order when they break it off, and only then show that they have left.
      if (call.signal.aborted) throw errors.requestBrokenOff();
    } catch (error) {
      await this.#abandon(shard, name);
      throw toApiError(error);
    }
    try {
      await shard.switch({}, this.#deadline());
    } catch (error) {
      // Once it is begun it is carried to its end, and nothing is abandoned by this.
      await this.#abandon(shard, name);
      throw error;
    }
    const { shardId, keyCount } = shard;
    this.#environment.log('info', 'a table was restored', { table: name, shardId, keyCount });
    return { shardId, revision: shard.header().revision, keyCount };
  }

  async #begin(name: string, call: RestoreCall): Promise<ShardLoad> {
    const deadlineMs = Math.min(call.deadlineMs, this.#deadline().deadlineMs);
    try {
      return await this.#node.maintenance.beginRestore(name, { deadlineMs }, call.cloneId);
    } catch (error) {
      throw toApiError(error);
    }
  }

  async #fill(shard: ShardLoad, { records, commands }: RestoreSource): Promise<void> {
    try {
      const filler = new ShardFiller(shard, this.#environment.clock);
      const { filled, rest } = await filler.fillFrom(records);
      await shard.finish({ ...filled, leaderIndex: 0 }, this.#deadline());
      const replay = new Replay((batch) => shard.replay(batch, this.#deadline()));
      await replay.take(rest);
      for await (const some of records) await replay.take(some);
      if (commands !== undefined) for await (const some of commands) await replay.take(some);
      await replay.end();
    } finally {
      await records.return();
    }
  }

  async #abandon(shard: ShardLoad, table: string): Promise<void> {
    try {
      await shard.abandon(this.#deadline());
    } catch (error) {
      this.#environment.log('warn', 'what a restore left behind could not be given up yet', {
        table,
        reason: String(error),
      });
    }
  }

  #deadline(): Call {
    return { deadlineMs: this.#environment.clock.monotonicMs() + STEP_MS };
  }
}

/** Runs commands again, as few entries as they fit in: each is decoded once, checked, and handed on. */
class Replay {
  readonly #run: (batch: readonly mvcc.Command[]) => Promise<void>;
  #batch: mvcc.Command[] = [];
  #batchBytes = 0;

  constructor(run: (batch: readonly mvcc.Command[]) => Promise<void>) {
    this.#run = run;
  }

  /**
   * Takes marshalled commands. Rejects with SnapshotDamagedError for commands that apply could only stop at (A3, A8).
   */
  async take(records: Iterable<Buffer>): Promise<void> {
    for (const record of records) {
      const command = checked(record);
      const isSequence = command.type === SEQUENCE;
      for (const single of isSequence ? command.sequence : [command]) {
        // Entries that had no effect stand in a log as DUMMYs; and each part that is appended to another begins with
        // one.
        if (single.type === DUMMY || single.type === GC) continue;
        const commandBytes = isSequence ? mvcc.Command.encode(single).finish().length : record.length;
        const sizeBytes = FRAME_BYTES + commandBytes;
        if (this.#batchBytes + sizeBytes > REPLAY_BYTES_MAX) await this.end();
        this.#batch.push(single);
        this.#batchBytes += sizeBytes;
      }
    }
  }

  /** Runs the commands that were taken and not run yet. */
  async end(): Promise<void> {
    const batch = this.#batch;
    this.#batch = [];
    this.#batchBytes = 0;
    if (batch.length > 0) await this.#run(batch);
  }
}

/** Decodes a record. Throws SnapshotDamagedError for one that is no command, or none that apply knows. */
function checked(record: Buffer): mvcc.Command {
  if (record.length > COMMAND_BYTES_MAX) {
    throw new SnapshotDamagedError('a command is larger than any that a request makes');
  }
  const command = decode(record);
  const reason = whyNotUnderstood(command);
  if (reason !== undefined) throw new SnapshotDamagedError(`a command is ${reason}`);
  return command;
}

function decode(record: Buffer): mvcc.Command {
  try {
    return mvcc.Command.decode(record);
  } catch (error) {
    throw new SnapshotDamagedError('a record is not a Command', { cause: error });
  }
}

/**
 * Converts an error. Before the switch nothing is changed, even where the state of the shard that was filled is not
 * known.
 */
function toApiError(error: unknown): unknown {
  if (error instanceof SnapshotDamagedError) return errors.restoreDamaged(error.detail);
  return error instanceof ApiError && error.isOutcomeUnknown ? errors.restoreInterrupted() : error;
}
