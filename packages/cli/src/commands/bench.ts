import { randomBytes } from 'node:crypto';
import { Coxswain, compare, operation } from '@coxswain/client';
import { Argument, Command } from 'commander';
import { withExamples } from '../command-line.js';
import {
  type ConnectionFlags,
  connectionFlags,
  connectOptions,
  withConnectionFlags,
} from '../connection-flags.js';
import { counted } from '../counted.js';
import { usageError } from '../exit.js';
import { parseCount } from '../key-range.js';
import { renderReport } from '../output.js';

type Workload = 'put' | 'range' | 'txn' | 'mixed';

interface BenchFlags extends ConnectionFlags {
  readonly table: string;
  readonly clients: number;
  readonly connections: number;
  readonly seconds: number;
  readonly valueSize: number;
  readonly keys: number;
  readonly linearizable: boolean;
}

/** Keys on one page of the range workload. */
const RANGE_KEYS = 100;

/** Makes the command `bench`: clients that each send one request after another, for some seconds. */
export function benchCommand(): Command {
  const command = withConnectionFlags(
    new Command('bench')
      .description('Measure rate and latency while each client sends one request after the other.')
      .addArgument(new Argument('<workload>').choices(['put', 'range', 'txn', 'mixed']))
      .option('--table <name>', 'Table to use.', 'default')
      .option('--clients <number>', 'Clients, each with one request under way.', parseCount, 64)
      .option(
        '--connections <number>',
        'Connections that the clients share, spread over all endpoints.',
        parseCount,
        3,
      )
      .option('--seconds <number>', 'Duration in seconds.', parseCount, 10)
      .option('--value-size <bytes>', 'Size of a value in bytes.', parseCount, 256)
      .option('--keys <number>', 'Keys to choose from at random.', parseCount, 10_000)
      .option('--no-linearizable', 'Answer reads from what the node has, which may be stale.'),
  );
  withExamples(
    command,
    'coxswain bench put',
    'coxswain bench mixed --clients 256 --seconds 30 --table users',
  );
  return command.action(async (workload: Workload) => {
    const flags = { ...connectionFlags(command), ...command.opts<BenchFlags>() };
    for (const name of ['clients', 'connections', 'seconds', 'keys'] as const) {
      if (flags[name] === 0) throw usageError(`bench: --${name} must be at least 1`);
    }
    await runBench(workload, flags);
  });
}

async function runBench(workload: Workload, flags: BenchFlags): Promise<void> {
  const options = connectOptions(flags);
  const connections: Coxswain[] = [];
  try {
    for (let i = 0; i < flags.connections; i++) {
      const first = i % options.endpoints.length;
      const endpoints = [...options.endpoints.slice(first), ...options.endpoints.slice(0, first)];
      connections.push(await Coxswain.connect({ ...options, endpoints }));
    }
    const request = requests[workload](flags);
    const latenciesMs: number[] = [];
    const errors = new Map<string, number>();
    const beganMs = performance.now();
    const endMs = beganMs + flags.seconds * 1000;
    const client = async (index: number): Promise<void> => {
      const connection = connections[index % connections.length]!;
      for (let nowMs = performance.now(); nowMs < endMs; ) {
        try {
          await request(connection);
          const doneMs = performance.now();
          latenciesMs.push(doneMs - nowMs);
          nowMs = doneMs;
        } catch (error) {
          const { message } = error as Error;
          errors.set(message, (errors.get(message) ?? 0) + 1);
          nowMs = performance.now();
        }
      }
    };
    await Promise.all(Array.from({ length: flags.clients }, (_, index) => client(index)));
    report(workload, flags, latenciesMs, errors, (performance.now() - beganMs) / 1000);
  } finally {
    for (const connection of connections) connection.close();
  }
}

type Request = (client: Coxswain) => Promise<unknown>;

const requests: Readonly<Record<Workload, (flags: BenchFlags) => Request>> = {
  put: ({ table, keys, valueSize }) => {
    const value = randomBytes(valueSize);
    return (client) => client.put(table, anyKey(keys), value);
  },
  range: ({ table, keys, linearizable }) => {
    return (client) => client.range(table, anyKey(keys), { rangeEnd: '\0', limit: RANGE_KEYS, linearizable });
  },
  txn: ({ table, keys, valueSize }) => {
    const value = randomBytes(valueSize);
    return (client) => {
      const key = anyKey(keys);
      return client
        .txn(table)
        .when(compare.version(key, '>', 0))
        .do(operation.put(key, value), operation.range(key))
        .otherwise(operation.put(key, value))
        .commit();
    };
  },
  mixed: (flags) => {
    const put = requests.put(flags);
    const get: Request = (client) =>
      client.get(flags.table, anyKey(flags.keys), { linearizable: flags.linearizable });
    return (client) => (Math.random() < 0.2 ? put(client) : get(client));
  },
};

function anyKey(keys: number): string {
  return `bench-${String(Math.floor(Math.random() * keys)).padStart(10, '0')}`;
}

function report(
  workload: Workload,
  flags: BenchFlags,
  latenciesMs: number[],
  errors: ReadonlyMap<string, number>,
  seconds: number,
): void {
  latenciesMs.sort((a, b) => a - b);
  const percentileMs = (part: number): number =>
    round(latenciesMs[Math.min(latenciesMs.length - 1, Math.floor(latenciesMs.length * part))] ?? 0);
  const result = {
    workload,
    clients: flags.clients,
    connections: flags.connections,
    seconds: round(seconds),
    requests: latenciesMs.length,
    requestsPerSecond: round(latenciesMs.length / seconds),
    latencyMs: {
      p50: percentileMs(0.5),
      p90: percentileMs(0.9),
      p99: percentileMs(0.99),
      p999: percentileMs(0.999),
      max: round(latenciesMs.at(-1) ?? 0),
    },
    errors: Object.fromEntries(errors),
  };
  if (flags.output === 'json') {
    process.stdout.write(renderReport(result));
    return;
  }
  const { latencyMs } = result;
  process.stdout.write(
    `${workload}: ${counted(result.requests, 'request')} in ${result.seconds} s, ${result.requestsPerSecond}/s\n` +
      `latency ms: p50 ${latencyMs.p50}, p90 ${latencyMs.p90}, p99 ${latencyMs.p99}, p99.9 ${latencyMs.p999}, max ${latencyMs.max}\n` +
      [...errors].map(([message, count]) => `${counted(count, 'error')}: ${message}\n`).join(''),
  );
}

function round(value: number): number {
  return Math.round(value * 100) / 100;
}
