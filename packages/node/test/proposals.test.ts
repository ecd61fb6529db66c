import { type ApplyResult, CommandKind } from '@coxswain/table';
import { describe, expect, test } from '@jest/globals';
import { type ApiError, errors } from '../src/api/errors.js';
import { Budget } from '../src/group/budget.js';
import { ForwardedSequences } from '../src/group/forwarded.js';
import { Proposals } from '../src/group/proposals.js';

const MANY = { countMax: 100, bytesMax: 1000 };

function harness(limits = MANY) {
  const budget = new Budget(limits);
  const proposals = new Proposals(budget);
  const outcomes: string[] = [];
  const add = (name: string, deadlineMs = 1000) =>
    proposals.add({
      kind: CommandKind.Command,
      command: Buffer.from(name),
      cursor: undefined,
      call: { deadlineMs },
      beganMs: 0,
      resolve: (result) => outcomes.push(`${name} at ${result.index}`),
      reject: (error: ApiError) => outcomes.push(`${name}: ${error.message}`),
    });
  return { budget, proposals, outcomes, add };
}

const result = (index: number): ApplyResult => ({
  index,
  revision: index,
  succeeded: true,
  responses: [],
  hasStaleCursor: false,
  sealedBy: undefined,
});

const UNKNOWN = errors.outcomeUnknown().message;
const names = (sent: readonly { command: Buffer }[]) => sent.map(({ command }) => command.toString());

describe('a proposal', () => {
  test('is answered when its own sequence is applied', () => {
    const { proposals, outcomes, add, budget } = harness();
    add('a');
    add('b');
    const [a, b] = proposals.send(1, 1000, 0);
    proposals.applied(b!.sequence, result(8));
    proposals.applied(a!.sequence, result(7));
    expect(outcomes).toEqual(['b at 8', 'a at 7']);
    expect(budget.count).toBe(0);
    expect(proposals.isEmpty).toBe(true);
  });

  test('that an earlier leader got, and that was not applied when a later term is, is proposed anew under a new sequence (P1)', () => {
    const { proposals, outcomes, add } = harness();
    add('a');
    const [first] = proposals.send(1, 1000, 0);
    proposals.termApplied(2);
    const [second] = proposals.send(2, 1000, 0);
    expect(second!.sequence).not.toBe(first!.sequence);
    proposals.applied(second!.sequence, result(9));
    expect(outcomes).toEqual(['a at 9']);
  });

  test('stays in doubt while only its own term is applied (P1)', () => {
    const { proposals, add } = harness();
    add('a');
    proposals.send(2, 1000, 0);
    proposals.termApplied(2);
    expect(proposals.hasUnsent).toBe(false);
  });

  test('whose deadline passes ends as unknown when a leader got it, and as not done when none did (P1)', () => {
    const { proposals, outcomes, add } = harness();
    add('sent', 10);
    proposals.send(1, 1000, 0);
    add('unsent', 10);
    add('later', 20);
    proposals.expire(9, errors.notReady);
    expect(outcomes).toEqual([]);
    proposals.expire(10, errors.notReady);
    expect(outcomes).toEqual([`sent: ${UNKNOWN}`, `unsent: ${errors.notReady().message}`]);
  });

  test('that a snapshot may cover ends as unknown (P1)', () => {
    const { proposals, outcomes, add } = harness();
    add('a');
    proposals.send(3, 1000, 0);
    add('b');
    proposals.send(5, 1000, 0);
    proposals.coveredBySnapshot(4);
    expect(outcomes).toEqual([`a: ${UNKNOWN}`]);
  });

  test('that the only leader asked refused is proposed anew', () => {
    const { proposals, outcomes, add } = harness();
    add('a');
    const [sent] = proposals.send(1, 1000, 0);
    proposals.refused(1, [sent!.sequence], false);
    expect(proposals.hasUnsent).toBe(true);
    expect(outcomes).toEqual([]);
  });

  test('that was given twice is not believed refused: the first may have been appended (P1)', () => {
    const { proposals, add } = harness();
    add('a');
    const [sent] = proposals.send(1, 1000, 0);
    expect(names(proposals.resend(1, 1, 1))).toEqual(['a']);
    proposals.refused(1, [sent!.sequence], false);
    expect(proposals.hasUnsent).toBe(false);
    expect(proposals.awaited(sent!.sequence)).toBe(sent);
  });

  test('is not given again while it may still be on its way', () => {
    const { proposals, add } = harness();
    add('a');
    proposals.send(1, 1000, 10);
    expect(proposals.resend(1, 10, 20)).toEqual([]);
    expect(names(proposals.resend(1, 11, 20))).toEqual(['a']);
    expect(proposals.resend(1, 20, 30)).toEqual([]);
  });

  test('is given again only to the leader of the term that it was meant for', () => {
    const { proposals, add } = harness();
    add('a');
    proposals.send(1, 1000, 0);
    expect(proposals.resend(2, 1, 1)).toEqual([]);
  });

  test('that does not fit is refused at once and counts for nothing (P4)', () => {
    const { add, proposals, budget } = harness({ countMax: 2, bytesMax: 4 });
    add('aaa');
    expect(() => add('bb')).toThrow(errors.tooBusy().message);
    add('b');
    expect(() => add('')).toThrow(errors.tooBusy().message);
    proposals.failAll(errors.shuttingDown);
    expect(budget.count).toBe(0);
  });

  test('goes out in batches of bounded size', () => {
    const { proposals, add } = harness();
    for (const name of ['aa', 'bb', 'cc']) add(name);
    expect(names(proposals.send(1, 4, 0))).toEqual(['aa', 'bb']);
    expect(names(proposals.send(1, 1, 0))).toEqual(['cc']);
    expect(proposals.hasUnsent).toBe(false);
  });

  test('of a stopping node is unknown when it was sent, and aborted when not (P1)', () => {
    const { proposals, outcomes, add } = harness();
    add('sent');
    proposals.send(1, 1000, 0);
    add('unsent');
    proposals.failAll(errors.shuttingDown);
    expect(outcomes).toEqual([`sent: ${UNKNOWN}`, `unsent: ${errors.shuttingDown().message}`]);
  });
});

