import { availableParallelism } from 'node:os';

/** Those start real processes and wait for them: a group of its own, `npm run test:processes`. */
const processes = ['packages/cli/dist/test', 'bench/dist/test/(process-faults|managed-process)[.]test[.]js'];

const group = {
  // Jest runs what `tsc -b` emitted: it tests what ships, and needs no transformer. In plain Node: each file in a context
  // of its own, as Jest's own runner has it, loads all modules anew and took 384 s where this takes 280.
  runner: '<rootDir>/scripts/test-runner.mjs',
  setupFiles: ['<rootDir>/scripts/test-worker.mjs'],
  setupFilesAfterEnv: ['<rootDir>/scripts/test-guard.mjs'],
  // The packages that people install have the names of those that they are made of.
  modulePathIgnorePatterns: ['<rootDir>/dist/'],
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
  // Many tests wait for processes of their own: on two cores, where Jest would run one worker, three leave the least idle.
  maxWorkers: Math.max(3, availableParallelism() - 1),
};
