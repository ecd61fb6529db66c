import { faultScenarios, runFaultScenario } from '../faults/fault-scenarios.js';
import type { AcceptanceCheck, Measurement } from './check.js';

/** Runs every fault of the process fault tests several times on the same cluster, with pauses of 5 s. */
export const processFaults: AcceptanceCheck = {
  name: 'process-faults',
  async run() {
    const measurements: Measurement[] = [];
    for (const scenario of faultScenarios) {
      const target = 'nothing lost, nothing stale';
      try {
        const { writeCount, readCount } = await runFaultScenario(scenario, {
          rounds: 5,
          writesPerStep: 2_000,
          pauseMs: 5_000,
          restMs: 0,
          restWhileStartingMs: 0,
        });
        const measured = `held for ${writeCount} writes, ${readCount} reads`;
        measurements.push({ what: `5 times: ${scenario.name}`, target, measured, isMet: true });
      } catch (error) {
        measurements.push({
          what: `5 times: ${scenario.name}`,
          target,
          measured: String(error),
          isMet: false,
        });
      }
    }
    return measurements;
  },
};
