import type { AcceptanceCheck } from './check.js';
import { runLarge } from './jest.js';

/**
 * Runs the simulators' own tests with more seeds and steps than `npm test`: simulated clusters and simulated groups of
 * Raft.
 */
export const simulation: AcceptanceCheck = {
  name: 'simulation',
  run: async () => [
    await runLarge({
      what: "the simulators' tests, with all their seeds and steps",
      files: [
        'packages/simulator/dist/test/',
        'packages/node/dist/test/rules/',
        'packages/raft/dist/test/simulation\\.test\\.js$',
      ],
      environment: { ACCEPTANCE_SIZE: 'full' },
    }),
  ],
};
