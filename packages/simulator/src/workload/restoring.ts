import { ApiError, type Call, errors, type ShardLoad, Status } from '@coxswain/node';
import { putCommand, withLengths } from '../commands.js';
import type { KeyEffect } from '../history.js';
import type { OperationContext } from './operation-context.js';
import { MAIN_TABLE, NAMES_HISTORY, type Server } from './options.js';

/** Restores a table, or makes one, from content of its own. */
export class Restoring {
  readonly #context: OperationContext;
  #restored = 0;

  constructor(context: OperationContext) {
    this.#context = context;
  }

  /** The number of restores that were acknowledged. */
  get restored(): number {
    return this.#restored;
  }

  /**
   * Replaces or makes a table from some pairs and some commands that are replayed, and breaks that off now and then.
   * The new shard is complete, or never serves: readers of the shard are checked against the content that is declared
   * here before the switch.
   */
  async restore(server: Server, table: string): Promise<boolean> {
    const isPassing = table !== MAIN_TABLE;
    const exists: KeyEffect = { key: table, effect: { kind: 'write', value: 'exists' } };
    return this.#context.calls.send(
      server.process,
      isPassing ? NAMES_HISTORY : table,
      isPassing ? [exists] : [],
      async () => {
        const load = await server.api.maintenance.beginRestore(table, this.#context.deadline(server));
        try {
          await this.#fill(server, table, load);
          if (this.#context.random.chance(0.2)) throw errors.loadReplaced();
          await load.switch({}, this.#context.deadline(server));
        } catch (error) {
          await load.abandon(this.#context.deadline(server)).catch(ignoreApiError);
          throw error;
        }
      },
      (invocation) => {
        this.#restored++;
        if (isPassing) this.#context.history.changedName(invocation, NAMES_HISTORY, exists);
      },
      (_invocation, { status }) => status === Status.FailedPrecondition,
    );
  }

  async #fill(server: Server, table: string, load: ShardLoad): Promise<void> {
    const call = (): Call => this.#context.deadline(server);
    const values = new Map<string, string | undefined>();
    for (const key of this.#context.draws.keys())
      values.set(key, this.#context.random.chance(0.7) ? this.#context.draws.value() : undefined);
    const pairs = [...values].flatMap(([key, value]) =>
      value === undefined ? [] : [putCommand(key, value)],
    );
    const half = this.#context.random.integer(0, pairs.length);
    const parts = [pairs.slice(0, half), pairs.slice(half)].filter(({ length }) => length > 0);
    await Promise.all(parts.map((part) => load.load([withLengths(part)], call())));
    await load.finish({ leaderIndex: 0, keyCount: pairs.length, hasUnstamped: true }, call());
    const replays = this.#context.random.integer(0, 2);
    for (let i = 0; i < replays; i++) {
      const key = this.#context.draws.key();
      const value = this.#context.draws.value();
      values.set(key, value);
      await load.replay([putCommand(key, 'overwritten'), putCommand(key, value)], call());
    }
    this.#context.history.beginsWith(table, load.shardId, { revision: load.header().revision, values });
  }
}

function ignoreApiError(error: unknown): void {
  if (!(error instanceof ApiError)) throw error;
}
