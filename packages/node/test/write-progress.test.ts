import { type Entry, EntryType, type StorageAppend } from '@coxswain/raft';
import type { Clock } from '@coxswain/runtime';
import { CommandKind } from '@coxswain/table';
import { describe, expect, test } from '@jest/globals';
import type { Call } from '../src/api/call.js';
import type { Proposal } from '../src/group/proposals.js';
import { WriteProgress } from '../src/group/write-progress.js';
import { WriteStages } from '../src/group/write-stages.js';

function harness() {
  let nowMs = 0;
  const stages = new WriteStages();
  const progress = new WriteProgress(7, {
    writeStages: stages,
    clock: { monotonicMs: () => nowMs } as Clock,
  });
  const at = (ms: number, act: () => void) => {
    nowMs = ms;
    act();
  };
  /** What was counted so far, in milliseconds. */
  const sums = () =>
    Object.fromEntries(
      Object.entries(stages).map(([stage, { sum, counts }]) => [
        stage,
        `${counts.at(-1)}: ${Math.round(sum * 1000)}`,
      ]),
    );
  return { stages, progress, at, sums };
}

const entries = (from: number, to: number): Entry[] =>
  Array.from({ length: to - from + 1 }, (_, i) => ({
    index: from + i,
    term: 1,
    type: EntryType.Normal,
    data: Buffer.alloc(0),
  }));
const append = (from: number, to: number) => ({ entries: entries(from, to) }) as unknown as StorageAppend;
const proposal = (beganMs: number, applied?: Call['applied']): Proposal => ({
  kind: CommandKind.Command,
  command: Buffer.alloc(0),
  cursor: undefined,
  call: { deadlineMs: 1000, ...(applied && { applied }) },
  beganMs,
  resolve: () => undefined,
  reject: () => undefined,
});

describe('the stages of a write', () => {
  test('follow each other from its proposal to its answer', () => {
    const { stages, progress, at, sums } = harness();
    const told: unknown[] = [];
    at(3, () => progress.handed(append(7, 7)));
    at(10, () => progress.durable(append(7, 7)));
    at(22, () => progress.committed(entries(7, 7)));
    const mine = proposal(1, (...args) => told.push(...args));
    at(53, () => progress.applied(entries(7, 7), [mine]));
    expect(sums()).toEqual({ queue: '1: 2', wal: '1: 7', peers: '1: 12', apply: '1: 31', answer: '0: 0' });
    // Whoever answers counts the rest.
    expect(told).toEqual([53, stages]);
  });

  test('are counted for each entry, whatever batches it came through', () => {
    const { progress, at, sums } = harness();
    at(10, () => progress.handed(append(1, 2)));
    at(11, () => progress.handed(append(3, 4)));
    at(20, () => progress.durable(append(1, 2)));
    at(21, () => progress.committed(entries(1, 1)));
    at(30, () => progress.durable(append(3, 4)));
    at(40, () => progress.committed(entries(2, 4)));
    at(41, () => progress.applied(entries(1, 1), [proposal(0)]));
    // The second entry is another node's.
    at(50, () => progress.applied(entries(2, 4), [undefined, proposal(5), proposal(6)]));
    expect(sums()).toMatchObject({
      queue: `3: ${10 + 6 + 5}`,
      wal: `3: ${10 + 19 + 19}`,
      peers: `3: ${1 + 10 + 10}`,
      apply: `3: ${20 + 10 + 10}`,
    });
  });

  test('are those of the entry that took the place of another', () => {
    const { progress, at, sums } = harness();
    at(1, () => progress.handed(append(1, 5)));
    at(2, () => progress.durable(append(1, 5)));
    at(10, () => progress.handed(append(3, 4)));
    at(20, () => progress.durable(append(3, 4)));
    at(30, () => progress.committed(entries(1, 4)));
    at(30, () => progress.applied(entries(1, 4), [undefined, proposal(0), proposal(0), undefined]));
    expect(sums()).toMatchObject({ queue: `2: ${1 + 10}`, wal: `2: ${1 + 10}`, peers: `2: ${28 + 10}` });
  });

  test('are not counted for what was handed over before the core began anew', () => {
    const { progress, at, sums } = harness();
    at(1, () => progress.handed(append(1, 2)));
    at(2, () => progress.durable(append(1, 2)));
    progress.clear();
    at(4, () => progress.handed(append(3, 3)));
    at(5, () => progress.durable(append(3, 3)));
    at(6, () => progress.committed(entries(1, 3)));
    at(7, () => progress.applied(entries(1, 3), [proposal(0), proposal(0), proposal(0)]));
    expect(sums()).toMatchObject({ queue: '1: 4', wal: '1: 1', peers: '1: 1', apply: '1: 1' });
  });

  test('cost nothing for what changes the vote and the term alone', () => {
    const { progress, sums } = harness();
    progress.handed(append(1, 0));
    progress.durable(append(1, 0));
    progress.applied(entries(1, 1), [proposal(0)]);
    expect(sums()).toMatchObject({ queue: '0: 0', answer: '0: 0' });
  });
});
