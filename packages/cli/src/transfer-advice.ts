import { CoxswainError, StatusCode } from '@coxswain/client';
import { LEADER_CLUSTERS_ONLY_ADVICE, METHOD_UNKNOWN_ADVICE } from './failed-call.js';

const adviceOfStatus: Partial<Record<StatusCode, string>> = {
  [StatusCode.UNAUTHENTICATED]: 'give the right --token',
  // Of a stock server, which sends no codes.
  [StatusCode.UNIMPLEMENTED]:
    'only leader clusters that serve maintenance.v1 do that: give the --endpoints of one',
};

const adviceOfCode: Readonly<Record<string, string>> = {
  methodUnknown: METHOD_UNKNOWN_ADVICE,
  notForThisRole: LEADER_CLUSTERS_ONLY_ADVICE,
};

/** What to do about an error that comes however often a backup or a restore is repeated; undefined: it may not. */
export function adviceOf(error: Error): string | undefined {
  if (!(error instanceof CoxswainError)) return undefined;
  return adviceOfCode[error.errorCode] ?? adviceOfStatus[error.code];
}
