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

/** The parts of the node that KvRequests uses. */
export interface KvRequestsOptions {
  readonly clock: Clock;
  readonly meta: Meta;
  readonly shards: ShardRequests;
  readonly gate: WriteGate;
  readonly admission: Admission;
  readonly counters: { linearizable: number; serializable: number };
  /**
   * Whether this node is being closed. Then it takes no writes of clients, so that the log that follower clusters
   * must have before it stops does not grow.
   */
  readonly isClosing: () => boolean;
  /** Throws `tooLargeForWolf` when a marshalled command is too large for a message of wolf.raft. */
  readonly checkWolfSize: (command: Buffer) => void;
}

/** Brings the writes and reads of clients to the shard that serves their table. */
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
    // A write that waits for its answer should keep little memory: the command is dropped once it is encoded.
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
          // T2: after the seal no command has an effect, so this one may go to the shard that took over.
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
    // Without room this node cannot lead the meta group, which knows the table.
    this.#gate.checkWrite();
    // This node's record of a clone may be out of date.
    if (!this.#meta.isFresh) await this.#meta.group.confirmRead(call.deadlineMs);
    this.#gate.checkCommand();
    return await this.#shards.onShard(table, call, async (replica) => {
      this.#checkCommandTo(replica, bytes);
      const result = await this.#shards.propose(replica, CommandKind.Command, bytes, call);
      if (result.sealedBy !== undefined) return undefined;
      return { result, header: replica.header(result.revision) };
    });
  }

  /** Throws when the replica may not take a command of a client: notReady, closing, tooLargeForWolf. */
  #checkCommandTo(replica: Replica, bytes: Buffer): void {
    // R5: a follower cluster takes its data from its leader cluster alone.
    if (this.#meta.settings.role !== 'leader') throw errors.notReady();
    // Without the table nobody here could tell what the write did.
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
      // The shard may have been sealed or dropped meanwhile (T2). Nothing was done, so the read begins anew.
      () => (this.#serves(replica) ? replica : this.#readLater(table, linearizable, call)),
      (error: unknown) => {
        if (!this.#shards.isUndone(replica, error)) throw error;
        return this.#readLater(table, linearizable, call);
      },
    );
  }

  /**
   * Whether the replica may be read. Before the members have confirmed that this disk lost nothing, it may hold an
   * old state (T4).
   */
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

  /**
   * Waits until the replica is whole: a shard that took over may not be loaded here yet (T2), and a crash may have
   * left an entry half applied (A4). Throws `timeout`.
   */
  async #whole(replica: Replica, { deadlineMs }: Call): Promise<void> {
    const waitMs = deadlineMs - this.#options.clock.monotonicMs();
    const isOver = () => replica.isWhole || replica.isClosed || !replica.hasTable || this.#gate.isStopping;
    if (!(await replica.changes.until(isOver, waitMs))) throw errors.timeout();
  }
}
