import type { Log } from '@coxswain/node';
import type { Clock, Random } from '@coxswain/runtime';
import type { LeaderLink } from './leader-link.js';

export interface FollowerEnvironment {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly link: LeaderLink;
  /** Takes a broken invariant, after which the process must end. */
  readonly fatal: (error: unknown) => void;
}
