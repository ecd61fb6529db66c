import { CoxswainError, StatusCode } from '@coxswain/client';
import { LEADER_CLUSTERS_ONLY_ADVICE, METHOD_UNKNOWN_ADVICE } from './failed-call.js';

const adviceOfStatus: Partial<Record<StatusCode, string>> = {
  [StatusCode.UNAUTHENTICATED]: 'give the right --token',
  // A stock server answers so, and sends no codes.
  [StatusCode.UNIMPLEMENTED]:
    'only leader clusters that serve maintenance.v1 do that: give the --endpoints of one',
};

const adviceOfCode: Readonly<Record<string, string>> = {
  methodUnknown: METHOD_UNKNOWN_ADVICE,
  notForThisRole: LEADER_CLUSTERS_ONLY_ADVICE,
};

/**
 * Returns the advice for an error that comes however often a backup or a restore is repeated; undefined for an error
 * that may pass.
 */
export function adviceOf(error: Error): string | undefined {
  if (!(error instanceof CoxswainError)) return undefined;
  return adviceOfCode[error.errorCode] ?? adviceOfStatus[error.code];
}
