import { CoxswainError, StatusCode } from '@coxswain/client';

/** The service is switched off there, or came with a later release. */
export const methodUnknownAdvice =
  'the node does not serve that: start it without --maintenance.enabled=false and --tables.enabled=false';

/** Errors whose texts say what to do. */
const saysWhatToDo: ReadonlySet<string> = new Set(['cloning', 'cloneFailed']);

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
  if (errorCode === 'ledElsewhere')
    return `${message} (${endpoint}): give the API addresses of all members as --endpoints`;
  // What another reason asks for is in the text.
  if (errorCode === 'noLeader' && !message.endsWith('members answer')) return `${message} (${endpoint})`;
  // The text is Regatta's and gives no reason.
  if (errorCode === 'notReady')
    return `${message} (${endpoint}): try again, and see why with coxswain status and coxswain health`;
  if (errorCode === 'methodUnknown') return `${message} (${endpoint}): ${methodUnknownAdvice}`;
  return `${message} (${endpoint})${saysWhatToDo.has(errorCode) ? '' : (advice[code] ?? '')}`;
}
