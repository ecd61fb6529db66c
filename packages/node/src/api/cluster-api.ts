import type { NodeId } from '@coxswain/raft';

/**
 * The role of a cluster towards other clusters (R5). A leader cluster takes writes, a follower cluster replicates the
 * tables of its leader cluster, and a cluster that is `promoting` was a follower cluster, takes no writes for the
 * moment, and becomes a leader cluster for good.
 */
export type ClusterRole = 'leader' | 'follower' | 'promoting';

/** Describes this node's cluster, and carries questions between its members. */
export interface ClusterApi {
  /** The id of this node. */
  readonly nodeId: NodeId;
  /** The role of this node's cluster; undefined until the node knows its cluster's first entry. */
  readonly role: ClusterRole | undefined;
  /** The id of this node's cluster, in hex; undefined until the cluster has formed (T4). */
  readonly id: string | undefined;
  /**
   * The id of the leader cluster that this cluster follows, as that cluster gave it: empty when it gives none,
   * undefined until this cluster has met one (R4).
   */
  readonly leaderClusterId: string | undefined;
  /**
   * Whether this node leads the meta group. On a follower cluster, the node that does compares its tables with the
   * leader cluster's.
   */
  readonly leadsMeta: boolean;
  /**
   * Calls `listener` after the leadership of a group, the registry of tables, or the ability of a replica to serve
   * has changed on this node. The function that it returns ends the calls.
   */
  onChange(listener: () => void): () => void;
  /**
   * Makes `answerer` answer the questions that other members ask about `topic` with `askMembers`. An answer has at
   * most 1 MiB; an empty one counts as no answer.
   */
  answerMembers(topic: string, answerer: (question: Buffer) => Buffer): void;
  /**
   * Asks the members that this node is connected to, and resolves with the answers that arrive within `waitMs`, by
   * member. Questions and answers may be lost, so they serve people and figures only: no decision may rest on them.
   */
  askMembers(topic: string, question: Buffer, waitMs: number): Promise<ReadonlyMap<NodeId, Buffer>>;
}
