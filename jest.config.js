// Jest runs what `tsc -b` emitted: it tests what ships, and needs no transformer.
export default {
  testMatch: ['<rootDir>/packages/*/dist/test/**/*.test.js', '<rootDir>/bench/dist/test/**/*.test.js'],
  transform: {},
  testTimeout: 60_000,
};
