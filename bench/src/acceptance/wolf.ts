import type { AcceptanceCheck } from './check.js';
import { runLarge } from './jest.js';

const PUTS = 10_000;

/** Checks three nodes that replicate a table over wolf.raft alone, with a killed leader and a wiped disk. */
export const wolf: AcceptanceCheck = {
  name: 'wolf',
  run: async () => [
    await runLarge({
      what: `three nodes over wolf.raft alone, ${PUTS} puts`,
      files: ['clusters/wolf\\.test\\.js$'],
      environment: { ACCEPTANCE_WOLF_PUTS: String(PUTS) },
    }),
  ],
};
