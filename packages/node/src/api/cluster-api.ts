import type { NodeId } from '@coxswain/raft';

/**
 * What a cluster is to others (R5). `promoting`: it was a follower cluster, takes no writes for the moment, and
 * becomes a leader cluster for good.
 */
export type ClusterRole = 'leader' | 'follower' | 'promoting';

/** This node's cluster, and its members. */
export interface ClusterApi {
  /** This node's own id. */
  readonly nodeId: NodeId;
  /** Undefined until the node knows its cluster's first entry. */
  readonly role: ClusterRole | undefined;
  /** This cluster's own id, in hex; undefined until it has formed (T4). */
  readonly id: string | undefined;
  /**
   * The leader cluster that this cluster belongs to, as it named itself: empty for one that gives no id, undefined while
   * none was met (R4).
   */
  readonly leaderClusterId: string | undefined;
  /** Whether this node leads the meta group. On a follower cluster that one compares the tables with the leader cluster's. */
  readonly leadsMeta: boolean;
  /**
   * Calls `listener` after the leadership of a group, the registry of tables, or whether a replica can serve has changed on
   * this node. Gives what ends that.
   */
  onChange(listener: () => void): () => void;
  /** Answers what members ask about a topic with `askMembers`, at most 1 MiB; an empty answer says nothing. */
  answerMembers(topic: string, answerer: (question: Buffer) => Buffer): void;
  /**
   * Asks the members that this node is connected to, and resolves with what they answer within `waitMs`. For people and
   * figures: questions and answers may be lost, and nothing that is decided may rest on them.
   */
  askMembers(topic: string, question: Buffer, waitMs: number): Promise<ReadonlyMap<NodeId, Buffer>>;
}
