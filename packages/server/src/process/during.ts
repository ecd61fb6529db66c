import { toStartError } from './start-error.js';

/** Runs a step of the start. Rejects with a StartError that names the step when it fails. */
export async function during<T>(action: string, act: () => T | Promise<T>): Promise<T> {
  try {
    return await act();
  } catch (error) {
    throw toStartError(action, error);
  }
}
