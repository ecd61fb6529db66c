/** The ports of one node of the playground (docs/compatibility.md, "What scripts may rely on"). */
export interface NodePorts {
  readonly api: number;
  readonly replication: number;
  readonly rest: number;
  readonly raft: number;
}

/** The most nodes of a playground: with more, the ports would meet. */
export const NODES_MAX = 9;

/** Returns the ports of a node (1, 2, …) of the leader cluster; `offset` is added to each. */
export function leaderPorts(node: number, offset: number): NodePorts {
  const step = 100 * (node - 1) + offset;
  return { api: 8443 + step, replication: 8444 + step, rest: 8079 + step, raft: 5012 + step };
}

/** Returns the ports of a node (1, 2, …) of the follower cluster; `offset` is added to each. */
export function followerPorts(node: number, offset: number): NodePorts {
  return leaderPorts(node, offset + 1000);
}
