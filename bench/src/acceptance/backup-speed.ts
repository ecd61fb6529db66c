import { createHash, randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { mvcc } from '@coxswain/protocol';
import { TemporaryDirectory } from '@coxswain/testing';
import { MemoryWatch } from '../clusters/memory-watch.js';
import { IN_FLIGHT, runLoad, VALUE_SIZE_BYTES } from '../clusters/put-load.js';
import { runningCluster } from '../clusters/running-cluster.js';
import { Command } from '../faults/command.js';
import { type ClusterNode, ProcessCluster } from '../faults/process-cluster.js';
import { encodeKey } from '../load/key-space.js';
import { median } from '../statistics.js';
import type { AcceptanceCheck, Measurement } from './check.js';
import { megabytes, memoryMeasurement } from './memory-measurement.js';

/** The number of keys: with values of 256 B, 2 GB of keys and values. */
const KEY_COUNT = 7_400_000;
const SECONDS = 10;
const ROUNDS = 3;
const BACKUP_BYTES_PER_SECOND_MIN = 100e6;
const RESTORE_KEYS_PER_SECOND_MIN = 150_000;
/** The most memory that the command may use; a process of Node with its modules takes 100 MB. */
const COMMAND_MAX_BYTES = 250e6;
const THROTTLED_SHARE_MIN = 0.5;
/** The value of `--rate` in the throttled runs. */
const THROTTLED_RATE = '20MiB';
const TABLE = 'default';
const OTHER_TABLE = 'another';
const WARM_UP_MS = 2_000;
const SETTLE_MS = 5_000;
const PROGRESS_LOOK_MS = 20;
const STATUS_TIMEOUT_MS = 5_000;
const READ_TIMEOUT_MS = 300_000;
const FILL_PUTS_PER_TXN = 128;
const FILL_TXNS_IN_FLIGHT = 8;

type Sizes = { readonly keyCount: number; readonly durationMs: number; readonly rounds: number };

/**
 * Measures how fast a large table is backed up and restored, how much memory that takes and how much it slows down
 * writers, and checks that a killed backup continues.
 */
export const backupSpeed: AcceptanceCheck = {
  name: 'backup-speed',
  async run({ keyCount = KEY_COUNT, seconds = SECONDS, rounds = ROUNDS }) {
    const sizes = { keyCount, durationMs: seconds * 1000, rounds };
    const temporary = new TemporaryDirectory();
    const directory = temporary.path;
    try {
      await using running = await runningCluster(() => ProcessCluster.start(1));
      const { cluster } = running;
      await fill(cluster.nodes[0]!, keyCount);
      return [
        ...(await measureAlone(cluster, directory, sizes)),
        ...(await measureThrottled(cluster, directory, sizes)),
        await killBackup(cluster, directory),
      ];
    } finally {
      temporary.remove();
    }
  },
};

/** Measures backups and restores of the whole table on an otherwise idle node. */
async function measureAlone(
  cluster: ProcessCluster,
  directory: string,
  { keyCount, rounds }: Sizes,
): Promise<Measurement[]> {
  const node = cluster.nodes[0]!;
  const before = await contentDigest(node);
  const startedBytes = await restart(node);
  await backup(node, join(directory, 'warm-up'));
  await sleep(SETTLE_MS);

  let memory = new MemoryWatch([node.process], [startedBytes]);
  const backupRates: number[] = [];
  const commandPeaks: number[] = [];
  for (let round = 0; round < rounds; round++) {
    const target = join(directory, `backup-${round}`);
    const { seconds, peakBytes } = await backup(node, target);
    backupRates.push((await stat(join(target, `${TABLE}.bak`))).size / seconds);
    commandPeaks.push(peakBytes);
  }
  const backupMemory = memory.stop()[0]!;

  await restore(node, join(directory, 'warm-up'));
  await sleep(SETTLE_MS);
  memory = new MemoryWatch([node.process], [startedBytes]);
  const restoreRates: number[] = [];
  for (let round = 0; round < rounds; round++) {
    const { seconds, peakBytes } = await restore(node, join(directory, `backup-${round}`));
    restoreRates.push(keyCount / seconds);
    commandPeaks.push(peakBytes);
  }
  const restoreMemory = memory.stop()[0]!;
  const after = await contentDigest(node);
  return [
    {
      what: `coxswain backup: ${keyCount} keys of ${VALUE_SIZE_BYTES} B, bytes of the stream`,
      target: `>= ${megabytes(BACKUP_BYTES_PER_SECOND_MIN)} MB/s`,
      measured: `${megabytes(median(backupRates))} MB/s`,
      isMet: median(backupRates) >= BACKUP_BYTES_PER_SECOND_MIN,
    },
    {
      what: `coxswain restore of it over the table, until the restored one serves`,
      target: `>= ${RESTORE_KEYS_PER_SECOND_MIN} keys/s`,
      measured: `${median(restoreRates).toFixed(0)} keys/s`,
      isMet: median(restoreRates) >= RESTORE_KEYS_PER_SECOND_MIN,
    },
    {
      what: 'the restored table equals the one that was backed up',
      target: `equal digests, ${keyCount} keys`,
      measured: `${after === before ? 'equal' : 'different'} digests, ${after.split(' ')[0]} keys`,
      isMet: after === before && after.startsWith(`${keyCount} `),
    },
    memoryMeasurement('backups', { server: backupMemory }),
    memoryMeasurement('restores', { server: restoreMemory }),
    {
      what: 'peak memory of the command itself, all of it',
      target: `< ${megabytes(COMMAND_MAX_BYTES)} MB`,
      measured: `${megabytes(Math.max(...commandPeaks))} MB`,
      isMet: Math.max(...commandPeaks) < COMMAND_MAX_BYTES,
    },
  ];
}

/**
 * Measures the share of their rate that puts keep while a backup, or a restore of another table, runs with `--rate`.
 */
async function measureThrottled(
  cluster: ProcessCluster,
  directory: string,
  { keyCount, durationMs, rounds }: Sizes,
): Promise<Measurement[]> {
  const node = cluster.nodes[0]!;
  const put = async (): Promise<number> => {
    const extent = { warmUpMs: WARM_UP_MS, durationMs };
    return (await runLoad(cluster, { workload: 'put', keyCount, extent })).callsPerSecond;
  };
  const aloneRates: number[] = [];
  const besides: Record<'backup' | 'restore', number[]> = { backup: [], restore: [] };
  for (let round = 0; round < rounds; round++) {
    const alone = await put();
    aloneRates.push(alone);
    const source = join(directory, 'warm-up');
    const commands = {
      backup: ['--dir', join(directory, `throttled-${round}`), '--tables', TABLE],
      restore: ['--dir', source, '--tables', TABLE, '--into', OTHER_TABLE, '--yes'],
    };
    for (const name of ['backup', 'restore'] as const) {
      const command = new Command([
        name,
        '--endpoints',
        node.address,
        '--rate',
        THROTTLED_RATE,
        ...commands[name],
      ]);
      const rate = await put();
      if (!command.isRunning) throw new Error(`the throttled ${name} did not last as long as the puts`);
      await command.interrupt();
      besides[name].push(rate / alone);
    }
  }
  const { tables } = await node.client.status(STATUS_TIMEOUT_MS);
  return [
    ...(['backup', 'restore'] as const).map((name) => ({
      what: `puts, ${IN_FLIGHT} in flight, beside a ${name} at ${THROTTLED_RATE}/s`,
      target: `>= ${THROTTLED_SHARE_MIN} of their rate alone`,
      measured: `${median(besides[name]).toFixed(2)} of ${median(aloneRates).toFixed(0)} puts/s`,
      isMet: median(besides[name]) >= THROTTLED_SHARE_MIN,
    })),
    {
      what: 'a restore that is interrupted leaves no table',
      target: `only ${TABLE}`,
      measured: [...tables.keys()].join(', '),
      isMet: !tables.has(OTHER_TABLE),
    },
  ];
}

/** Checks a command that is killed once some of its progress is written down, and then run again. */
async function killBackup({ nodes }: ProcessCluster, directory: string): Promise<Measurement> {
  const node = nodes[0]!;
  const before = await contentDigest(node);
  const target = join(directory, 'killed');
  const flags = ['--endpoints', node.address, '--dir', target, '--tables', TABLE];
  const killed = new Command(['backup', ...flags, '--rate', THROTTLED_RATE]);
  const progressPath = join(target, `${TABLE}.bak.json`);
  while (!existsSync(progressPath)) {
    if (!killed.isRunning) throw new Error('the backup ended before it was killed: give more --keys');
    await sleep(PROGRESS_LOOK_MS);
  }
  await killed.kill();
  const { sizeBytes, moment } = JSON.parse(await readFile(progressPath, 'utf8')) as WrittenDown;
  // A write from now on is not part of the backup.
  const success = [{ key: Buffer.from('since then'), value: Buffer.alloc(1) }].map((value) =>
    mvcc.RequestOp.create({ request: { $case: 'requestPut', value } }),
  );
  await node.client.txn({ compare: [], success, failure: [] }, READ_TIMEOUT_MS);
  await backup(node, target);
  const manifest = await readFile(join(target, 'manifest.json'), 'utf8');
  const { revision } = (JSON.parse(manifest) as { tables: [{ revision: number }] }).tables[0];
  await restore(node, target);
  const isEqual = (await contentDigest(node)) === before;
  return {
    what: 'a backup whose command is killed goes on, and is the table as it was when it began',
    target: `revision ${moment.revision}, equal digests`,
    measured: `revision ${revision}, ${isEqual ? 'equal' : 'different'} digests, after ${megabytes(sizeBytes)} MB`,
    isMet: revision === moment.revision && isEqual,
  };
}

/** The progress of a backup, as far as the check reads it. */
interface WrittenDown {
  readonly sizeBytes: number;
  readonly moment: { readonly revision: number };
}

function backup(node: ClusterNode, directory: string) {
  return new Command(['backup', '--endpoints', node.address, '--dir', directory, '--tables', TABLE]).done();
}

function restore(node: ClusterNode, directory: string) {
  const flags = ['--endpoints', node.address, '--dir', directory, '--tables', TABLE, '--yes'];
  return new Command(['restore', ...flags]).done();
}

/** Starts the process again with its data. Resolves with the bytes that it uses before the first request. */
async function restart({ process }: ClusterNode): Promise<number> {
  await process.stop();
  process.start();
  await process.untilReady();
  await sleep(SETTLE_MS);
  return process.usage().anonymousBytes;
}

/** Puts every key once, many to a Txn. */
async function fill({ client }: ClusterNode, keyCount: number): Promise<void> {
  const pool = randomBytes(1024 * 1024);
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < keyCount) {
      const first = next;
      next = Math.min(keyCount, next + FILL_PUTS_PER_TXN);
      const success = Array.from({ length: next - first }, (_, offset) => {
        const cut = Math.floor(Math.random() * (pool.length - VALUE_SIZE_BYTES));
        const value = { key: encodeKey(first + offset), value: pool.subarray(cut, cut + VALUE_SIZE_BYTES) };
        return mvcc.RequestOp.create({ request: { $case: 'requestPut', value } });
      });
      const outcome = await client.txn({ compare: [], success, failure: [] }, READ_TIMEOUT_MS);
      if (outcome.kind !== 'acknowledged') throw new Error(`the fill was ${outcome.kind}: ${outcome.reason}`);
    }
  };
  await Promise.all(Array.from({ length: FILL_TXNS_IN_FLIGHT }, worker));
}

/** Returns the number of keys, and a hash over all keys and values. */
async function contentDigest({ client }: ClusterNode): Promise<string> {
  const hash = createHash('sha256');
  const lengths = Buffer.alloc(8);
  let count = 0;
  for await (const { key, value } of client.pairs(READ_TIMEOUT_MS)) {
    lengths.writeUInt32LE(key.length, 0);
    lengths.writeUInt32LE(value.length, 4);
    hash.update(lengths).update(key).update(value);
    count++;
  }
  return `${count} ${hash.digest('hex')}`;
}
