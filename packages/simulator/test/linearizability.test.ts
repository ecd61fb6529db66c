import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { checkLinearizable, type RegisterEffect, type RegisterOperation } from '../src/index.js';

const never = Number.POSITIVE_INFINITY;
const read = (observed: string | undefined): RegisterEffect => ({ kind: 'read', observed });
const write = (value: string | undefined): RegisterEffect => ({ kind: 'write', value });
const at = (invokedAt: number, returnedAt: number, effect: RegisterEffect): RegisterOperation => ({
  invokedAt,
  returnedAt,
  effect,
});

describe('histories with a known verdict', () => {
  test.each<[string, 'linearizable' | 'violated', RegisterOperation[]]>([
    ['nothing happened', 'linearizable', []],
    ['a read before any write sees nothing', 'linearizable', [at(0, 1, read(undefined))]],
    ['a read sees a value that nobody wrote', 'violated', [at(0, 1, read('a'))]],
    ['a read after a write sees it', 'linearizable', [at(0, 1, write('a')), at(2, 3, read('a'))]],
    ['an acknowledged write is lost', 'violated', [at(0, 1, write('a')), at(2, 3, read(undefined))]],
    [
      'a stale read after a newer write returned',
      'violated',
      [at(0, 1, write('a')), at(2, 3, write('b')), at(4, 5, read('a'))],
    ],
    [
      'a read that overlaps a write sees either value',
      'linearizable',
      [at(0, 1, write('a')), at(2, 6, write('b')), at(3, 4, read('a')), at(5, 7, read('b'))],
    ],
    [
      'a value goes and comes back between two reads that overlap one write',
      'violated',
      [at(0, 1, write('a')), at(2, 9, write('b')), at(3, 4, read('b')), at(5, 6, read('a'))],
    ],
    [
      'a write of unknown outcome happened, late',
      'linearizable',
      [at(0, never, write('a')), at(1, 2, read(undefined)), at(3, 4, write('b')), at(5, 6, read('a'))],
    ],
    [
      'a write of unknown outcome never happened',
      'linearizable',
      [at(0, never, write('a')), at(1, 2, read(undefined)), at(3, 4, read(undefined))],
    ],
    [
      'a write of unknown outcome happened twice',
      'violated',
      [at(0, never, write('a')), at(1, 2, read('a')), at(3, 4, write('b')), at(5, 6, read('a'))],
    ],
    [
      'two compare-and-sets from the same value both succeed',
      'violated',
      [
        at(0, 1, write('a')),
        at(2, 4, { kind: 'compareAndSet', expected: 'a', value: 'b', succeeded: true }),
        at(2, 4, { kind: 'compareAndSet', expected: 'a', value: 'c', succeeded: true }),
      ],
    ],
    [
      'a compare-and-set fails although nothing else happened',
      'violated',
      [
        at(0, 1, write('a')),
        at(2, 4, { kind: 'compareAndSet', expected: 'a', value: 'b', succeeded: false }),
      ],
    ],
    [
      'a write is told the wrong previous value',
      'violated',
      [at(0, 1, write('a')), at(2, 3, { kind: 'write', value: 'b', previous: { value: undefined } })],
    ],
    [
      'a deleted key reads as missing',
      'linearizable',
      [at(0, 1, write('a')), at(2, 3, write(undefined)), at(4, 5, read(undefined))],
    ],
  ])('%s: %s', (_name, verdict, operations) => {
    expect(checkLinearizable(operations)).toBe(verdict);
  });

  test('thousands of operations with many unknown outcomes are decided in bounded work', () => {
    const operations: RegisterOperation[] = [];
    for (let i = 0; i < 3000; i++) {
      operations.push(at(i * 4, i % 20 === 0 ? never : i * 4 + 3, write(`${i}`)));
      if (i % 20 !== 0) operations.push(at(i * 4 + 3.5, i * 4 + 3.9, read(`${i}`)));
    }
    expect(checkLinearizable(operations, 20_000)).toBe('linearizable');
  });
});

/** What a register allows, found by trying every order: right by inspection, and slow. */
function checkNaively(operations: readonly RegisterOperation[]): boolean {
  const search = (left: readonly RegisterOperation[], value: string | undefined): boolean => {
    if (left.every((operation) => operation.returnedAt === never)) return true;
    return left.some((operation) => {
      if (left.some((other) => other.returnedAt < operation.invokedAt)) return false;
      const { effect } = operation;
      const rest = left.filter((other) => other !== operation);
      if (effect.kind === 'read')
        return operation.returnedAt === never || effect.observed === value ? search(rest, value) : false;
      if (effect.kind === 'write') {
        if (effect.previous !== undefined && effect.previous.value !== value) return false;
        return search(rest, effect.value);
      }
      const succeeds = effect.expected === value;
      if (effect.succeeded !== undefined && effect.succeeded !== succeeds) return false;
      return search(rest, succeeds ? effect.value : value);
    });
  };
  return search(operations, undefined);
}

const value = fc.constantFrom('a', 'b', undefined);
const operation = fc
  .record({
    invokedAt: fc.integer({ min: 0, max: 12 }),
    duration: fc.integer({ min: 1, max: 6 }),
    isAnswered: fc.boolean(),
    isSucceeded: fc.boolean(),
    kind: fc.constantFrom('read', 'write', 'replace', 'compareAndSet'),
    first: value,
    second: value,
  })
  .map(({ invokedAt, duration, isAnswered, isSucceeded, kind, first, second }): RegisterOperation => {
    const isKnown = isAnswered || duration > 2;
    const effect = ((): RegisterEffect => {
      if (kind === 'read') return { kind, observed: first };
      if (!isKnown && kind === 'compareAndSet') {
        return { kind, expected: first, value: second, succeeded: undefined };
      }
      if (kind === 'write' || !isKnown) return { kind: 'write', value: first };
      if (kind === 'replace') return { kind: 'write', value: first, previous: { value: second } };
      return { kind: 'compareAndSet', expected: first, value: second, succeeded: isSucceeded };
    })();
    return { invokedAt, returnedAt: isKnown ? invokedAt + duration : never, effect };
  });

describe('against every order tried in turn', () => {
  test('random histories get the same verdict', () => {
    const verdicts = new Set<string>();
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 7 }), (operations) => {
        const verdict = checkLinearizable(operations);
        verdicts.add(verdict);
        expect(verdict).toBe(checkNaively(operations) ? 'linearizable' : 'violated');
      }),
      { numRuns: 2000 },
    );
    expect([...verdicts].sort()).toEqual(['linearizable', 'violated']);
  });
});
