import type { AcceptanceCheck } from './check.js';
import { runLarge } from './jest.js';

const RUNS = 100_000;

/** Runs the tests of properties of foreign input with very many inputs, of which `npm test` tries a few. */
export const fuzz: AcceptanceCheck = {
  name: 'fuzz',
  run: async () => [
    await runLarge({
      what: `properties of what strangers send, ${RUNS} inputs each`,
      files: ['fuzz\\.test\\.js$'],
      environment: { COXSWAIN_FUZZ_RUNS: String(RUNS) },
    }),
  ],
};
