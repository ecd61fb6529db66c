import { describe, expect, test } from '@jest/globals';
import { Silence, type SilenceVerdict } from '../src/silence.js';

/** Looks every 10 ms; a silence of 20 ms is tried for 30 ms. */
function looks(...counters: (readonly [receivedBytes: number, sentBytes: number])[]): SilenceVerdict[] {
  const silence = new Silence({ silenceMs: 20, trialMs: 30 }, 10);
  silence.look(1, 1);
  return counters.map(([receivedBytes, sentBytes]) => silence.look(receivedBytes, sentBytes));
}

const still = [1, 1] as const;

describe('silence', () => {
  test('is tried once, and ends the connection when the trial is over', () => {
    expect(looks(still, still, still, still, still)).toEqual(['alive', 'try', 'alive', 'alive', 'dead']);
  });

  test('is broken by a byte that comes, and begins anew', () => {
    expect(looks(still, still, still, still, [2, 1], [2, 1], [2, 1])).toEqual([
      'alive',
      'try',
      'alive',
      'alive',
      'alive',
      'alive',
      'try',
    ]);
  });

  test('is broken by much that leaves, and not by little: the system takes that without any answer', () => {
    const much = 16 * 1024;
    expect(looks(still, [1, 1 + much], [1, 1 + much], [1, much + 2])).toEqual([
      'alive',
      'alive',
      'alive',
      'try',
    ]);
  });

  test('does not count where nobody waits, and is never tried without a limit', () => {
    const silence = new Silence({ silenceMs: 20, trialMs: 30 }, 10);
    for (let look = 0; look < 10; look++) {
      expect(silence.look(0, 0)).toBe('alive');
      silence.reset();
    }
    const trusting = new Silence({ silenceMs: 0, trialMs: 30 }, 10);
    for (let look = 0; look < 10; look++) expect(trusting.look(0, 0)).toBe('alive');
  });
});
