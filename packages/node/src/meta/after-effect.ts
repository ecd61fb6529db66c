import { ApiError, errors, Status } from '../api/errors.js';

/**
 * Awaits work of which a part is done already. If it fails with UNAVAILABLE, which would say that nothing was done,
 * throws `outcomeUnknown` instead (P1).
 */
export async function afterEffect<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    if (error instanceof ApiError && error.status === Status.Unavailable) throw errors.outcomeUnknown();
    throw error;
  }
}
