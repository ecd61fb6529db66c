import { CoxswainError, StatusCode } from '@coxswain/client';

/**
 * The advice for a call that the node does not serve: the service is switched off there, or came with a later release.
 */
export const METHOD_UNKNOWN_ADVICE =
  'the node does not serve that: start it without --maintenance.enabled=false and --tables.enabled=false';

/** The advice for a call that a follower cluster leaves to its leader cluster. */
export const LEADER_CLUSTERS_ONLY_ADVICE = 'only leader clusters do that: give the --endpoints of one';

const TABLE_NOT_FOUND_ADVICE = 'see coxswain tables list';

/** The advice for each code of ours; empty when the text of the error gives it. */
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
  // These texts are Regatta's, too.
  notForFollower: LEADER_CLUSTERS_ONLY_ADVICE,
  notForThisRole: LEADER_CLUSTERS_ONLY_ADVICE,
  notForLeader: 'only follower clusters do that: give the --endpoints of one',
};

/** The advice for each status of any other error, and of those of a stock server, which sends no codes. */
const adviceOfStatus: Partial<Record<StatusCode, string>> = {
  [StatusCode.UNAVAILABLE]: 'try again, and see coxswain health',
  [StatusCode.UNAUTHENTICATED]: 'give the right --token',
};

/**
 * Describes a failed call: the server's text and address, and advice where there is some. Returns undefined for an
 * error that is not a call's.
 */
export function describeFailedCall(error: unknown): string | undefined {
  if (!(error instanceof CoxswainError)) return undefined;
  const { code, errorCode, message, endpoint } = error;
  if (errorCode === 'noConnection') return message;
  const ofStatus = message === 'table not found' ? TABLE_NOT_FOUND_ADVICE : adviceOfStatus[code];
  const advice = adviceOfCode[errorCode] ?? ofStatus ?? '';
  return `${message} (${endpoint})${advice === '' ? '' : `: ${advice}`}`;
}
