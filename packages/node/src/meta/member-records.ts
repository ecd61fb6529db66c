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

/** What a new table (4, more as it grows), connections, logs and the files that grown tables open may need. */
const SPARE_DESCRIPTORS = 96;
/** A node that was short takes tables again with so many more left: connections come and go. */
const DESCRIPTORS_HYSTERESIS = 32;

/** What the registry says of the members: how clients reach them, what operators want of them, and who lacks descriptors. */
export class MemberRecords {
  readonly #meta: MetaGroup;
  readonly #options: NodeOptions;
  readonly #environment: Pick<Environment, 'clock' | 'files' | 'log'>;
  /** The limit of descriptors that this process's log calls too low now. */
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

  /** The members, by what this node was started with and what each has written of itself. */
  list(): MemberInfo[] {
    const { initialMembers, nodeId, nodeName, clientUrls, restAddress } = this.#options;
    return [...initialMembers].map(([id, raftAddress]) => {
      // Of itself a node knows it from its configuration, of the others from what they have written into the meta group.
      if (id === nodeId) return { id, name: nodeName, raftAddress, clientUrls, restAddress };
      const written = this.#meta.registry.member(id);
      // Addresses come from the flags at each start; a member may have written its own before an earlier one.
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

  /** Undefined: it is done. Else the state that the member is in, which is none of `from`. */
  async changeState(id: NodeId, { from, to }: StateChange, call: Call): Promise<MemberState | undefined> {
    await this.states(call);
    for (;;) {
      const state = this.state(id);
      if (!from.includes(state)) return state;
      if (await this.#meta.propose(this.#meta.commands.writeState(id, to), call.deadlineMs)) return undefined;
    }
  }

  /**
   * A node that runs out of descriptors ends, and cannot open its tables again: there must be room for one more, here and
   * on every other member. Each says in the registry when it has too few left.
   */
  async checkDescriptors(): Promise<void> {
    const { inUse, max } = await this.#environment.files.descriptors();
    if (inUse + SPARE_DESCRIPTORS > max) throw errors.tooFewDescriptors(inUse, max);
    for (const { id, descriptorsShortOf } of this.#meta.registry.members()) {
      if (id === this.#options.nodeId || descriptorsShortOf === undefined) continue;
      throw errors.memberHasTooFewDescriptors(id, descriptorsShortOf);
    }
  }

  /** This node's limit of descriptors where it has too few left for another table. */
  async #descriptorsShortOf(): Promise<number | undefined> {
    const wasShort = this.#meta.registry.member(this.#options.nodeId)?.descriptorsShortOf !== undefined;
    const { inUse, max } = await this.#environment.files.descriptors();
    return inUse + SPARE_DESCRIPTORS + (wasShort ? DESCRIPTORS_HYSTERESIS : 0) > max ? max : undefined;
  }

  /** Writes for the others how clients reach this node, and whether it can open another table. */
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

  /** Once it has caught up, a node says when it cannot open another table, and when it can again. */
  async watchDescriptors(): Promise<void> {
    const member = this.#meta.registry.member(this.#options.nodeId);
    if (member === undefined) return;
    const shortOf = await this.#descriptorsShortOf();
    // Also where the members know it already: from an earlier start, or since it was so when this node first wrote its record.
    if (shortOf !== undefined && shortOf !== this.#loggedShortOf) {
      this.#environment.log(nodeEvents.fewDescriptors, { max: shortOf });
    }
    this.#loggedShortOf = shortOf;
    if (shortOf === member.descriptorsShortOf) return;
    await this.writeOwn(this.#environment.clock.monotonicMs() + OWN_PROPOSAL_MS);
  }
}
