import type { StoredPair } from '../faults/node-client.js';
import type { Violations } from './violations.js';

/** The expected content of a pair. Its mod revision is unknown when the write's answer was lost. */
type ExpectedPair = Omit<StoredPair, 'revision' | 'createRevision'> & {
  readonly revision: number | undefined;
  readonly createRevision: number | undefined;
};

/** A write of several keys as one atomic step: the new value by key, undefined for a key that it deletes. */
export type Change = ReadonlyMap<string, string | undefined>;

/**
 * The expected content of keys that only one client writes, one call at a time. An acknowledged write must be there
 * exactly once, which version, create and mod revision show. Of a write with an unknown outcome, either everything is
 * there or nothing; its keys become doubtful and must not be written again, so that nothing else covers them.
 */
export class OwnedKeys {
  readonly #pairs = new Map<string, ExpectedPair>();
  readonly #doubtful = new Map<string, readonly ReadonlyMap<string, ExpectedPair | undefined>[]>();

  has(key: string): boolean {
    return this.#pairs.has(key);
  }

  /** Returns the latest mod revision of a key that must be there. */
  revision(key: string): number | undefined {
    return this.#pairs.get(key)?.revision;
  }

  version(key: string): number {
    return this.#pairs.get(key)?.version ?? 0;
  }

  /** Returns the keys that must be there and begin with the prefix. */
  withPrefix(prefix: string): string[] {
    return [...this.#pairs.keys()].filter((key) => key.startsWith(prefix));
  }

  get count(): number {
    return this.#pairs.size;
  }

  get doubtfulCount(): number {
    return this.#doubtful.size;
  }

  acknowledged(change: Change, revision: number): void {
    for (const [key, pair] of this.#after(change, revision)) this.#set(key, pair);
  }

  /** Records a change that may happen at any time, or never. */
  unknown(change: Change): void {
    const before = new Map([...change.keys()].map((key) => [key, this.#pairs.get(key)]));
    const alternatives = [before, this.#after(change, undefined)];
    for (const key of change.keys()) {
      this.#pairs.delete(key);
      this.#doubtful.set(key, alternatives);
    }
  }

  /** Whether this pair may be stored under the key now. */
  isPossible(key: string, pair: StoredPair | undefined): boolean {
    const alternatives = this.#doubtful.get(key);
    if (alternatives === undefined) return isSame(this.#pairs.get(key), pair);
    return alternatives.some((alternative) => isSame(alternative.get(key), pair));
  }

  /**
   * Checks the stored pairs when all writes have ended.
   *
   * @param stored every pair whose key begins with the owner's prefix.
   */
  check(stored: ReadonlyMap<string, StoredPair>, violations: Violations): void {
    for (const [key, expected] of this.#pairs) {
      const pair = stored.get(key);
      if (!isSame(expected, pair)) violations.add(`${key} is ${describe(pair)}, not ${describe(expected)}`);
    }
    for (const key of stored.keys()) {
      if (!this.#pairs.has(key) && !this.#doubtful.has(key))
        violations.add(`${key} is there, but was deleted`);
    }
    for (const alternatives of new Set(this.#doubtful.values())) {
      const isAny = alternatives.some((alternative) =>
        [...alternative].every(([key, expected]) => isSame(expected, stored.get(key))),
      );
      if (!isAny)
        violations.add(
          `${[...alternatives[0]!.keys()].join(', ')}: half of a write is there, or another one`,
        );
    }
  }

  #after(change: Change, revision: number | undefined): Map<string, ExpectedPair | undefined> {
    return new Map(
      [...change].map(([key, value]) => {
        if (value === undefined) return [key, undefined];
        const before = this.#pairs.get(key);
        return [
          key,
          {
            value,
            revision,
            createRevision: before === undefined ? revision : before.createRevision,
            version: (before?.version ?? 0) + 1,
          },
        ];
      }),
    );
  }

  #set(key: string, pair: ExpectedPair | undefined): void {
    if (pair === undefined) this.#pairs.delete(key);
    else this.#pairs.set(key, pair);
  }
}

function isSame(expected: ExpectedPair | undefined, pair: StoredPair | undefined): boolean {
  if (expected === undefined || pair === undefined) return expected === pair;
  return (
    pair.value === expected.value &&
    pair.version === expected.version &&
    (expected.revision === undefined || pair.revision === expected.revision) &&
    (expected.createRevision === undefined || pair.createRevision === expected.createRevision)
  );
}

function describe(pair: ExpectedPair | undefined): string {
  if (pair === undefined) return 'not there';
  return `version ${pair.version} of revision ${pair.revision ?? 'unknown'}`;
}
