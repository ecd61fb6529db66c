// Jest's order of the test files for `npm test`: those that start real processes come first. Jest itself goes by how long
// each took last time, which a fresh clone does not know, and then by size: some of the longest would begin last, and run
// alone at the end.
import { createRequire } from 'node:module';

/** Jest's own sequencer is a dependency of a dependency of `jest`. */
const fromHere = createRequire(import.meta.url);
const fromJest = createRequire(fromHere.resolve('jest'));
const fromCore = createRequire(fromJest.resolve('@jest/core'));
const { default: TestSequencer } = fromCore('@jest/test-sequencer');

export default class ProcessesFirst extends TestSequencer {
  sort(tests) {
    const rank = (test) => (test.context.config.displayName?.name === 'processes' ? 0 : 1);
    // Stable: within each group the order is Jest's.
    return [...super.sort(tests)].sort((a, b) => rank(a) - rank(b));
  }
}
