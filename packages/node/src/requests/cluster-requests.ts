import type { NodeId } from '@coxswain/raft';
import type { ClusterApi, ClusterRole } from '../api/cluster-api.js';
import type { Identity } from '../cluster/identity.js';
import type { Answerer, MemberQuestions } from '../cluster/member-questions.js';
import type { Replicas } from '../group/replicas.js';
import type { Meta } from '../meta/meta.js';
import { META_SHARD } from '../meta/shards.js';
import type { ChangeListeners } from './change-listeners.js';

/** Answers requests about this node's cluster, and carries questions between its members. */
export class ClusterRequests implements ClusterApi {
  readonly nodeId: NodeId;
  readonly #identity: Identity;
  readonly #meta: Meta;
  readonly #replicas: Replicas;
  readonly #questions: MemberQuestions;
  readonly #listeners: ChangeListeners;

  constructor(options: {
    nodeId: NodeId;
    identity: Identity;
    meta: Meta;
    replicas: Replicas;
    questions: MemberQuestions;
    listeners: ChangeListeners;
  }) {
    this.nodeId = options.nodeId;
    this.#identity = options.identity;
    this.#meta = options.meta;
    this.#replicas = options.replicas;
    this.#questions = options.questions;
    this.#listeners = options.listeners;
  }

  get role(): ClusterRole | undefined {
    return this.#meta.settings.role;
  }

  get id(): string | undefined {
    return this.#identity.clusterId;
  }

  get leaderClusterId(): string | undefined {
    return this.#meta.settings.leaderClusterId;
  }

  get leadsMeta(): boolean {
    return this.#replicas.get(META_SHARD)?.isLeader ?? false;
  }

  onChange(listener: () => void): () => void {
    return this.#listeners.add(listener);
  }

  answerMembers(topic: string, answerer: Answerer): void {
    this.#questions.answer(topic, answerer);
  }

  askMembers(topic: string, question: Buffer, waitMs: number): Promise<ReadonlyMap<NodeId, Buffer>> {
    return this.#questions.ask(topic, question, waitMs);
  }
}
