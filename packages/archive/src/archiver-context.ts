import type { NodeParts } from '@coxswain/node';
import type { EventFields, EventKind, Log } from '@coxswain/runtime';
import type { ArchiveCounters } from './archive-status.js';
import type { Retention } from './prune.js';
import type { ShardArchiveEnvironment } from './shard-archive.js';
import type { Slots } from './slots.js';

/** The state and the limits that the archivers of a node's tables share. */
export interface TableArchiverContext {
  readonly node: Pick<NodeParts, 'logs' | 'maintenance' | 'reports'>;
  readonly environment: ShardArchiveEnvironment & { readonly log: Log };
  readonly options: {
    readonly objectSizeBytes: number;
    readonly objectAgeMs: number;
    readonly baseIntervalMs: number;
    readonly retention: Retention;
  };
  readonly counters: ArchiveCounters;
  /** Limits the log objects that are gathered or stored at the same time. */
  readonly uploads: Slots;
  /** Limits the bases that are stored at the same time. */
  readonly bases: Slots;
  /** Limits the archives whose end is looked for at the same time. */
  readonly openings: Slots;
  /** Reports that the archive has the shard's log up to `index`. */
  readonly report: (shardId: number, index: number) => void;
}

/** Reports an event of one table. */
export type TellOfTable = (kind: EventKind, fields?: EventFields) => void;

/** Returns the text of an error for the log, and for the status of a table. */
export function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
