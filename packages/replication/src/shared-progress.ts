import type { TableReplication } from './status.js';

/** A node's report of how a shard that it replicates stands. */
export interface ShardProgress {
  readonly state: TableReplication['state'];
  readonly leaderAppliedIndex: number;
  readonly lagMs: number;
  readonly error: string | undefined;
}

/** Encodes the reports as JSON, about 100 bytes a shard. */
export function encodeProgress(shards: ReadonlyMap<number, ShardProgress>): Buffer {
  const rows = [...shards].map(([shardId, { state, leaderAppliedIndex, lagMs, error }]) => [
    shardId,
    { state, leaderAppliedIndex, lagMs, error },
  ]);
  return Buffer.from(JSON.stringify(rows));
}

/** Returns the reports by shard, with the member that sent each. Answers that cannot be read are left out. */
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
