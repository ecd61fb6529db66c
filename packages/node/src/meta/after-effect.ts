import { ApiError, errors, Status } from '../api/errors.js';

/** Awaits work of which a part is done already: UNAVAILABLE would say that nothing was, so it ends as `outcomeUnknown` (P1). */
export async function afterEffect<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    if (error instanceof ApiError && error.status === Status.Unavailable) throw errors.outcomeUnknown();
    throw error;
  }
}
