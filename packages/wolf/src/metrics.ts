import { membershipJson, type WolfMembership } from './membership.js';

/** async-raft's RaftMetrics. Ids are wolf ids. */
export interface WolfMetrics {
  readonly id: number;
  readonly state: 'NonVoter' | 'Follower' | 'Candidate' | 'Leader' | 'Shutdown';
  readonly currentTerm: number;
  readonly lastLogIndex: number;
  readonly lastApplied: number;
  readonly currentLeader: number | undefined;
  readonly membershipConfig: WolfMembership;
}

/** The JSON of GetMetrics: async-raft's keys in its order, then ours in the order in which `ours` has them. */
export function writeMetrics(
  metrics: WolfMetrics,
  ours: Readonly<Record<string, string | number | boolean | null>> = {},
): string {
  const { id, state, currentTerm, lastLogIndex, lastApplied, currentLeader, membershipConfig } = metrics;
  const known =
    `{"id":${id},"state":"${state}","current_term":${currentTerm},"last_log_index":${lastLogIndex},` +
    `"last_applied":${lastApplied},"current_leader":${currentLeader ?? null},` +
    `"membership_config":${membershipJson(membershipConfig)}`;
  const added = Object.entries(ours).map(
    ([key, value]) => `,${JSON.stringify(key)}:${JSON.stringify(value)}`,
  );
  return `${known}${added.join('')}}`;
}
