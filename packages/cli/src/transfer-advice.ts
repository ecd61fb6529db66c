import { CoxswainError, StatusCode } from '@coxswain/client';

const advice: Partial<Record<StatusCode, string>> = {
  [StatusCode.UNAUTHENTICATED]: 'give the right --token',
  [StatusCode.UNIMPLEMENTED]: 'only leader clusters do that: give the --endpoints of one',
};

/** What to do about an error that comes however often a backup or a restore is repeated; undefined: it may not. */
export function adviceOf(error: Error): string | undefined {
  return error instanceof CoxswainError ? advice[error.code] : undefined;
}
