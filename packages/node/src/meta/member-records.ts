import type { NodeId } from '@coxswain/raft';
import type { Call } from '../api/call.js';
import type { Environment } from '../api/environment.js';
import { errors } from '../api/errors.js';
import type { MemberState, StateChange } from '../api/member-control.js';
import type { NodeOptions } from '../api/options.js';
import type { MemberInfo } from '../api/reports-api.js';
import { nodeEvents } from '../events.js';
import type { MetaGroup } from './meta-group.js';
import { OWN_PROPOSAL_MS } from './own-proposals.js';

/**
 * The descriptors that a new table (4, and more as it grows), connections, logs and the files that grown tables open
 * may need.
 */
const SPARE_DESCRIPTORS = 96;
/**
 * The number of further free descriptors from which a node that was short takes tables again: connections come and go.
 */
const DESCRIPTORS_HYSTERESIS = 32;

/**
 * Keeps the registry's records of the members: how clients reach them, the states that operators want them to be in,
 * and which of them lack descriptors.
 */
export class MemberRecords {
  readonly #meta: MetaGroup;
  readonly #options: NodeOptions;
  readonly #environment: Pick<Environment, 'clock' | 'files' | 'log'>;
  /** The limit of descriptors that this process last logged as too low; undefined when it has enough. */
  #loggedShortOf: number | undefined;

  constructor(
    meta: MetaGroup,
    options: NodeOptions,
    environment: Pick<Environment, 'clock' | 'files' | 'log'>,
  ) {
    this.#meta = meta;
    this.#options = options;
    this.#environment = environment;
  }

  /** Lists the members, by the options of this node and by what each member has written about itself. */
  list(): MemberInfo[] {
    const { initialMembers, nodeId, nodeName, clientUrls, restAddress } = this.#options;
    return [...initialMembers].map(([id, raftAddress]) => {
      // A node knows itself from its configuration, and the others from what they have written into the meta group.
      if (id === nodeId) return { id, name: nodeName, raftAddress, clientUrls, restAddress };
      const written = this.#meta.registry.member(id);
      // Addresses come from the options at each start; the one that a member has written may be from an earlier start.
      return {
        ...{ id, name: written?.name ?? `node-${id}`, raftAddress, clientUrls: written?.clientUrls ?? [] },
        restAddress: written?.restAddress ?? '',
      };
    });
  }

  state(id: NodeId): MemberState {
    return this.#meta.registry.stateOf(id);
  }

  get isAnyPaused(): boolean {
    return this.#meta.registry.isAnyPaused;
  }

  async states({ deadlineMs }: Call): Promise<ReadonlyMap<NodeId, MemberState>> {
    await this.#meta.confirmRead(deadlineMs);
    if (!this.#meta.registry.hasGenesis) throw errors.notReady();
    return new Map([...this.#options.initialMembers.keys()].map((id) => [id, this.state(id)]));
  }

  /**
   * Changes a member's state. Resolves to undefined when that is done, and otherwise to the member's state, which is
   * none of `from`.
   */
  async changeState(id: NodeId, { from, to }: StateChange, call: Call): Promise<MemberState | undefined> {
    await this.states(call);
    for (;;) {
      const state = this.state(id);
      if (!from.includes(state)) return state;
      if (await this.#meta.propose(this.#meta.commands.writeState(id, to), call.deadlineMs)) return undefined;
    }
  }

  /**
   * Throws `tooFewDescriptors` or `memberHasTooFewDescriptors` unless this node and every other member have room for
   * another table: a node that runs out of descriptors ends, and cannot open its tables again. Each member records in
   * the registry when it has too few left.
   */
  async checkDescriptors(): Promise<void> {
    const { inUse, max } = await this.#environment.files.descriptors();
    if (inUse + SPARE_DESCRIPTORS > max) throw errors.tooFewDescriptors(inUse, max);
    for (const { id, descriptorsShortOf } of this.#meta.registry.members()) {
      if (id === this.#options.nodeId || descriptorsShortOf === undefined) continue;
      throw errors.memberHasTooFewDescriptors(id, descriptorsShortOf);
    }
  }

  /** Gives this node's limit of descriptors when it has too few left for another table; undefined otherwise. */
  async #descriptorsShortOf(): Promise<number | undefined> {
    const wasShort = this.#meta.registry.member(this.#options.nodeId)?.descriptorsShortOf !== undefined;
    const { inUse, max } = await this.#environment.files.descriptors();
    return inUse + SPARE_DESCRIPTORS + (wasShort ? DESCRIPTORS_HYSTERESIS : 0) > max ? max : undefined;
  }

  /** Writes into the registry how clients reach this node, and whether it can open another table. */
  async writeOwn(deadlineMs: number): Promise<void> {
    const { nodeId, nodeName, clientUrls, restAddress, initialMembers, version } = this.#options;
    const raftAddress = initialMembers.get(nodeId) ?? '';
    const descriptorsShortOf = await this.#descriptorsShortOf();
    const member = {
      ...{ id: nodeId, name: nodeName, raftAddress, clientUrls, restAddress, version },
      ...(descriptorsShortOf !== undefined && { descriptorsShortOf }),
    };
    if (JSON.stringify(this.#meta.registry.member(nodeId)) === JSON.stringify(member)) return;
    await this.#meta.propose(this.#meta.commands.writeMember(member), deadlineMs);
  }

  /**
   * Called from time to time once this node has caught up: records and logs when it cannot open another table, and
   * records when it can again.
   */
  async watchDescriptors(): Promise<void> {
    const member = this.#meta.registry.member(this.#options.nodeId);
    if (member === undefined) return;
    const shortOf = await this.#descriptorsShortOf();
    // This is logged even if the members know it already: from an earlier start, or because it was so when this node
    // first wrote its record.
    if (shortOf !== undefined && shortOf !== this.#loggedShortOf) {
      this.#environment.log(nodeEvents.fewDescriptors, { max: shortOf });
    }
    this.#loggedShortOf = shortOf;
    if (shortOf === member.descriptorsShortOf) return;
    await this.writeOwn(this.#environment.clock.monotonicMs() + OWN_PROPOSAL_MS);
  }
}
