import { wolfErrors } from './errors.js';

/**
 * Whether Bootstrap(number_of_nodes) may form the group. It names the members 0 to n-1 and the node itself, so 0 is the
 * node alone. Throws WolfError RAFT_BOOTSTRAP_FAILED where `wolf.members` names others, or the log is not empty, as it is
 * after a first Bootstrap.
 */
export function checkBootstrap(
  numberOfNodes: bigint,
  group: { readonly self: number; readonly members: readonly number[]; readonly isLogEmpty: boolean },
): void {
  const { self, members, isLogEmpty } = group;
  const count = BigInt(members.length);
  // Checked by count first: the number may be as large as 2^64-1.
  const isSelfBeyond = BigInt(self) >= numberOfNodes;
  const named = (id: number): boolean => id === self || BigInt(id) < numberOfNodes;
  if (numberOfNodes + (isSelfBeyond ? 1n : 0n) !== count || !members.every(named)) {
    const configured = [...members].sort((a, b) => a - b).join(', ');
    throw wolfErrors.bootstrapFailed(
      `number_of_nodes is ${numberOfNodes}, which with node ${self} itself makes ` +
        `${numberOfNodes + (isSelfBeyond ? 1n : 0n)} members, but wolf.members names ${members.length}: ${configured}`,
    );
  }
  if (!isLogEmpty)
    throw wolfErrors.bootstrapFailed(
      'the log is not empty: the group was formed before and goes on from there',
    );
}
