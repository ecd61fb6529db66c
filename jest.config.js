import { availableParallelism } from 'node:os';

/** Those start real processes and wait for them: a group of its own, `npm run test:processes`. */
const processes = ['packages/cli/dist/test', 'bench/dist/test/(process-faults|managed-process)[.]test[.]js'];

const group = {
  // Jest runs what `tsc -b` emitted: it tests what ships, and needs no transformer.
  transform: {},
  testMatch: ['<rootDir>/packages/*/dist/test/**/*.test.js', '<rootDir>/bench/dist/test/**/*.test.js'],
};

export default {
  projects: [
    { ...group, displayName: 'in process', testPathIgnorePatterns: ['/node_modules/', ...processes] },
    {
      ...group,
      displayName: 'processes',
      testMatch: [
        '<rootDir>/packages/cli/dist/test/**/*.test.js',
        '<rootDir>/bench/dist/test/{process-faults,managed-process}.test.js',
      ],
    },
  ],
  // Processes are started from the bundle: it must be of what was built.
  globalSetup: '<rootDir>/scripts/bundle.mjs',
  testSequencer: '<rootDir>/scripts/test-sequencer.mjs',
  reporters: ['<rootDir>/scripts/progress-reporter.mjs', 'summary'],
  // Ends what hangs, and decides nothing: no test's verdict depends on how fast the machine is.
  testTimeout: 1_200_000,
  // With Jest's half a second, a worker that a busy machine lets end later is reported as one that leaks handles.
  workerGracefulExitTimeout: 20_000,
  // Many tests wait for processes of their own: on two cores, where Jest would run one worker, three leave the least idle.
  maxWorkers: Math.max(3, availableParallelism() - 1),
};
