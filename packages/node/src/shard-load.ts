import { type ApplyResult, CommandKind } from '@coxswain/table';
import type { Call } from './api.js';
import { errors } from './errors.js';
import type { Switching } from './registry.js';
import type { ShardLoad as ShardLoadApi } from './replication-api.js';

/** What a load needs of the new shard, and of those that give it the name. */
export interface ShardLoadContext {
  readonly propose: (kind: CommandKind, payload: Buffer, deadlineMs: number) => Promise<ApplyResult>;
  /** Live keys of the new shard here. */
  readonly keyCount: () => number;
  readonly switch: (switching: Switching, call: Call) => Promise<boolean>;
  readonly abandon: (call: Call) => Promise<void>;
}

const KEEP_REVISIONS = Buffer.from([0]);

/**
 * Fills a shard through its own log: what is applied is committed, so a quorum has it before the shard takes over
 * the name (T2), and a crash loses nothing but the wish to go on.
 */
export class ShardLoad implements ShardLoadApi {
  readonly #context: ShardLoadContext;
  #loadedIndex = 0;

  constructor(
    readonly shardId: number,
    context: ShardLoadContext,
  ) {
    this.#context = context;
  }

  async load(records: Buffer, { deadlineMs }: Call): Promise<void> {
    await this.#context.propose(CommandKind.Load, Buffer.concat([KEEP_REVISIONS, records]), deadlineMs);
  }

  async finish(
    end: { readonly leaderIndex: number; readonly keyCount: number; readonly hasUnstamped: boolean },
    { deadlineMs }: Call,
  ): Promise<void> {
    const payload = Buffer.alloc(9);
    payload.writeBigUInt64LE(BigInt(end.leaderIndex));
    payload[8] = end.hasUnstamped ? 1 : 0;
    const { index } = await this.#context.propose(CommandKind.Loaded, payload, deadlineMs);
    this.#loadedIndex = index;
    if (this.#context.keyCount() !== end.keyCount) throw errors.loadIncomplete();
  }

  switch({ ifCursor }: { readonly ifCursor?: number }, call: Call): Promise<boolean> {
    if (this.#loadedIndex === 0) throw new Error('a shard takes over when its load is finished, not before');
    return this.#context.switch({ loadedIndex: this.#loadedIndex, ifCursor: ifCursor ?? null }, call);
  }

  abandon(call: Call): Promise<void> {
    return this.#context.abandon(call);
  }
}
