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

/** Proposes to the replica of a group. Rejects with the errors of `Replica.propose`. */
export type Propose = (
  replica: Replica,
  kind: CommandKind,
  command: Buffer,
  deadlineMs: number,
  cursor?: number,
) => Promise<ApplyResult>;

export interface MetaGroupOptions {
  readonly options: NodeOptions;
  readonly replicas: Replicas;
  readonly propose: Propose;
  readonly liveness: Liveness;
}

/** The meta group as this node takes part in it, and what it says here. */
export class MetaGroup {
  readonly registry = new Registry();
  readonly commands = new RegistryCommands(this.registry);
  readonly #options: MetaGroupOptions;

  constructor(options: MetaGroupOptions) {
    this.#options = options;
  }

  /** This node's replica of the group. Throws `notFormed` before the cluster has formed. */
  replica(): Replica {
    const meta = this.known;
    if (meta === undefined) throw this.#notFormed();
    return meta;
  }

  /** This node's replica of the group; undefined before the cluster has formed. */
  get known(): Replica | undefined {
    return this.#options.replicas.get(META_SHARD);
  }

  get isLed(): boolean {
    return this.known?.isLeader ?? false;
  }

  #notFormed(): ApiError {
    const { options, liveness } = this.#options;
    const { initialMembers, nodeId } = options;
    const answering = [...initialMembers.keys()].filter((id) => id === nodeId || liveness.isAlive(id));
    return errors.notFormed(answering.length, initialMembers.size);
  }

  /** Every group's members: all nodes of the cluster. */
  membership(): Membership {
    const voters = [...this.#options.options.initialMembers.keys()].sort((a, b) => a - b);
    return { voters, learners: [] };
  }

  /** Resolves when the registry here says what was decided before the call. */
  confirmRead(deadlineMs: number): Promise<void> {
    return this.replica().confirmRead(deadlineMs);
  }

  /** Proposes a change of the registry. Says whether the transaction's compares held. */
  async propose(command: mvcc.Command, deadlineMs: number): Promise<boolean> {
    const bytes = mvcc.Command.encode(command).finish();
    const result = await this.#options.propose(this.replica(), CommandKind.Command, bytes, deadlineMs);
    return result.succeeded;
  }

  /** Changes the registry until `isDone` holds of it; another change may come in between. */
  async change(isDone: () => boolean, command: () => mvcc.Command, { deadlineMs }: Call): Promise<void> {
    await this.confirmRead(deadlineMs);
    if (!this.registry.hasGenesis) throw errors.notReady();
    while (!isDone()) await this.propose(command(), deadlineMs);
  }
}
