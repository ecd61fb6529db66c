/** How far the archive of a table is. */
export interface TableArchiveStatus {
  readonly name: string;
  /**
   * `archiving`: objects are stored as usual; `retrying`: an object could not be stored, and is tried again; `full`: so
   * much waits that writes are refused; `elsewhere`: another node leads the table's group, and archives it.
   */
  readonly state: 'archiving' | 'retrying' | 'full' | 'elsewhere';
  /** The last entry that is stored; 0: none. */
  readonly archivedIndex: number;
  /** The time of that entry, in milliseconds since 1970; 0: not known here. */
  readonly archivedTimeMs: number;
  /** How much of the log waits to be stored; 0 where another node archives the table. */
  readonly backlogBytes: number;
  /** How long the oldest entry that waits has waited, as far as this node saw. */
  readonly backlogMs: number;
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
  /** The store, without a secret. */
  readonly target: string;
  readonly tables: readonly TableArchiveStatus[];
  /** The bytes that wait on this node to be archived, of all tables, including those that other nodes archive. */
  readonly backlogBytes: number;
  readonly backlogBytesMax: number;
  /** Warnings for an operator besides those of the tables (`tableWarnings`), in whole sentences. */
  readonly warnings: readonly string[];
  /** The counters since the process started. */
  readonly counters: Readonly<ArchiveCounters>;
}

/** Counts events since the process started. */
export interface ArchiveCounters {
  logObjects: number;
  logBytes: number;
  bases: number;
  gaps: number;
  errors: number;
  objectsPruned: number;
}
