import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Coxswain, operation, toEnd } from '@coxswain/client';
import { eventually } from '@coxswain/testing';
import type { Cluster, ClusterNode } from '../clusters/cluster.js';
import { Command, type Outcome } from '../support/command.js';
import { runHere } from '../support/command-here.js';

/** Keys and values as text: bytes one to one. */
export type Model = ReadonlyMap<string, string>;

/** Makes pairs with every byte in their keys, and values of many sizes up to a greatest. They do not compress. */
export function randomModel(keyCount: number, valueBytesMax: number, seed: string): Map<string, string> {
  const model = new Map<string, string>();
  while (model.size < keyCount) {
    const of = `${seed} ${model.size}`;
    const [keyBytes, valuePart] = bytesOf(of, 2) as unknown as [number, number];
    const valueBytes = Math.floor((valuePart / 255) * valueBytesMax);
    const bytes = bytesOf(of, 2 + 4 + (keyBytes % 40) + valueBytes).subarray(2);
    const keyEnd = bytes.length - valueBytes;
    model.set(bytes.toString('latin1', 0, keyEnd), bytes.toString('latin1', keyEnd));
  }
  return model;
}

function bytesOf(seed: string, length: number): Buffer {
  return createHash('shake256', { outputLength: length }).update(seed).digest();
}

const BATCH_BYTES_MAX = 512 * 1024;

export async function fill(client: Coxswain, table: string, model: Model): Promise<void> {
  let batch: ReturnType<typeof operation.put>[] = [];
  let batchBytes = 0;
  const commit = async (): Promise<void> => {
    if (batch.length > 0) {
      await client
        .txn(table)
        .do(...batch)
        .commit();
    }
    batch = [];
    batchBytes = 0;
  };
  for (const [key, value] of model) {
    batch.push(operation.put(Buffer.from(key, 'latin1'), Buffer.from(value, 'latin1')));
    batchBytes += key.length + value.length;
    if (batch.length === 100 || batchBytes >= BATCH_BYTES_MAX) await commit();
  }
  await commit();
}

/** Returns the content of a table, now or at a revision. */
export async function contentOf(client: Coxswain, table: string, revision?: number): Promise<Model> {
  const content = new Map<string, string>();
  const options = { rangeEnd: toEnd, ...(revision !== undefined && { revision }) };
  for await (const { key, value } of client.iterateRange(table, toEnd, options)) {
    content.set(key.toString('latin1'), value.toString('latin1'));
  }
  return content;
}

/** Returns the first difference, in hexadecimal; undefined when both are equal. */
export function difference(actual: Model, expected: Model): string | undefined {
  const show = (key: string): string => Buffer.from(key, 'latin1').toString('hex');
  for (const [key, value] of expected) {
    if (!actual.has(key)) return `key ${show(key)} is missing`;
    if (actual.get(key) !== value) return `the value of key ${show(key)} differs`;
  }
  for (const key of actual.keys()) if (!expected.has(key)) return `key ${show(key)} is one too many`;
  return undefined;
}

/** The flags that let a command go on without asking. */
const unasked = { backup: [], restore: ['--yes'] } as const;

/** Begins `coxswain backup` or `restore` of a cluster, in a process of its own that may be killed. */
export function begin(
  verb: 'backup' | 'restore',
  cluster: Cluster,
  directory: string,
  ...flags: string[]
): Command {
  return new Command([verb, '--dir', directory, ...unasked[verb], ...endpointsOf(cluster), ...flags]);
}

/** Runs `coxswain backup` or `restore` to its end, within this process. */
export function runToEnd(...args: Parameters<typeof begin>): Promise<Outcome> {
  const [verb, cluster, directory, ...flags] = args;
  return runHere([verb, '--dir', directory, ...unasked[verb], ...endpointsOf(cluster), ...flags]);
}

function endpointsOf(cluster: Cluster): string[] {
  return ['--endpoints', cluster.nodes.map(({ endpoint }) => endpoint).join(',')];
}

/** Returns a directory's record of a table, whole or not. */
export function tableIn(directory: string, table: string): { revision: number; md5: string } {
  const path = join(directory, 'manifest.json');
  if (!existsSync(path)) {
    const { moment, md5 } = JSON.parse(readFileSync(join(directory, `${table}.bak.json`), 'utf8'));
    return { revision: moment.revision, md5 };
  }
  const { tables } = JSON.parse(readFileSync(path, 'utf8'));
  return tables.find(({ name }: { name: string }) => name === table);
}

/** Resolves when every shard for which a node has a directory belongs to a table. */
export async function untilNoLitter(node: ClusterNode): Promise<void> {
  await eventually('nothing is left of shards without a table', async () => {
    const { tables } = await node.status();
    const shards = [1000, ...[...tables.values()].map(({ shardId }) => Number(shardId))];
    return shardsOf(node).join() === shards.sort((a, b) => a - b).join();
  });
}

/** Returns the shards that a node keeps data of. */
export function shardsOf(node: ClusterNode): number[] {
  return readdirSync(join(node.directory, 'tables'))
    .filter((name) => name.startsWith('shard-'))
    .map((name) => Number(name.replace('shard-', '')))
    .sort((a, b) => a - b);
}
