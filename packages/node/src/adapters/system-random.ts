import { randomBytes } from 'node:crypto';
import type { Random } from '../environment.js';

export const systemRandom: Random = {
  next: () => Math.random(),
  bytes: (lengthBytes) => randomBytes(lengthBytes),
};
