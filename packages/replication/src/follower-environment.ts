import type { Clock, Log, Random } from '@coxswain/runtime';
import type { LeaderLink } from './leader-link.js';

export interface FollowerEnvironment {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly link: LeaderLink;
  /** Called with the error of a broken invariant; the process must end. */
  readonly fatal: (error: unknown) => void;
}
