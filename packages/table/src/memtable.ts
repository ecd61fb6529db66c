import { ByteArena, NOWHERE } from './byte-arena.js';
import type { Write } from './effects.js';
import { LATEST, modRevisionOf } from './layout.js';
import { runAround, type SortedRun } from './sorted-run.js';
import { compareIds, keyId, newSortedTree } from './sorted-tree.js';
import type { Operation } from './store.js';
import { NO_VERSION, SupersededVersions } from './superseded-versions.js';

/** What a key takes in memory beside what is in the arena: map and tree slots, an object, the string by which it is found. */
const ENTRY_OVERHEAD_BYTES = 200;
/** What a write that an earlier reader sees takes beside its record. */
const OLDER_OVERHEAD_BYTES = 60;

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

/** A store key that was written: its last write, and earlier ones for whoever still reads as of them. */
export interface MemtableEntry extends Written, Operation {
  /** See `keyId`. */
  readonly id: string;
  /** Of a latest key: what lies under this memtable has a record of it. */
  readonly wasStored: boolean;
}

// Classes, and no literals: V8 gives each object of one class one shape, whatever its first values were.

class PackedWrite implements Written {
  constructor(
    readonly arena: ByteArena,
    /** Of its record; NOWHERE: it deleted the key. */
    public place: number,
    public number: number,
    public older: Written | undefined,
  ) {}

  get record(): Buffer | undefined {
    return this.place === NOWHERE ? undefined : this.arena.at(this.place);
  }
}

class PackedEntry extends PackedWrite implements MemtableEntry {
  /** The last version that a write superseded. */
  superseded = NO_VERSION;

  constructor(
    arena: ByteArena,
    readonly id: string,
    /** Of the store key. */
    readonly keyPlace: number,
    place: number,
    number: number,
    readonly wasStored: boolean,
  ) {
    super(arena, place, number, undefined);
  }

  get storeKey(): Buffer {
    return this.arena.at(this.keyPlace);
  }
}

/** Of a key that stands in a run alone. */
class LoadedEntry implements MemtableEntry {
  readonly older = undefined;
  readonly wasStored = false;

  constructor(
    readonly id: string,
    readonly storeKey: Buffer,
    readonly record: Buffer,
    readonly number: number,
  ) {}
}

/** A version that a write replaced or deleted at a revision. */
export interface SupersededVersion {
  readonly record: Buffer;
  readonly revision: number;
}

/** A run of new keys, and the write that brought it. */
interface LoadedRun {
  readonly run: SortedRun;
  readonly number: number;
}

/** The writes to a store since a flush began, in memory and in key order. */
export class Memtable {
  /** Points are found here: to search the tree costs several times as much. */
  readonly #entries = new Map<string, PackedEntry>();
  readonly #order = newSortedTree<PackedEntry>();
  /** Keys and records. */
  readonly #arena = new ByteArena();
  readonly #versions = new SupersededVersions();
  /** In key order. A later write to one of their keys has an entry, which then goes before the run. */
  readonly #runs: LoadedRun[] = [];
  /** Beside arena and versions. */
  #overheadBytes = 0;
  #lastSupersedingRevision = 0;

  /** About what it takes in memory. */
  get usedBytes(): number {
    return this.#arena.usedBytes + this.#versions.usedBytes + this.#overheadBytes;
  }

  /** The greatest revision that superseded a version here. */
  get lastSupersedingRevision(): number {
    return this.#lastSupersedingRevision;
  }

  /** Takes in keys that were never written, after those of the runs before. */
  load(run: SortedRun, number: number): void {
    this.#runs.push({ run, number });
    this.#overheadBytes += run.usedBytes;
  }

