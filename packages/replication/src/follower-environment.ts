import type { Log } from '@coxswain/node';
import type { Clock, Random } from '@coxswain/runtime';
import type { LeaderLink } from './leader-link.js';

export interface FollowerEnvironment {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly link: LeaderLink;
  /** Called with the error of a broken invariant; the process must end. */
  readonly fatal: (error: unknown) => void;
}
