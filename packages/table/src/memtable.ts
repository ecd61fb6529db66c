import type { Write } from './effects.js';
import { modRevisionOf } from './layout.js';
import { keyId, newSortedTree } from './sorted-tree.js';
import type { Operation } from './store.js';

/** What a key takes in memory beside itself and its record: map and tree slots, objects, the string by which it is found. */
const ENTRY_OVERHEAD_BYTES = 250;
/** What a version that was replaced takes beside its record. */
const VERSION_OVERHEAD_BYTES = 150;

/** One write of a key. */
export interface Written {
  /** Undefined: the key was deleted. */
  readonly record: Buffer | undefined;
  /** Counts the writes of the store: whoever reads as of an earlier one sees what `older` says. */
  readonly number: number;
  readonly older: Written | undefined;
}

// Classes, and no literals: V8 gives each object of one class one shape, whatever its first values were.

class OlderWrite implements Written {
  constructor(
    readonly record: Buffer | undefined,
    readonly number: number,
    readonly older: Written | undefined,
  ) {}
}

/** A version that a write replaced or deleted at a revision, and the one before it. */
export class SupersededVersion {
  constructor(
    readonly record: Buffer,
    readonly revision: number,
    /** Of the write that did it. */
    readonly number: number,
    readonly older: SupersededVersion | undefined,
  ) {}
}

/** A store key that was written: its last write, earlier ones for whoever still reads as of them, and its history. */
class Entry implements Written, Operation {
  older: Written | undefined;
  superseded: SupersededVersion | undefined;

  constructor(
    /** See `keyId`. */
    readonly id: string,
    readonly storeKey: Buffer,
    public record: Buffer | undefined,
    public number: number,
    /** Of a latest key: what lies under this memtable has a record of it. */
    readonly wasStored: boolean,
  ) {}
}

/** See `Entry`. */
export type MemtableEntry = Readonly<Entry>;

/** What was written to a store since a flush began, in memory and in key order. */
export class Memtable {
  /** Points are found here: to search the tree costs several times as much. */
  readonly #entries = new Map<string, Entry>();
  readonly #order = newSortedTree<MemtableEntry>();
  #usedBytes = 0;
  #lastSupersedingRevision = 0;

  /** About what it takes in memory. */
  get usedBytes(): number {
    return this.#usedBytes;
  }

  /** The greatest revision that superseded a version here. */
  get lastSupersedingRevision(): number {
    return this.#lastSupersedingRevision;
  }

  /** `heldNumber`: somebody may read as of this write and of earlier ones. */
  write({ storeKey, record, superseded, isNew = false }: Write, number: number, heldNumber: number): void {
    const id = keyId(storeKey);
    const sizeBytes = record?.length ?? 0;
    let entry = this.#entries.get(id);
    if (entry === undefined) {
      entry = new Entry(id, storeKey, record, number, !isNew);
      this.#entries.set(id, entry);
      this.#order.set(id, entry);
      this.#usedBytes += ENTRY_OVERHEAD_BYTES + 2 * storeKey.length + sizeBytes;
    } else {
      if (entry.number <= heldNumber) {
        entry.older = new OlderWrite(entry.record, entry.number, entry.older);
        this.#usedBytes += VERSION_OVERHEAD_BYTES + sizeBytes;
      } else {
        this.#usedBytes += sizeBytes - (entry.record?.length ?? 0);
      }
      entry.record = record;
      entry.number = number;
    }
    if (superseded === undefined) return;
    this.#lastSupersedingRevision = Math.max(this.#lastSupersedingRevision, superseded.revision);
    entry.superseded = new SupersededVersion(
      superseded.record,
      superseded.revision,
      number,
      entry.superseded,
    );
    this.#usedBytes += VERSION_OVERHEAD_BYTES + superseded.record.length;
  }

  /** The last write of a key, or the last up to `number`; undefined: it was not written. */
  get(id: string, number = Number.POSITIVE_INFINITY): Written | undefined {
    return asOf(this.#entries.get(id), number);
  }

  /** The key's last write, and its history. */
  entry(id: string): MemtableEntry | undefined {
    return this.#entries.get(id);
  }

  /** All keys in order. Nothing may be written meanwhile. */
  entries(): Iterable<MemtableEntry> {
    return this.#order.values();
  }

  /** The first keys from `first` on and before `end`, `max` at most. */
  range(first: string | undefined, end: string | undefined, max: number): MemtableEntry[] {
    const found: MemtableEntry[] = [];
    for (const [id, entry] of this.#order.entries(first)) {
      if (found.length === max || (end !== undefined && id >= end)) break;
      found.push(entry);
    }
    return found;
  }

  /** The last keys before `end` and not before `first`, `max` at most, in reverse order. */
  rangeReversed(first: string | undefined, end: string | undefined, max: number): MemtableEntry[] {
    const found: MemtableEntry[] = [];
    for (const [id, entry] of this.#order.entriesReversed(end, undefined, true)) {
      if (found.length === max || (first !== undefined && id < first)) break;
      found.push(entry);
    }
    return found;
  }
}

/** Of a write and those before it the last up to `number`. */
export function asOf(written: Written | undefined, number: number): Written | undefined {
  let seen = written;
  while (seen !== undefined && seen.number > number) seen = seen.older;
  return seen;
}

/** The version that was current at a revision and was replaced or deleted later, by a write up to `number`. */
export function versionAt(
  { superseded }: MemtableEntry,
  revision: number,
  number: number,
): Buffer | undefined {
  // The last first: revisions fall.
  for (
    let version = superseded;
    version !== undefined && version.revision > revision;
    version = version.older
  ) {
    if (version.number <= number && modRevisionOf(version.record) <= revision) return version.record;
  }
  return undefined;
}
