import { randomBytes } from 'node:crypto';
import type { Random } from '../api/environment.js';

export const systemRandom: Random = {
  next: () => Math.random(),
  bytes: (lengthBytes) => randomBytes(lengthBytes),
};
