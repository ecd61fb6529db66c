import { mvcc } from '@coxswain/protocol';
import { type ApplyResult, CommandKind } from '@coxswain/table';
import type { Call, Header } from '../api/call.js';
import { errors } from '../api/errors.js';
import type { ShardLoad as ShardLoadApi } from '../api/shard-load.js';
import type { Switching } from './records.js';

/** The parts of a node that a ShardLoad uses. */
export interface ShardLoadContext {
  /** Whether the load is a restore, which stamps its keys anew (T3). */
  readonly isRestore: boolean;
  readonly propose: (kind: CommandKind, payload: Buffer, deadlineMs: number) => Promise<ApplyResult>;
  readonly header: (revision: number) => Header;
  /** Counts the live keys of the new shard on this node. */
  readonly countKeys: () => Promise<number>;
  readonly switch: (switching: Switching, call: Call) => Promise<boolean>;
  readonly abandon: (call: Call) => Promise<void>;
}

const KEEP_REVISIONS = Buffer.from([0]);
const STAMP_ANEW = Buffer.from([1]);
const SEQUENCE = mvcc.Command.fromPartial({ type: mvcc.Command_CommandType.SEQUENCE });

/**
 * Fills a shard through its own log. An applied entry is committed, so a quorum has it before the shard takes over the
 * name (T2), and a crash loses nothing but the intention to go on.
 */
export class ShardLoad implements ShardLoadApi {
  readonly #context: ShardLoadContext;
  /** The index of the last entry that belongs to the load; 0 while the load is not finished. */
  #loadedIndex = 0;
  #revision = 0;
  #keyCount = 0;

  constructor(
    readonly shardId: number,
    context: ShardLoadContext,
  ) {
    this.#context = context;
  }

  async load(records: readonly Buffer[], { deadlineMs }: Call): Promise<void> {
    if (this.#loadedIndex !== 0) throw new Error('a shard is loaded before its load is finished, not after');
    const mode = this.#context.isRestore ? STAMP_ANEW : KEEP_REVISIONS;
    await this.#context.propose(CommandKind.Load, Buffer.concat([mode, ...records]), deadlineMs);
  }

  async finish(
    end: { readonly leaderIndex: number; readonly keyCount: number; readonly hasUnstamped: boolean },
    { deadlineMs }: Call,
  ): Promise<void> {
    const payload = Buffer.alloc(9);
    payload.writeBigUInt64LE(BigInt(end.leaderIndex));
    payload[8] = end.hasUnstamped && !this.#context.isRestore ? 1 : 0;
    const result = await this.#context.propose(CommandKind.Loaded, payload, deadlineMs);
    if ((await this.#context.countKeys()) !== end.keyCount) throw errors.loadIncomplete();
    await this.#reached(result);
  }

  async replay(commands: readonly mvcc.Command[], { deadlineMs }: Call): Promise<void> {
    this.#assertFinished('commands are run again');
    // T3: with the index of another log, the keys would take that index as their revision.
    const sequence = commands.map((command) =>
      command.leaderIndex === undefined ? command : { ...command, leaderIndex: undefined },
    );
    const payload = mvcc.Command.encode({ ...SEQUENCE, sequence }).finish() as Buffer;
    // T2: a log that is half run again is no state of the table either, so the shard serves from the last of its
    // commands on.
    await this.#reached(await this.#context.propose(CommandKind.Command, payload, deadlineMs));
  }

  async #reached({ index, revision }: ApplyResult): Promise<void> {
    this.#keyCount = await this.#context.countKeys();
    this.#loadedIndex = index;
    this.#revision = revision;
  }

  #assertFinished(what: string): void {
    if (this.#loadedIndex === 0) throw new Error(`${what} when the load is finished, not before`);
  }

  header(): Header {
    return this.#context.header(this.#revision);
  }

  get keyCount(): number {
    return this.#keyCount;
  }

  async switch({ ifCursor }: { readonly ifCursor?: number }, call: Call): Promise<boolean> {
    this.#assertFinished('a shard takes over');
    return await this.#context.switch({ loadedIndex: this.#loadedIndex, ifCursor: ifCursor ?? null }, call);
  }

  async abandon(call: Call): Promise<void> {
    await this.#context.abandon(call);
  }
}
