import { type ClusterRole, errors } from '@coxswain/node';

/**
 * Throws unless this is a leader cluster, for a method that only leader clusters serve: notReady while the role is not
 * known, and notForThisRole.
 */
export function checkLeaderRole(role: ClusterRole | undefined, method: string): void {
  if (role === undefined) throw errors.notReady();
  if (role !== 'leader') throw errors.notForThisRole(method);
}
