import { availableParallelism } from 'node:os';

// Jest runs what `tsc -b` emitted: it tests what ships, and needs no transformer.
export default {
  testMatch: ['<rootDir>/packages/*/dist/test/**/*.test.js', '<rootDir>/bench/dist/test/**/*.test.js'],
  transform: {},
  testTimeout: 60_000,
  // Most tests wait for processes of their own: on two cores, where Jest would run one, two take three fifths of the time.
  maxWorkers: Math.max(2, availableParallelism() - 1),
};
