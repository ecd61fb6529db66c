import { CoxswainError, StatusCode } from '@coxswain/client';

/** What the server said and where, with what to do about it where that is known; undefined where the error is no call's. */
export function describeFailedCall(error: unknown): string | undefined {
  if (!(error instanceof CoxswainError)) return undefined;
  const { code, errorCode, message, endpoint } = error;
  if (errorCode === 'noConnection') return message;
  const advice: Partial<Record<StatusCode, string>> = {
    [StatusCode.UNAVAILABLE]: ': try again, and see coxswain health',
    [StatusCode.UNAUTHENTICATED]: ': give the right --token',
  };
  // A stock server sends no codes.
  if (errorCode === 'tableNotFound' || message === 'table not found')
    return `${message} (${endpoint}): see coxswain tables list`;
  // The text is Regatta's and gives no reason.
  if (errorCode === 'notReady')
    return `${message} (${endpoint}): try again, and see why with coxswain status and coxswain health`;
  return `${message} (${endpoint})${advice[code] ?? ''}`;
}
