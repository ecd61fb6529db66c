import { membershipJson, type WolfMembership } from './membership.js';

/** The RaftMetrics of async-raft. Ids are wolf ids. */
export interface WolfMetrics {
  readonly id: number;
  readonly state: 'NonVoter' | 'Follower' | 'Candidate' | 'Leader' | 'Shutdown';
  readonly currentTerm: number;
  readonly lastLogIndex: number;
  readonly lastApplied: number;
  readonly currentLeader: number | undefined;
  readonly membershipConfig: WolfMembership;
}

/** The metrics of another member that this node needs. */
export type MemberMetrics = Pick<WolfMetrics, 'id' | 'currentTerm' | 'lastLogIndex'> & {
  readonly state: string;
};

/**
 * Reads the JSON of GetMetrics. Returns undefined when one of these metrics is missing, or is a number that cannot be
 * kept exactly.
 */
export function readMetrics(json: string): MemberMetrics | undefined {
  let metrics: Readonly<Record<string, unknown>> | null;
  try {
    metrics = JSON.parse(json) as typeof metrics;
  } catch {
    return undefined;
  }
  if (metrics === null || typeof metrics !== 'object') return undefined;
  const { id, state, current_term: currentTerm, last_log_index: lastLogIndex } = metrics;
  if (!isIndex(id) || !isIndex(currentTerm) || !isIndex(lastLogIndex) || typeof state !== 'string')
    return undefined;
  return { id, state, currentTerm, lastLogIndex };
}

const isIndex = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;

/** Writes the JSON of GetMetrics: async-raft's keys in its order, then ours in the order of `ours`. */
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
