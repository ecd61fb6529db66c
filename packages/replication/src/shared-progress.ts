import type { TableReplication } from './status.js';

/** The progress of a shard, reported by the node that replicates it. */
export interface ShardProgress {
  readonly state: TableReplication['state'];
  readonly leaderAppliedIndex: number;
  readonly lagMs: number;
  readonly error: string | undefined;
}

/** Encodes progress as JSON, about 100 bytes per shard. */
export function encodeProgress(shards: ReadonlyMap<number, ShardProgress>): Buffer {
  const rows = [...shards].map(([shardId, { state, leaderAppliedIndex, lagMs, error }]) => [
    shardId,
    { state, leaderAppliedIndex, lagMs, error },
  ]);
  return Buffer.from(JSON.stringify(rows));
}

/**
 * Reads the members' answers: by shard, its progress and the member that reported it. Answers that are not JSON are
 * skipped.
 */
export function readProgress(
  answers: ReadonlyMap<number, Buffer>,
): Map<number, ShardProgress & { readonly replicatedBy: number }> {
  const all = new Map<number, ShardProgress & { readonly replicatedBy: number }>();
  for (const [replicatedBy, answer] of answers) {
    for (const [shardId, progress] of parse(answer)) all.set(shardId, { ...progress, replicatedBy });
  }
  return all;
}

function parse(answer: Buffer): [number, ShardProgress][] {
  try {
    return JSON.parse(answer.toString()) as [number, ShardProgress][];
  } catch (error) {
    if (error instanceof SyntaxError) return [];
    throw error;
  }
}
