import { mvcc } from '@coxswain/protocol';
import type { Clock } from '@coxswain/runtime';
import { CommandKind } from '@coxswain/table';
import type { Call } from '../api/call.js';
import { errors } from '../api/errors.js';
import type { KvApi, Proposed, ReadableTable } from '../api/kv-api.js';
import type { Admission } from '../cluster/admission.js';
import type { Replica } from '../group/replica.js';
import type { Meta } from '../meta/meta.js';
import type { ShardRequests } from './shard-requests.js';
import type { WriteGate } from './write-gate.js';

export interface KvRequestsOptions {
  readonly clock: Clock;
  readonly meta: Meta;
  readonly shards: ShardRequests;
  readonly gate: WriteGate;
  readonly admission: Admission;
  readonly counters: { linearizable: number; serializable: number };
  /** Whether this node is being closed: what follower clusters must have before it stops does not grow any more. */
  readonly isClosing: () => boolean;
  /** Throws where a command is too large for wolf.raft. */
  readonly checkWolfSize: (command: Buffer) => void;
}

/** Takes what clients write and read, on whatever shard serves their table. */
export class KvRequests implements KvApi {
  readonly #options: KvRequestsOptions;
  readonly #meta: Meta;
  readonly #shards: ShardRequests;
  readonly #gate: WriteGate;

  constructor(options: KvRequestsOptions) {
    this.#options = options;
    this.#meta = options.meta;
    this.#shards = options.shards;
    this.#gate = options.gate;
  }

  propose(table: string, command: mvcc.Command, call: Call): Promise<Proposed> {
    // Of what waits for its answer little should be kept: the command goes as soon as it is encoded.
    return this.#propose(table, mvcc.Command.encode(command).finish() as Buffer, call);
  }

  #propose(table: string, bytes: Buffer, call: Call): Promise<Proposed> {
    const replica = this.#meta.isFresh ? this.#meta.directory.get(table) : undefined;
    if (replica === undefined || this.#gate.isStopping) return this.#proposeLater(table, bytes, call);
    try {
      this.#gate.checkCommand();
      this.#checkCommandTo(replica, bytes);
      return replica.propose(CommandKind.Command, bytes, call).then(
        (result) =>
          // T2: after the seal nothing has an effect any more, so it may go to the shard that took over.
          result.sealedBy === undefined
            ? { result, header: replica.header(result.revision) }
            : this.#proposeLater(table, bytes, call),
        (error: unknown) => {
          this.#shards.countFailure(error);
          if (!this.#shards.isUndone(replica, error)) throw error;
          return this.#proposeLater(table, bytes, call);
        },
      );
    } catch (error) {
      return this.#shards.isUndone(replica, error)
        ? this.#proposeLater(table, bytes, call)
        : Promise.reject(error);
    }
  }

  /** Proposes to a table that this node does not serve yet, or whose shard changes (T2). */
  async #proposeLater(table: string, bytes: Buffer, call: Call): Promise<Proposed> {
    // Without room nobody here can lead the group that says more.
    this.#gate.checkWrite();
    // What this disk says of a clone may be old.
    if (!this.#meta.isFresh) await this.#meta.group.confirmRead(call.deadlineMs);
    this.#gate.checkCommand();
    return await this.#shards.onShard(table, call, async (replica) => {
      this.#checkCommandTo(replica, bytes);
      const result = await this.#shards.propose(replica, CommandKind.Command, bytes, call);
      if (result.sealedBy !== undefined) return undefined;
      return { result, header: replica.header(result.revision) };
    });
  }

  /** Throws where a command of a client cannot go to the replica. */
  #checkCommandTo(replica: Replica, bytes: Buffer): void {
    // R5: what a follower cluster holds comes from its leader cluster alone.
    if (this.#meta.settings.role !== 'leader') throw errors.notReady();
    // Nobody could know here what the write did.
    if (!replica.hasTable) throw errors.notReady();
    if (this.#options.isClosing()) throw errors.closing();
    if (!replica.speaksFrames) this.#options.checkWolfSize(bytes);
  }

  read(
    table: string,
    { linearizable }: { linearizable: boolean },
    call: Call,
  ): ReadableTable | Promise<ReadableTable> {
    const replica = this.#meta.directory.get(table);
    if (replica === undefined || this.#gate.isStopping || !this.#serves(replica)) {
      return this.#readLater(table, linearizable, call);
    }
    const { counters } = this.#options;
    if (!linearizable) {
      counters.serializable++;
      return replica;
    }
    counters.linearizable++;
    return replica.confirmRead(call.deadlineMs).then(
      // It may have been sealed or dropped meanwhile (T2): nothing was done, so it begins anew.
      () => (this.#serves(replica) ? replica : this.#readLater(table, linearizable, call)),
      (error: unknown) => {
        if (!this.#shards.isUndone(replica, error)) throw error;
        return this.#readLater(table, linearizable, call);
      },
    );
  }

  /** T4: before its members have confirmed that it lost nothing, this disk may hold an old state. */
  #serves(replica: Replica): boolean {
    return replica.isServing && this.#options.admission.isAdmitted;
  }

  async #readLater(name: string, linearizable: boolean, call: Call): Promise<ReadableTable> {
    if (this.#gate.isStopping) throw errors.shuttingDown();
    const { admission, counters } = this.#options;
    await admission.admitted(call.deadlineMs);
    return await this.#shards.onShard(name, call, async (replica) => {
      if (linearizable) {
        counters.linearizable++;
        await replica.confirmRead(call.deadlineMs);
      }
      if (!replica.isServing && replica.table.sealedBy === undefined) await this.#whole(replica, call);
      // R4: a table in quarantine is read under a name that says so.
      const isReadable = replica.isServing || this.#meta.directory.quarantined(name) === replica;
      return isReadable ? replica : undefined;
    });
  }

  /** Waits where a shard that took over is not loaded here yet (T2), or a crash left an entry half applied (A4). */
  async #whole(replica: Replica, { deadlineMs }: Call): Promise<void> {
    const waitMs = deadlineMs - this.#options.clock.monotonicMs();
    const isOver = () => replica.isWhole || replica.isClosed || !replica.hasTable || this.#gate.isStopping;
    if (!(await replica.changes.until(isOver, waitMs))) throw errors.timeout();
  }
}
