/** The progress of one table's archive, as one node sees it. */
export interface TableArchiveStatus {
  readonly name: string;
  /**
   * `archiving`: objects are stored as usual; `retrying`: an object could not be stored, and is tried again; `full`: so
   * much waits that writes are refused; `elsewhere`: another node leads the table's group, and archives it.
   */
  readonly state: 'archiving' | 'retrying' | 'full' | 'elsewhere';
  /** The index of the last entry that is stored; 0 when none is. */
  readonly archivedIndex: number;
  /** The time of the last stored entry, in milliseconds since 1970; 0 when this node does not know it. */
  readonly archivedTimeMs: number;
  /** Bytes of the log that wait to be stored; 0 when another node archives the table. */
  readonly backlogBytes: number;
  /** Milliseconds for which the oldest waiting entry has waited, as far as this node saw. */
  readonly backlogMs: number;
  /** The number of marked gaps: runs of entries that were gone before they could be stored. */
  readonly gapCount: number;
  /** The problem and its remedy, for operators; undefined when there is none. */
  readonly error: string | undefined;
}

/** Returns warnings about the archive of one table for an operator, in whole sentences. */
export function tableWarnings({ name, gapCount, error }: TableArchiveStatus): string[] {
  const warnings: string[] = [];
  if (error !== undefined) warnings.push(`table '${name}' is not archived: ${error}`);
  if (gapCount > 0) {
    const gaps = gapCount === 1 ? 'a gap' : `${gapCount} gaps`;
    warnings.push(`the archive of table '${name}' has ${gaps}, which no restore crosses`);
  }
  return warnings;
}

/** The state of a node's archiving. */
export interface ArchiveStatus {
  /** The URL of the store, which contains no secret. */
  readonly target: string;
  readonly tables: readonly TableArchiveStatus[];
  /** Bytes of this node's logs that wait to be archived, of all tables, including those that other nodes archive. */
  readonly backlogBytes: number;
  /** The most bytes that may wait (archive.max-backlog). */
  readonly backlogBytesMax: number;
  /** Warnings for an operator besides those of the tables (`tableWarnings`), in whole sentences. */
  readonly warnings: readonly string[];
  /** The counters since the process started. */
  readonly counters: Readonly<ArchiveCounters>;
}

/** Counts what a node's archiving has done since the process started. */
export interface ArchiveCounters {
  logObjects: number;
  logBytes: number;
  bases: number;
  gaps: number;
  errors: number;
  objectsPruned: number;
}
