import type { NodeId } from './types.js';

/** Returns how many of `voters` make a majority. */
export function majority(voters: number): number {
  return Math.floor(voters / 2) + 1;
}

/**
 * Returns the highest index that a majority of `voters` has reached (§5.3): the commit index for match indexes, and the
 * last confirmed ReadIndex round for acknowledged rounds. `voters` must not be empty.
 */
export function majorityIndex(voters: readonly NodeId[], indexOf: (voter: NodeId) => number): number {
  const indexes: number[] = [];
  for (const voter of voters) {
    // Insertion into a descending list: groups are small, and this sorts without a comparator call.
    const index = indexOf(voter);
    let position = indexes.length;
    while (position > 0 && indexes[position - 1]! < index) {
      indexes[position] = indexes[position - 1]!;
      position--;
    }
    indexes[position] = index;
  }
  return indexes[majority(voters.length) - 1]!;
}

export type VoteResult = 'won' | 'lost' | 'pending';

/** Returns the state of an election among `voters`. Answers from other nodes do not count. */
export function voteResult(voters: readonly NodeId[], votes: ReadonlyMap<NodeId, boolean>): VoteResult {
  let granted = 0;
  let refused = 0;
  for (const voter of voters) {
    const vote = votes.get(voter);
    if (vote === true) granted++;
    else if (vote === false) refused++;
  }
  const needed = majority(voters.length);
  if (granted >= needed) return 'won';
  return voters.length - refused < needed ? 'lost' : 'pending';
}
