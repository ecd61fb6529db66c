import type { StoredPair } from './node-client.js';

/** The part of an answer that the history looks at. */
type SeenPair = Pick<StoredPair, 'value' | 'revision' | 'version'>;

const VIOLATIONS_SHOWN = 5;

/** One operation that has begun, with the knowledge about its key at that time. */
export interface Operation {
  readonly key: string;
  /** The latest revision in the answer of an operation that had ended by then. */
  readonly revisionFloor: number;
  /** The number of writes acknowledged by then. */
  readonly acknowledgedFloor: number;
}

class KeyHistory {
  revisionFloor = 0;
  startedCount = 0;
  refusedCount = 0;
  acknowledgedCount = 0;
  readonly valueByRevision = new Map<number, string>();
}

/**
 * Checks the answers to many clients' puts and gets of a few keys. Nothing else may write those keys, and nothing
 * deletes them. It needs no search through interleavings, because answers carry their place in the order of the log: an
 * operation that begins after another one has ended must come later in it (linearizability), a revision has one value,
 * and a version counts the puts, so that a write that was lost or done twice shows even when a later one has covered
 * it.
 */
export class History {
  readonly #keys = new Map<string, KeyHistory>();
  readonly #violations: string[] = [];
  #acknowledgedCount = 0;
  #readCount = 0;

  /** The violations found, in words; empty for a correct system. */
  get violations(): readonly string[] {
    return this.#violations;
  }

  get acknowledgedCount(): number {
    return this.#acknowledgedCount;
  }

  /** The number of linearizable reads that were answered. */
  get readCount(): number {
    return this.#readCount;
  }

  get keys(): Iterable<string> {
    return this.#keys.keys();
  }

  /**
   * Checks that there was no violation.
   *
   * @throws Error with the first of the violations
   */
  assertHolds(): void {
    const count = this.#violations.length;
    if (count === 0) return;
    throw new Error(
      `${count} violations, the first: ${this.#violations.slice(0, VIOLATIONS_SHOWN).join('; ')}`,
    );
  }

  startWrite(key: string): Operation {
    this.#of(key).startedCount++;
    return this.#start(key);
  }

  startRead(key: string): Operation {
    return this.#start(key);
  }

  writeAcknowledged(operation: Operation, value: string, revision: number): void {
    const history = this.#of(operation.key);
    history.acknowledgedCount++;
    this.#acknowledgedCount++;
    if (revision <= operation.revisionFloor) {
      this.#violate(
        operation.key,
        `a write at revision ${revision} began after revision ${operation.revisionFloor} was known`,
      );
    }
    this.#learn(operation.key, history, value, revision);
  }

  /** Records a refused write, which must never be seen (P1). */
  writeRefused(operation: Operation): void {
    this.#of(operation.key).refusedCount++;
  }

  /** Checks the answer of a linearizable read. */
  readAnswered(operation: Operation, pair: SeenPair | undefined): void {
    const history = this.#of(operation.key);
    this.#readCount++;
    const { revision, version } = pair ?? { revision: 0, version: 0 };
    if (revision < operation.revisionFloor) {
      this.#violate(
        operation.key,
        `a linearizable read saw revision ${revision} after ${operation.revisionFloor} was known`,
      );
    }
    this.#checkVersion(operation.key, history, version, operation.acknowledgedFloor);
    if (pair) this.#learn(operation.key, history, pair.value, revision);
  }

  /** Checks the answer of a read on any node: it may be old, but it must have been true once. */
  serializableReadAnswered(key: string, pair: SeenPair | undefined): void {
    const history = this.#of(key);
    if (!pair) return;
    this.#checkValue(key, history, pair.value, pair.revision);
    this.#checkVersion(key, history, pair.version, 0);
  }

  /** Records an answer that no fault explains. */
  unexpected(error: Error): void {
    this.#violations.push(error.message);
  }

  #start(key: string): Operation {
    const { revisionFloor, acknowledgedCount } = this.#of(key);
    return { key, revisionFloor, acknowledgedFloor: acknowledgedCount };
  }

  #learn(key: string, history: KeyHistory, value: string, revision: number): void {
    this.#checkValue(key, history, value, revision);
    history.revisionFloor = Math.max(history.revisionFloor, revision);
  }

  #checkValue(key: string, history: KeyHistory, value: string, revision: number): void {
    const known = history.valueByRevision.get(revision);
    if (known === undefined) history.valueByRevision.set(revision, value);
    else if (known !== value) this.#violate(key, `revision ${revision} has two values`);
  }

  #checkVersion(key: string, history: KeyHistory, version: number, acknowledgedFloor: number): void {
    if (version < acknowledgedFloor) {
      this.#violate(
        key,
        `${acknowledgedFloor} writes were acknowledged, ${version} are there: some are lost`,
      );
    }
    const possibleCount = history.startedCount - history.refusedCount;
    if (version > possibleCount) {
      this.#violate(key, `at most ${possibleCount} writes were not refused, ${version} were done`);
    }
  }

  #violate(key: string, what: string): void {
    this.#violations.push(`${key}: ${what}`);
  }

  #of(key: string): KeyHistory {
    let history = this.#keys.get(key);
    if (!history) {
      history = new KeyHistory();
      this.#keys.set(key, history);
    }
    return history;
  }
}
