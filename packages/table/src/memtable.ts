import type { Write } from './effects.js';
import { LATEST, modRevisionOf } from './layout.js';
import type { SortedRun } from './sorted-run.js';
import { compareIds, keyId, newSortedTree } from './sorted-tree.js';
import type { Operation } from './store.js';

/** What a key takes in memory beside itself and its record: map and tree slots, objects, the string by which it is found. */
const ENTRY_OVERHEAD_BYTES = 250;
/** What a version that was replaced takes beside its record. */
const VERSION_OVERHEAD_BYTES = 150;

/** At or before every latest key. */
const LATEST_ID = keyId(Buffer.from([LATEST]));

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

/** A run of new keys, and the write that brought it. */
interface LoadedRun {
  readonly run: SortedRun;
  readonly number: number;
}

/** What was written to a store since a flush began, in memory and in key order. */
export class Memtable {
  /** Points are found here: to search the tree costs several times as much. */
  readonly #entries = new Map<string, Entry>();
  readonly #order = newSortedTree<MemtableEntry>();
  /** In key order. What is written to one of their keys later has an entry, which then goes before the run. */
  readonly #runs: LoadedRun[] = [];
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

  /** Takes in keys that were never written, behind those of the runs before. */
  load(run: SortedRun, number: number): void {
    this.#runs.push({ run, number });
    this.#usedBytes += run.usedBytes;
  }

  /** `heldNumber`: somebody may read as of this write and of earlier ones. */
  write({ storeKey, record, superseded, isNew = false }: Write, number: number, heldNumber: number): void {
    const id = keyId(storeKey);
    const sizeBytes = record?.length ?? 0;
    let entry = this.#entries.get(id) ?? this.#takeLoaded(id);
    if (entry === undefined) {
      entry = new Entry(id, storeKey, record, number, !isNew);
      this.#add(entry);
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

  #add(entry: Entry): void {
    this.#entries.set(entry.id, entry);
    this.#order.set(entry.id, entry);
    this.#usedBytes += ENTRY_OVERHEAD_BYTES + 2 * entry.storeKey.length + (entry.record?.length ?? 0);
  }

  /** Makes an entry of a key in a run, since it is written again. */
  #takeLoaded(id: string): Entry | undefined {
    const entry = this.#loaded(id);
    if (entry !== undefined) this.#add(entry);
    return entry;
  }

  #loaded(id: string): Entry | undefined {
    for (const { run, number } of this.#runs) {
      const place = run.find(id);
      if (place !== undefined) return new Entry(id, run.storeKey(place), run.record(place), number, false);
    }
    return undefined;
  }

  /** The last write of a key, or the last up to `number`; undefined: it was not written. */
  get(id: string, number = Number.POSITIVE_INFINITY): Written | undefined {
    return asOf(this.#entries.get(id) ?? this.#loaded(id), number);
  }

  /** The key's last write, and its history; undefined: it was not written. */
  entry(id: string): MemtableEntry | undefined {
    return this.#entries.get(id) ?? this.#loaded(id);
  }

  /** All keys in order, but those that stand in runs alone. Nothing may be written meanwhile. */
  entries(): Iterable<MemtableEntry> {
    return this.#order.values();
  }

  /** All latest keys in order, those of runs too. Nothing may be written meanwhile. */
  *latestEntries(): Generator<MemtableEntry, void, undefined> {
    const written = this.#order.entries(LATEST_ID);
    let next = written.next();
    for (const { run, number } of this.#runs) {
      for (let place = 0; place < run.length; place++) {
        const id = run.id(place);
        for (; !next.done && next.value[0] < id; next = written.next()) yield next.value[1];
        // Of a key that was written again the entry comes in its turn.
        if (next.done || next.value[0] !== id)
          yield new Entry(id, run.storeKey(place), run.record(place), number, false);
      }
    }
    for (; !next.done && next.value[1].storeKey[0] === LATEST; next = written.next()) yield next.value[1];
  }

  /** See `load`. Entries go before what these have of the same keys. */
  runs(): SortedRun[] {
    return this.#runs.map(({ run }) => run);
  }

  /** The first keys from `first` on and before `end`, `max` at most. */
  range(first: string | undefined, end: string | undefined, max: number): MemtableEntry[] {
    const found: MemtableEntry[] = [];
    for (const [id, entry] of this.#order.entries(first)) {
      if (found.length === max || (end !== undefined && id >= end)) break;
      found.push(entry);
    }
    if (this.#runs.length === 0) return found;
    return merged(found, this.#loadedBetween(first, end, max, false), compareIds, max);
  }

  /** The last keys before `end` and not before `first`, `max` at most, in reverse order. */
  rangeReversed(first: string | undefined, end: string | undefined, max: number): MemtableEntry[] {
    const found: MemtableEntry[] = [];
    for (const [id, entry] of this.#order.entriesReversed(end, undefined, true)) {
      if (found.length === max || (first !== undefined && id < first)) break;
      found.push(entry);
    }
    if (this.#runs.length === 0) return found;
    const loaded = this.#loadedBetween(first, end, max, true);
    return merged(found, loaded, (left, right) => compareIds(right, left), max);
  }

  /** Of the keys that stand in runs alone the first within the bounds, or the last in reverse order, `max` at most. */
  #loadedBetween(
    first: string | undefined,
    end: string | undefined,
    max: number,
    isReverse: boolean,
  ): MemtableEntry[] {
    const found: MemtableEntry[] = [];
    for (const { run, number } of isReverse ? this.#runs.toReversed() : this.#runs) {
      const { from, to } = run.between(first, end);
      for (let step = 0; step < to - from && found.length < max; step++) {
        const place = isReverse ? to - 1 - step : from + step;
        const id = run.id(place);
        if (!this.#entries.has(id))
          found.push(new Entry(id, run.storeKey(place), run.record(place), number, false));
      }
      if (found.length === max) break;
    }
    return found;
  }
}

/** Two lists without a common key in one order, `max` entries at most. */
function merged(
  left: readonly MemtableEntry[],
  right: readonly MemtableEntry[],
  compare: (left: string, right: string) => number,
  max: number,
): MemtableEntry[] {
  return [...left, ...right].sort((one, other) => compare(one.id, other.id)).slice(0, max);
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
