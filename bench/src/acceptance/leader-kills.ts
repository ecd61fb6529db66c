import { killLeader } from '../faults/fault-scenarios.js';
import { ProcessCluster } from '../faults/process-cluster.js';
import type { AcceptanceCheck } from './check.js';

const KILL_COUNT = 20;
const OUTAGE_MAX_MS = 3_000;

/** Kills the leader again and again with the default timings, and measures for how long nobody could write. */
export const leaderKills: AcceptanceCheck = {
  name: 'leader-kills',
  async run() {
    const cluster = await ProcessCluster.start(3);
    const outagesMs: number[] = [];
    try {
      for (let kill = 0; kill < KILL_COUNT; kill++) {
        const { leader, outageMs } = await killLeader(cluster);
        outagesMs.push(outageMs);
        leader.process.start();
        await leader.process.untilReady();
      }
    } finally {
      await cluster.dispose();
    }
    const inTimeCount = outagesMs.filter((outageMs) => outageMs < OUTAGE_MAX_MS).length;
    outagesMs.sort((a, b) => a - b);
    const median = outagesMs[KILL_COUNT / 2]!;
    const slowest = outagesMs.at(-1)!;
    return [
      {
        what: 'writes resume within 3 s of a killed leader',
        target: `${KILL_COUNT} of ${KILL_COUNT}`,
        measured: `${inTimeCount} of ${KILL_COUNT}, median ${median.toFixed(0)} ms, slowest ${slowest.toFixed(0)} ms`,
        isMet: inTimeCount === KILL_COUNT,
      },
    ];
  },
};