  /** `heldNumber`: somebody may read as of this write and of earlier ones. */
  write({ storeKey, record, superseded, isNew = false }: Write, number: number, heldNumber: number): void {
    const id = keyId(storeKey);
    const place = record === undefined ? NOWHERE : this.#arena.add(record);
    let entry = this.#entries.get(id) ?? this.#takeLoaded(id);
    let supersededPlace = NOWHERE;
    if (entry === undefined) {
      entry = this.#add(id, storeKey, place, number, !isNew);
    } else {
      supersededPlace = entry.place;
      if (entry.number <= heldNumber) {
        entry.older = new PackedWrite(this.#arena, entry.place, entry.number, entry.older);
        this.#overheadBytes += OLDER_OVERHEAD_BYTES;
      }
      entry.place = place;
      entry.number = number;
    }
    if (superseded === undefined) return;
    // The last record is superseded: where that is not here, it lies under this memtable.
    if (supersededPlace === NOWHERE) supersededPlace = this.#arena.add(superseded.record);
    const { revision } = superseded;
    if (revision > this.#lastSupersedingRevision) this.#lastSupersedingRevision = revision;
    entry.superseded = this.#versions.add(supersededPlace, revision, number, entry.superseded);
  }

  #add(id: string, storeKey: Buffer, place: number, number: number, wasStored: boolean): PackedEntry {
    const entry = new PackedEntry(this.#arena, id, this.#arena.add(storeKey), place, number, wasStored);
    this.#entries.set(id, entry);
    this.#order.set(id, entry);
    this.#overheadBytes += ENTRY_OVERHEAD_BYTES + id.length;
    return entry;
  }

  /** Makes an entry of a key in a run, since it is written again. */
  #takeLoaded(id: string): PackedEntry | undefined {
    const loaded = this.#loaded(id);
    return loaded && this.#add(id, loaded.storeKey, this.#arena.add(loaded.record), loaded.number, false);
  }

  #loaded(id: string): LoadedEntry | undefined {
    const loaded = runAround(this.#runs, id);
    const place = loaded?.run.find(id);
    if (loaded === undefined || place === undefined) return undefined;
    return new LoadedEntry(id, loaded.run.storeKey(place), loaded.run.record(place), loaded.number);
  }

  /** The last write of a key, or the last up to `number`; undefined: it was not written. */
  get(id: string, number = Number.POSITIVE_INFINITY): Written | undefined {
    return asOf(this.#entries.get(id) ?? this.#loaded(id), number);
  }

  /** The key's last write, and its history; undefined: it was not written. */
  entry(id: string): MemtableEntry | undefined {
    return this.#entries.get(id) ?? this.#loaded(id);
  }

  /** The last writes of all keys, but of those that stand in runs alone. */
  get points(): ReadonlyMap<string, Written> {
    return this.#entries;
  }

  /** All keys in order, but those that stand in runs alone. Nothing may be written meanwhile. */
  entries(): Iterable<MemtableEntry> {
    return this.#order.values();
  }

  /** The versions of a key that were replaced or deleted, the first of them first; see `supersededVersion`. */
  supersededVersions(entry: MemtableEntry): number[] {
    const versions: number[] = [];
    for (let version = supersededOf(entry); version !== NO_VERSION; version = this.#versions.older(version))
      versions.push(version);
    return versions.reverse();
  }

  /** The versions that were replaced or deleted, and at which revision. */
  supersededVersion(version: number): SupersededVersion {
    return {
      record: this.#arena.at(this.#versions.place(version)),
      revision: this.#versions.revision(version),
    };
  }

  /** The version that was current at a revision and was replaced or deleted later, by a write up to `number`. */
  versionAt(entry: MemtableEntry, revision: number, number: number): Buffer | undefined {
    const versions = this.#versions;
    // The last first: revisions fall.
    for (
      let version = supersededOf(entry);
      version !== NO_VERSION && versions.revision(version) > revision;
      version = versions.older(version)
    ) {
      if (versions.number(version) > number) continue;
      const record = this.#arena.at(versions.place(version));
      if (modRevisionOf(record) <= revision) return record;
    }
    return undefined;
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
          yield new LoadedEntry(id, run.storeKey(place), run.record(place), number);
      }
    }
    for (; !next.done && next.value[0].charCodeAt(0) === LATEST; next = written.next()) yield next.value[1];
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
          found.push(new LoadedEntry(id, run.storeKey(place), run.record(place), number));
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

function supersededOf(entry: MemtableEntry): number {
  return entry instanceof PackedEntry ? entry.superseded : NO_VERSION;
}
