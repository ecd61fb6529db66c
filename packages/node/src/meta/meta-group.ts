import { mvcc } from '@coxswain/protocol';
import type { Membership } from '@coxswain/raft';
import { type ApplyResult, CommandKind } from '@coxswain/table';
import type { Call } from '../api/call.js';
import { type ApiError, errors } from '../api/errors.js';
import type { NodeOptions } from '../api/options.js';
import type { Liveness } from '../cluster/liveness.js';
import type { Replica } from '../group/replica.js';
import type { Replicas } from '../group/replicas.js';
import { Registry } from './registry.js';
import { RegistryCommands } from './registry-commands.js';
import { META_SHARD } from './shards.js';

/** Proposes a command to the replica of a group. Rejects with the errors of `Replica.propose`. */
export type Propose = (
  replica: Replica,
  kind: CommandKind,
  command: Buffer,
  deadlineMs: number,
  cursor?: number,
) => Promise<ApplyResult>;

/** The parts of a node that MetaGroup uses. */
export interface MetaGroupOptions {
  readonly options: NodeOptions;
  readonly replicas: Replicas;
  readonly propose: Propose;
  readonly liveness: Liveness;
}

/** This node's access to the meta group: its replica, the registry that it holds, and changes of it. */
export class MetaGroup {
  readonly registry = new Registry();
  readonly commands = new RegistryCommands(this.registry);
  readonly #options: MetaGroupOptions;

  constructor(options: MetaGroupOptions) {
    this.#options = options;
  }

  /** Gives this node's replica of the meta group. Throws `notFormed` before the cluster has formed. */
  replica(): Replica {
    const meta = this.known;
    if (meta === undefined) throw this.#notFormed();
    return meta;
  }

  /** This node's replica of the meta group; undefined before the cluster has formed. */
  get known(): Replica | undefined {
    return this.#options.replicas.get(META_SHARD);
  }

  /** Whether this node leads the meta group. */
  get isLed(): boolean {
    return this.known?.isLeader ?? false;
  }

  #notFormed(): ApiError {
    const { options, liveness } = this.#options;
    const { initialMembers, nodeId } = options;
    const answering = [...initialMembers.keys()].filter((id) => id === nodeId || liveness.isAlive(id));
    return errors.notFormed(answering.length, initialMembers.size);
  }

  /** Gives the members of every group: all nodes of the cluster, as voters. */
  membership(): Membership {
    const voters = [...this.#options.options.initialMembers.keys()].sort((a, b) => a - b);
    return { voters, learners: [] };
  }

  /** Resolves when the registry here holds everything that was decided before the call. */
  confirmRead(deadlineMs: number): Promise<void> {
    return this.replica().confirmRead(deadlineMs);
  }

  /** Proposes a change of the registry. Resolves to whether the transaction's compares held. */
  async propose(command: mvcc.Command, deadlineMs: number): Promise<boolean> {
    const bytes = mvcc.Command.encode(command).finish();
    const result = await this.#options.propose(this.replica(), CommandKind.Command, bytes, deadlineMs);
    return result.succeeded;
  }

  /**
   * Proposes changes of the registry until `isDone` holds; another node's change may come in between. Throws `notReady`
   * before the genesis is written.
   */
  async change(isDone: () => boolean, command: () => mvcc.Command, { deadlineMs }: Call): Promise<void> {
    await this.confirmRead(deadlineMs);
    if (!this.registry.hasGenesis) throw errors.notReady();
    while (!isDone()) await this.propose(command(), deadlineMs);
  }
}
