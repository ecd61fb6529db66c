import { ApiError, type Call, errors, type NodeParts, type ShardLoad } from '@coxswain/node';
import { mvcc } from '@coxswain/protocol';
import { ShardFiller, whyNotUnderstood } from '@coxswain/replication';
import type { Clock, Log } from '@coxswain/runtime';
import { SnapshotDamagedError, type SnapshotRecords } from '@coxswain/stream';
import { backupEvents } from './events.js';

/** Milliseconds within which each step must be done that does not depend on the speed of the stream. */
const STEP_MS = 60_000;
/** Bytes of commands that are replayed as one entry, see `ShardLoad.replay`. */
const REPLAY_BYTES_MAX = 512 * 1024;
/** Bytes of the largest command: no accepted request makes a larger one, whatever a conversion adds to it (P4). */
const COMMAND_BYTES_MAX = 4 * 1024 * 1024 + 64 * 1024;
/** The most bytes that a SEQUENCE puts before each command in it. */
const FRAME_BYTES = 8;
const { DUMMY, SEQUENCE, GC } = mvcc.Command_CommandType;

/** The call of a client or a clone that restores a table. */
export interface RestoreCall extends Call {
  /** Aborted when nobody waits for the restore any more; it is then given up. */
  readonly signal: AbortSignal;
  /** The clone that brings the table. Until that clone has succeeded, no other call may restore. */
  readonly cloneId?: string;
}

/**
 * The pairs and commands that make a table, as records. A source that reads them from bytes checks those bytes to their
 * end.
 */
export interface RestoreSource {
  /** Pairs in key order, ended by a DUMMY if commands follow among the records. The restore closes the generator. */
  readonly records: AsyncGenerator<SnapshotRecords, void, undefined>;
  /** Marshalled mvcc.v1.Commands of a log, in batches, which are replayed after those of `records`. */
  readonly commands?: AsyncIterable<readonly Buffer[]>;
}

/** The clock and log that a restore uses. */
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
 * Replaces a table, or makes one, from pairs and from commands that are replayed in order (DESIGN.md). It fills a new
 * shard, which takes over the table's name in one step when the source has come to its end (T2). A failure before that
 * step leaves the table as it is, and nothing else.
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
   * as the source. Rejects with what the source throws, restoreDamaged, requestBrokenOff, loadReplaced,
   * restoreInterrupted, the errors of `MaintenanceControl.beginRestore` and, once the switch was begun, outcomeUnknown.
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

  /** Resolves when every restore that was begun has ended. */
  async settled(): Promise<void> {
    await Promise.allSettled(this.#underWay);
  }

  async #restore(name: string, source: RestoreSource, call: RestoreCall): Promise<Restored> {
    const shard = await this.#begin(name, call);
    try {
      await this.#fill(shard, source);
      // Some clients that break a stream off end it in order first, and show only then that they have left.
      if (call.signal.aborted) throw errors.requestBrokenOff();
    } catch (error) {
      await this.#abandon(shard, name);
      throw toApiError(error);
    }
    try {
      await shard.switch({}, this.#deadline());
    } catch (error) {
      // A switch that has begun is carried to its end; abandoning does not undo it.
      await this.#abandon(shard, name);
      throw error;
    }
    const { shardId, keyCount } = shard;
    this.#environment.log(backupEvents.tableRestored, { table: name, shardId, keyCount });
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
      this.#environment.log(backupEvents.restoredShardKept, {
        table,
        reason: String(error),
      });
    }
  }

  #deadline(): Call {
    return { deadlineMs: this.#environment.clock.monotonicMs() + STEP_MS };
  }
}

/** Replays commands in as few entries as they fit in: decodes each once, checks it, and hands it on. */
class Replay {
  readonly #run: (batch: readonly mvcc.Command[]) => Promise<void>;
  #batch: mvcc.Command[] = [];
  #batchBytes = 0;

  constructor(run: (batch: readonly mvcc.Command[]) => Promise<void>) {
    this.#run = run;
  }

  /**
   * Takes marshalled commands. Rejects with SnapshotDamagedError for a command that apply could only stop at (A3, A8).
   */
  async take(records: Iterable<Buffer>): Promise<void> {
    for (const record of records) {
      const command = checked(record);
      const isSequence = command.type === SEQUENCE;
      for (const single of isSequence ? command.sequence : [command]) {
        // A log has DUMMYs in the place of entries without effect, and each appended part of a stream begins with one.
        if (single.type === DUMMY || single.type === GC) continue;
        const commandBytes = isSequence ? mvcc.Command.encode(single).finish().length : record.length;
        const sizeBytes = FRAME_BYTES + commandBytes;
        if (this.#batchBytes + sizeBytes > REPLAY_BYTES_MAX) await this.end();
        this.#batch.push(single);
        this.#batchBytes += sizeBytes;
      }
    }
  }

  /** Replays the commands that were taken and not replayed yet. */
  async end(): Promise<void> {
    const batch = this.#batch;
    this.#batch = [];
    this.#batchBytes = 0;
    if (batch.length > 0) await this.#run(batch);
  }
}

/** Decodes a command. Throws SnapshotDamagedError for bytes that are no command, or one that apply does not know. */
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
 * Maps the errors from before the switch: until then the table is unchanged, even when the new shard's state is
 * unknown.
 */
function toApiError(error: unknown): unknown {
  if (error instanceof SnapshotDamagedError) return errors.restoreDamaged(error.detail);
  return error instanceof ApiError && error.isOutcomeUnknown ? errors.restoreInterrupted() : error;
}
