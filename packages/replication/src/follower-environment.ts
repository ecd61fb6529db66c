import type { Clock, Log, Random, Tracer } from '@coxswain/runtime';
import type { LeaderLink } from './leader-link.js';

export interface FollowerEnvironment {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** Records spans; undefined when tracing is off. */
  readonly tracer?: Tracer | undefined;
  readonly link: LeaderLink;
  /** Called with the error of a broken invariant; the process must end. */
  readonly fatal: (error: unknown) => void;
}
