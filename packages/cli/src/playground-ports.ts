/** The ports of one node of the playground (docs/compatibility.md, "What scripts may rely on"). */
export interface NodePorts {
  readonly api: number;
  readonly replication: number;
  readonly rest: number;
  readonly raft: number;
}

/** At most so many nodes, so that their ports do not meet. */
export const NODES_MAX = 9;

/** The ports of node `node` (1, 2, …) of the leader cluster. */
export function leaderPorts(node: number, offset: number): NodePorts {
  const step = 100 * (node - 1) + offset;
  return { api: 8443 + step, replication: 8444 + step, rest: 8079 + step, raft: 5012 + step };
}

/** The ports of node `node` (1, 2, …) of the follower cluster. */
export function followerPorts(node: number, offset: number): NodePorts {
  return leaderPorts(node, offset + 1000);
}
