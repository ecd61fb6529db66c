import { wolfErrors } from './errors.js';

/**
 * Checks that Bootstrap(number_of_nodes) may form the group. The call names the members 0 to n-1 and the node itself,
 * so that 0 means the node alone. Throws WolfError RAFT_BOOTSTRAP_FAILED when `wolf.members` names other members, or
 * when this member already has a log, a term or a vote in the group, as after a first Bootstrap.
 */
export function checkBootstrap(
  numberOfNodes: bigint,
  group: {
    readonly self: number;
    readonly members: readonly number[];
    readonly lastIndex: number;
    readonly term: number;
    readonly isVoter: boolean;
  },
): void {
  const { self, members, lastIndex, term, isVoter } = group;
  const count = BigInt(members.length);
  // Compared by count first, since the number may be as large as 2^64-1.
  const isSelfBeyond = BigInt(self) >= numberOfNodes;
  const named = (id: number): boolean => id === self || BigInt(id) < numberOfNodes;
  if (numberOfNodes + (isSelfBeyond ? 1n : 0n) !== count || !members.every(named)) {
    const configured = [...members].sort((a, b) => a - b).join(', ');
    const made = numberOfNodes + (isSelfBeyond ? 1n : 0n);
    throw wolfErrors.bootstrapFailed(
      `number_of_nodes is ${numberOfNodes}, which with node ${self} itself makes ` +
        `${made} ${made === 1n ? 'member' : 'members'}, but wolf.members names ${members.length}: ${configured}`,
    );
  }
  if (lastIndex > 0)
    throw wolfErrors.bootstrapFailed(
      'the log is not empty: the group was formed before and goes on from there',
    );
  if (term > 0)
    throw wolfErrors.bootstrapFailed(
      `this member has no log, but it is in term ${term}, as after another one asked for its vote; a group is formed when every ` +
        'member has nothing. If the group was formed, this member takes part by itself; if not, give it an empty data directory',
    );
  if (isVoter)
    throw wolfErrors.bootstrapFailed('Bootstrap was called here before, and the group forms by itself');
}
