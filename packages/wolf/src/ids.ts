import { NO_NODE, type NodeId } from '@coxswain/raft';

/**
 * Converts a wolf id to the core's id, which is one higher: wolf.raft counts its nodes from 0 (trap 3), and the core
 * uses 0 for "no node" (`NO_NODE`).
 */
export function toNodeId(wolfId: number): NodeId {
  return wolfId + 1;
}

/** Converts the core's id of a node to its wolf id; undefined for `NO_NODE`. */
export function toWolfId(node: NodeId): number | undefined {
  return node === NO_NODE ? undefined : node - 1;
}
