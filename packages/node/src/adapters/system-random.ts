import { randomBytes } from 'node:crypto';
import type { Random } from '@coxswain/runtime';

export const systemRandom: Random = {
  next: () => Math.random(),
  bytes: (lengthBytes) => randomBytes(lengthBytes),
};
