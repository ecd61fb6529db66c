import type { StoredPair } from '../faults/node-client.js';
import type { Violations } from './violations.js';

/**
 * A number that many clients raise by one with a compare-and-swap on its mod revision. Each success is one version, so
 * that value and version are equal unless something was done twice.
 */
export class SharedCounter {
  readonly key: string;
  #raisedCount = 0;
  #unknownCount = 0;
  readonly #revisions = new Set<number>();

  constructor(key: string) {
    this.key = key;
  }

  get raisedCount(): number {
    return this.#raisedCount;
  }

  raised(revision: number, violations: Violations): void {
    this.#raisedCount++;
    if (this.#revisions.has(revision)) violations.add(`${this.key}: two successes at revision ${revision}`);
    this.#revisions.add(revision);
  }

  unknown(): void {
    this.#unknownCount++;
  }

  check(stored: StoredPair | undefined, violations: Violations): void {
    const value = Number(stored?.value ?? 0);
    const version = stored?.version ?? 0;
    const atMost = this.#raisedCount + this.#unknownCount;
    if (value !== version) violations.add(`${this.key} is ${value}, but was written ${version} times`);
    if (value < this.#raisedCount || value > atMost) {
      violations.add(`${this.key} is ${value}, not between ${this.#raisedCount} and ${atMost}`);
    }
  }
}
