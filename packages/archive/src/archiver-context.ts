import type { NodeParts } from '@coxswain/node';
import type { EventFields, EventKind, Log } from '@coxswain/runtime';
import type { ArchiveCounters } from './archive-status.js';
import type { Retention } from './prune.js';
import type { ShardArchiveEnvironment } from './shard-archive.js';
import type { Slots } from './slots.js';

/** What the archivers of a node's tables share. */
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
  readonly uploads: Slots;
  readonly bases: Slots;
  readonly openings: Slots;
  /** The archive has the shard's log up to there. */
  readonly report: (shardId: number, index: number) => void;
}

/** Reports an event of one table. */
export type TellOfTable = (kind: EventKind, fields?: EventFields) => void;

/** What of an error goes into the log, and into the status of a table. */
export function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
