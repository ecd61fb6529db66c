import { describe, expect, test } from '@jest/globals';
import { Simulation } from './support/simulation.js';

describe('a group on a random network and random disks', () => {
  test.each([
    { voters: 3, learners: 0 },
    { voters: 5, learners: 0 },
    { voters: 3, learners: 1 },
    { voters: 1, learners: 1 },
    { voters: 4, learners: 0 },
  ])('$voters voters and $learners learners keep the invariants and recover', ({ voters, learners }) => {
    const total = { elections: 0, crashes: 0, snapshots: 0, reads: 0, lostWrites: 0, duplicates: 0 };
    for (let seed = 1; seed <= 24; seed++) {
      const simulation = new Simulation(seed, voters, learners);
      simulation.disturb(600);
      simulation.heal(2000);
      for (const key of Object.keys(total) as (keyof typeof total)[]) total[key] += simulation.counts[key];
    }
    // The faults really happened.
    for (const [what, count] of Object.entries(total)) expect([what, count > 0]).toEqual([what, true]);
  });

  test('the same seed gives the same run', () => {
    const run = (): unknown => {
      const simulation = new Simulation(7, 3, 0);
      simulation.disturb(500);
      return [simulation.history, [...simulation.leaders], simulation.counts];
    };
    expect(run()).toEqual(run());
  });
});
