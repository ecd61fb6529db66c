import { randomBytes } from 'node:crypto';
import type { Random } from '@coxswain/runtime';

/** The randomness of the system. */
export const systemRandom: Random = {
  next: () => Math.random(),
  bytes: (lengthBytes) => randomBytes(lengthBytes),
};
