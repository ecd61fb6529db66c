import { ByteArena, NOWHERE } from './byte-arena.js';
import type { Write } from './effects.js';
import { LATEST, modRevisionOf } from './layout.js';
import { runAround, type SortedRun } from './sorted-run.js';
import { compareIds, keyId, newSortedTree } from './sorted-tree.js';
import type { Operation } from './store.js';
import { NO_VERSION, SupersededVersions } from './superseded-versions.js';

/**
 * The memory that a key takes beside its bytes in the arena: map and tree slots, an object, the string by which it is
 * found.
 */
const ENTRY_OVERHEAD_BYTES = 200;
/** The memory that an older write takes beside its record, while an earlier reader may see it. */
const OLDER_OVERHEAD_BYTES = 60;

/** The id at or before that of every latest key. */
const LATEST_ID = keyId(Buffer.from([LATEST]));

/** One write of a key. */
export interface Written {
  /** The record that was written; undefined when the key was deleted. */
  readonly record: Buffer | undefined;
  /** The number of the write among those of the store. A reader as of an earlier write sees `older` instead. */
  readonly number: number;
  readonly older: Written | undefined;
}

/** A store key that was written: its last write, and earlier ones for readers as of these. */
export interface MemtableEntry extends Written, Operation {
  /** The store key as a Latin-1 string; see `keyId`. */
  readonly id: string;
  /** True when a record of this latest key lies under this memtable. */
  readonly wasStored: boolean;
}

// These are classes and not literals, since V8 gives all objects of one class one shape, whatever their first values
// were.

class PackedWrite implements Written {
  constructor(
    readonly arena: ByteArena,
    /** The place of the record; NOWHERE when the write deleted the key. */
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
    /** The place of the store key. */
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

/** The entry of a key that only stands in a run. */
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

/** A version that a write replaced or deleted, and the revision at which it did so. */
export interface SupersededVersion {
  readonly record: Buffer;
  readonly revision: number;
}

/** A run of new keys, and the number of the write that brought it. */
interface LoadedRun {
  readonly run: SortedRun;
  readonly number: number;
}

/** The writes to a store since a flush began, in memory and in key order. */
export class Memtable {
  /** Points are found in this map, since a search of the tree costs several times as much. */
  readonly #entries = new Map<string, PackedEntry>();
  readonly #order = newSortedTree<PackedEntry>();
  /** The bytes of keys and records. */
  readonly #arena = new ByteArena();
  readonly #versions = new SupersededVersions();
  /** The runs, in key order. A later write to one of their keys makes an entry, which takes precedence over the run. */
  readonly #runs: LoadedRun[] = [];
  /** The memory beside arena and versions. */
  #overheadBytes = 0;
  #lastSupersedingRevision = 0;

  /** About how many bytes of memory the memtable takes. */
  get usedBytes(): number {
    return this.#arena.usedBytes + this.#versions.usedBytes + this.#overheadBytes;
  }

  /** The greatest revision that superseded a version in this memtable. */
  get lastSupersedingRevision(): number {
    return this.#lastSupersedingRevision;
  }

  /** Takes in a run of keys that were never written, after those of the earlier runs. */
  load(run: SortedRun, number: number): void {
    this.#runs.push({ run, number });
    this.#overheadBytes += run.usedBytes;
  }

  /**
   * Takes in a write. `heldNumber` is the last write as of which somebody may still read, so the writes up to it are
   * kept.
   */
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
    // The write superseded the key's last record. When that is not in this memtable, it lies under it.
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

  /** Makes an entry for a key in a run that is about to be written again. */
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

  /** Returns the last write of a key, or the last one up to `number`; undefined when there is none. */
  get(id: string, number = Number.POSITIVE_INFINITY): Written | undefined {
    return asOf(this.#entries.get(id) ?? this.#loaded(id), number);
  }

  /** Returns the entry of a key, with its last write and its history; undefined when the key was not written. */
  entry(id: string): MemtableEntry | undefined {
    return this.#entries.get(id) ?? this.#loaded(id);
  }

  /** The last writes of all keys by their ids, except keys that only stand in runs. */
  get points(): ReadonlyMap<string, Written> {
    return this.#entries;
  }

  /** Returns all entries in key order, except keys that only stand in runs. Nothing may be written meanwhile. */
  entries(): Iterable<MemtableEntry> {
    return this.#order.values();
  }

  /** Returns the versions of a key that were replaced or deleted, oldest first, as numbers for `supersededVersion`. */
  supersededVersions(entry: MemtableEntry): number[] {
    const versions: number[] = [];
    for (let version = supersededOf(entry); version !== NO_VERSION; version = this.#versions.older(version))
      versions.push(version);
    return versions.reverse();
  }

  /** Returns a version that was replaced or deleted, and the revision at which it was. */
  supersededVersion(version: number): SupersededVersion {
    return {
      record: this.#arena.at(this.#versions.place(version)),
      revision: this.#versions.revision(version),
    };
  }

  /**
   * Returns the version that was current at a revision and was replaced or deleted later, by a write up to `number`;
   * undefined when there is none.
   */
  versionAt(entry: MemtableEntry, revision: number, number: number): Buffer | undefined {
    const versions = this.#versions;
    // The last version comes first, so revisions fall.
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

  /** Yields all latest keys in order, those of runs too. Nothing may be written meanwhile. */
  *latestEntries(): Generator<MemtableEntry, void, undefined> {
    const written = this.#order.entries(LATEST_ID);
    let next = written.next();
    for (const { run, number } of this.#runs) {
      for (let place = 0; place < run.length; place++) {
        const id = run.id(place);
        for (; !next.done && next.value[0] < id; next = written.next()) yield next.value[1];
        // The entry of a key that was written again comes in its own turn.
        if (next.done || next.value[0] !== id)
          yield new LoadedEntry(id, run.storeKey(place), run.record(place), number);
      }
    }
    for (; !next.done && next.value[0].charCodeAt(0) === LATEST; next = written.next()) yield next.value[1];
  }

  /** Returns the runs that `load` took in. The entries take precedence over records of the same keys in them. */
  runs(): SortedRun[] {
    return this.#runs.map(({ run }) => run);
  }

  /** Returns the first keys from `first` on and before `end`, at most `max`. */
  range(first: string | undefined, end: string | undefined, max: number): MemtableEntry[] {
    const found: MemtableEntry[] = [];
    for (const [id, entry] of this.#order.entries(first)) {
      if (found.length === max || (end !== undefined && id >= end)) break;
      found.push(entry);
    }
    if (this.#runs.length === 0) return found;
    return merged(found, this.#loadedBetween(first, end, max, false), compareIds, max);
  }

  /** Returns the last keys before `end` and not before `first`, at most `max`, in reverse order. */
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

  /**
   * Returns the first keys within the bounds that only stand in runs, at most `max`; with `isReverse` the last ones, in
   * reverse order.
   */
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

/** Merges two lists without a common key in one order, and returns at most `max` entries. */
function merged(
  left: readonly MemtableEntry[],
  right: readonly MemtableEntry[],
  compare: (left: string, right: string) => number,
  max: number,
): MemtableEntry[] {
  return [...left, ...right].sort((one, other) => compare(one.id, other.id)).slice(0, max);
}

/** Returns the last write up to `number`, of a write and those before it; undefined when there is none. */
export function asOf(written: Written | undefined, number: number): Written | undefined {
  let seen = written;
  while (seen !== undefined && seen.number > number) seen = seen.older;
  return seen;
}

function supersededOf(entry: MemtableEntry): number {
  return entry instanceof PackedEntry ? entry.superseded : NO_VERSION;
}
