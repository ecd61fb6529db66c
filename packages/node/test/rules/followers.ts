import type { ShardLoad } from '@coxswain/node';
import { mvcc } from '@coxswain/protocol';
import type { ApplyResult } from '@coxswain/table';
import { TABLE, type World } from './world.js';

/** A pair as a snapshot stream brings it. */
export interface Pair {
  readonly key: string;
  readonly value: string;
  readonly revision: number;
}

/** Records as `ShardLoad.load` takes them. */
function records(pairs: readonly Pair[]): Buffer {
  return Buffer.concat(
    pairs.flatMap(({ key, value, revision }) => {
      const kv = {
        key: Buffer.from(key),
        value: Buffer.from(value),
        createRevision: BigInt(revision),
        modRevision: BigInt(revision),
        version: BigInt(1),
      };
      const record = mvcc.Command.encode(
        mvcc.Command.fromPartial({ type: mvcc.Command_CommandType.PUT, kv }),
      ).finish();
      const length = Buffer.alloc(8);
      length.writeBigUInt64LE(BigInt(record.length));
      return [length, record];
    }),
  );
}

/** So many pairs `<prefix>-000` and on. */
export function pairs(count: number, prefix: string, revision = 7): Pair[] {
  return Array.from({ length: count }, (_, i) => {
    return { key: `${prefix}-${String(i).padStart(3, '0')}`, value: prefix, revision };
  });
}

/** Begins a load, and fills it. */
export async function loaded(
  world: World,
  id: number,
  content: readonly Pair[],
  { table = TABLE, leaderIndex = 0 } = {},
): Promise<ShardLoad> {
  const load = await world.settled(world.node(id).follower.beginLoad(table, world.deadlineMs(id)));
  await fill(world, id, load, content, leaderIndex);
  return load;
}

/** Begins a restore of a table, or of one that does not exist yet, and fills it. */
export async function restored(
  world: World,
  id: number,
  content: readonly Pair[],
  table = TABLE,
): Promise<ShardLoad> {
  const load = await world.settled(world.node(id).maintenance.beginRestore(table, world.deadlineMs(id)));
  await fill(world, id, load, content);
  return load;
}

/** Fills a load that has begun, to its end. */
export async function fill(
  world: World,
  id: number,
  load: ShardLoad,
  content: readonly Pair[],
  leaderIndex = 0,
): Promise<void> {
  await fillPart(world, id, load, content);
  const end = { leaderIndex, keyCount: content.length, hasUnstamped: false };
  await world.settled(load.finish(end, world.deadlineMs(id)));
}

/** Brings some pairs into a load that has begun. */
export async function fillPart(
  world: World,
  id: number,
  load: ShardLoad,
  content: readonly Pair[],
): Promise<void> {
  const half = content.length >> 1;
  // Two at a time, as those do that fill it.
  const calls = [content.slice(0, half), content.slice(half)].map((part) =>
    load.load([records(part)], world.deadlineMs(id)),
  );
  await world.settled(Promise.all(calls));
}

/** The leader cluster's command at its index: it puts a key. */
function replicated(leaderIndex: number, key: string, value = 'x'): Buffer {
  const command = mvcc.Command.fromPartial({
    type: mvcc.Command_CommandType.PUT,
    kv: { key: Buffer.from(key), value: Buffer.from(value) },
    leaderIndex: BigInt(leaderIndex),
  });
  return mvcc.Command.encode(command).finish() as Buffer;
}

/** Replicates one command: the one that follows `cursor`. */
export function replicate(
  world: World,
  id: number,
  { shard, cursor, key = `key-${cursor + 1}` }: { shard: number; cursor: number; key?: string },
  timeoutMs = 5_000,
): Promise<ApplyResult> {
  const command = replicated(cursor + 1, key);
  return world.node(id).follower.replicate(shard, { cursor, command }, world.deadlineMs(id, timeoutMs));
}

/** The shard that has the table's name, as the node knows. */
export function shardOf(world: World, id: number, table = TABLE): number | undefined {
  return world
    .node(id)
    .reports.status()
    .tables.find(({ name }) => name === table)?.shardId;
}

/** Every node that is up hosts these tables' shards, and nothing else. */
export async function onlyShards(world: World, shards: readonly number[]): Promise<void> {
  const wanted = [1000, ...shards].sort((a, b) => a - b).join();
  const hosted = (id: number) =>
    [...world.node(id).inspect().groups]
      .map(({ group }) => group)
      .sort((a, b) => a - b)
      .join();
  await world.until(`every node hosts ${wanted} alone`, () => world.ids.every((id) => hosted(id) === wanted));
}
