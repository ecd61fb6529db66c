import type { AcceptanceCheck } from './check.js';
import { runLarge } from './jest.js';

const RUNS = 100_000;

/** The properties that tests try with a few inputs, whatever is sent to a node by strangers: with very many. */
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
