import { getHeapSpaceStatistics } from 'node:v8';

const QUIET_ALLOCATIONS = 1_000_000;
const LOOK_STEPS = 1_000;

class Filler {
  readonly list: readonly number[];

  constructor(i: number) {
    this.list = [1, 2, 3, 4, 5, 6, 7, i];
  }
}

function oldBytes(): number {
  const spaces = getHeapSpaceStatistics();
  return spaces.find((space) => space.space_name === 'old_space')!.space_used_size;
}

/**
 * How many bytes moved to V8's old generation while `step` ran `steps` times, what full collections took away again
 * included. Before that a quiet moment passes, in which whatever is there already grows old. What is short-lived should
 * leave nothing there (findings/v8-map-keeps-what-it-forgot.sh).
 */
export function oldGenerationGrowth(steps: number, step: (number: number) => void): number {
  // Kept for a moment each, so that the compiler does not leave them out.
  const fillers: Filler[] = [];
  for (let i = 0; i < QUIET_ALLOCATIONS; i++) fillers[0] = new Filler(i);
  let grownBytes = 0;
  let before = oldBytes();
  for (let i = 0; i < steps; i++) {
    step(i);
    if (i % LOOK_STEPS !== 0) continue;
    const now = oldBytes();
    grownBytes += Math.max(0, now - before);
    before = now;
  }
  return grownBytes;
}
