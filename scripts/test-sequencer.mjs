// Jest's order of the test files for `npm test`: those that start real processes come first, then those that hold several
// files, in a folder of their own name. Jest itself goes by how long each took last time, which a fresh clone does not know,
// and then by size: some of the longest would begin last, and run alone at the end.
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';

/** Jest's own sequencer is a dependency of a dependency of `jest`. */
const fromHere = createRequire(import.meta.url);
const fromJest = createRequire(fromHere.resolve('jest'));
const fromCore = createRequire(fromJest.resolve('@jest/core'));
const { default: TestSequencer } = fromCore('@jest/test-sequencer');

export default class LongestFirst extends TestSequencer {
  sort(tests) {
    const rank = ({ context, path }) => {
      if (context.config.displayName?.name === 'processes') return 0;
      return existsSync(path.replace(/[.]test[.]js$/, '')) ? 1 : 2;
    };
    // Stable: within each group the order is Jest's.
    return [...super.sort(tests)].sort((a, b) => rank(a) - rank(b));
  }
}
