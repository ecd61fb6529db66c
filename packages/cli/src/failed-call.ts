import { CoxswainError, StatusCode } from '@coxswain/client';

/** The service is switched off there, or came with a later release. */
export const METHOD_UNKNOWN_ADVICE =
  'the node does not serve that: start it without --maintenance.enabled=false and --tables.enabled=false';

/** The calls that a follower cluster leaves to its leader cluster. */
export const LEADER_CLUSTERS_ONLY_ADVICE = 'only leader clusters do that: give the --endpoints of one';

const TABLE_NOT_FOUND_ADVICE = 'see coxswain tables list';

/** What to do about an error of ours; empty: its text says it. */
const adviceOfCode: Readonly<Record<string, string>> = {
  tableNotFound: TABLE_NOT_FOUND_ADVICE,
  ledElsewhere: 'give the API addresses of all members as --endpoints',
  leaderless: '',
  notFormed: '',
  cloning: '',
  cloneFailed: '',
  // The text is Regatta's and gives no reason.
  notReady: 'try again, and see why with coxswain status and coxswain health',
  methodUnknown: METHOD_UNKNOWN_ADVICE,
  // Their texts are Regatta's too.
  notForFollower: LEADER_CLUSTERS_ONLY_ADVICE,
  notForThisRole: LEADER_CLUSTERS_ONLY_ADVICE,
  notForLeader: 'only follower clusters do that: give the --endpoints of one',
};

/** What to do about any other error, and about those of a stock server, which sends no codes. */
const adviceOfStatus: Partial<Record<StatusCode, string>> = {
  [StatusCode.UNAVAILABLE]: 'try again, and see coxswain health',
  [StatusCode.UNAUTHENTICATED]: 'give the right --token',
};

/** What the server said and where, with what to do about it where that is known; undefined where the error is no call's. */
export function describeFailedCall(error: unknown): string | undefined {
  if (!(error instanceof CoxswainError)) return undefined;
  const { code, errorCode, message, endpoint } = error;
  if (errorCode === 'noConnection') return message;
  const ofStatus = message === 'table not found' ? TABLE_NOT_FOUND_ADVICE : adviceOfStatus[code];
  const advice = adviceOfCode[errorCode] ?? ofStatus ?? '';
  return `${message} (${endpoint})${advice === '' ? '' : `: ${advice}`}`;
}
