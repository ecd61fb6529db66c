import type { Log, NodeParts } from '@coxswain/node';
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

/** Writes a line about one table to the log of the node. */
export type TellOfTable = (
  level: 'info' | 'warn' | 'error',
  message: string,
  fields: Record<string, unknown>,
) => void;

/** What of an error goes into the log, and into the status of a table. */
export function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
