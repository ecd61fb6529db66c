import { type ClusterRole, errors } from '@coxswain/node';

/**
 * Checks for calls that only a leader cluster serves. Throws notReady while the role is not known, and notForThisRole.
 */
export function checkLeaderRole(role: ClusterRole | undefined, method: string): void {
  if (role === undefined) throw errors.notReady();
  if (role !== 'leader') throw errors.notForThisRole(method);
}
