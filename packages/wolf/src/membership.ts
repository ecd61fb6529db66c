/** The MembershipConfig of async-raft, by wolf ids. Members are in the order in which they came, each once. */
export interface WolfMembership {
  readonly members: readonly number[];
  /** The members after a joint consensus; undefined outside one. */
  readonly membersAfterConsensus: readonly number[] | undefined;
}

/** Whether a membership is final and names exactly these wolf ids, in any order. */
export function isSameMembership(
  { members, membersAfterConsensus }: WolfMembership,
  ids: readonly number[],
): boolean {
  const configured = new Set(ids);
  const named = new Set(
    membersAfterConsensus === undefined ? members : [...members, ...membersAfterConsensus],
  );
  return (
    named.size === configured.size &&
    members.length === named.size &&
    [...named].every((id) => configured.has(id))
  );
}

/** Writes a membership as serde prints it. */
export function membershipJson({ members, membersAfterConsensus }: WolfMembership): string {
  const after = membersAfterConsensus === undefined ? 'null' : `[${membersAfterConsensus.join(',')}]`;
  return `{"members":[${members.join(',')}],"members_after_consensus":${after}}`;
}
