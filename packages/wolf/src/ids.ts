import { NO_NODE, type NodeId } from '@coxswain/raft';

/**
 * wolf.raft counts its nodes from 0 (trap 3), and the consensus core keeps 0 for "no node" (`NO_NODE`): the core's id is
 * one higher.
 */
export function toNodeId(wolfId: number): NodeId {
  return wolfId + 1;
}

/** The id that wolf.raft has for a node of the core; undefined for `NO_NODE`. */
export function toWolfId(node: NodeId): number | undefined {
  return node === NO_NODE ? undefined : node - 1;
}