describe('what a leader appended for others (P1)', () => {
  const proposals = (...sequences: number[]) => sequences.map((sequence) => ({ sequence }));
  const append = (
    forwarded: ForwardedSequences,
    term: number,
    from: string,
    settledBelow: number,
    ...sequences: number[]
  ) => {
    const fresh = forwarded.fresh(term, from, settledBelow, proposals(...sequences));
    forwarded.appended(from, fresh);
    return fresh.map(({ sequence }) => sequence);
  };

  test('is not appended again when it is repeated', () => {
    const forwarded = new ForwardedSequences();
    expect(append(forwarded, 1, '2/a', 1, 1, 2, 3)).toEqual([1, 2, 3]);
    expect(append(forwarded, 1, '2/a', 2, 2, 3, 4)).toEqual([4]);
  });

  test('is not appended again when a frame of an old connection arrives after it was settled', () => {
    const forwarded = new ForwardedSequences();
    append(forwarded, 1, '2/a', 1, 1, 2);
    append(forwarded, 1, '2/a', 3, 3);
    expect(append(forwarded, 1, '2/a', 1, 1, 2)).toEqual([]);
  });

  test('is told apart by boot, since sequences begin anew with each', () => {
    const forwarded = new ForwardedSequences();
    append(forwarded, 1, '2/a', 1, 1);
    expect(append(forwarded, 1, '2/b', 1, 1)).toEqual([1]);
  });

  test('is void in a new term: what an old one appended is not accepted any more', () => {
    const forwarded = new ForwardedSequences();
    append(forwarded, 1, '2/a', 1, 1);
    expect(append(forwarded, 2, '2/a', 1, 1)).toEqual([1]);
  });

  test('is not refused when it is repeated: that would have it proposed again', () => {
    const forwarded = new ForwardedSequences();
    append(forwarded, 2, '2/a', 2, 2, 3);
    expect(forwarded.notAppended(2, '2/a', proposals(1, 2, 3, 4))).toEqual([4]);
    expect(forwarded.notAppended(2, '2/b', proposals(2))).toEqual([2]);
    // What was appended in an earlier term is forgotten, and in a later one there is nothing yet.
    expect(forwarded.notAppended(1, '2/a', proposals(1))).toEqual([]);
    expect(forwarded.notAppended(3, '2/a', proposals(2))).toEqual([2]);
  });
});
