import { parseArgs } from 'node:util';
import { RANGE_KEY_COUNT, WORKLOADS, type WorkloadName } from './load/workload.js';

const KNOWN_PEERS = ['etcd', 'regatta'];
const TARGETS = ['all', 'leader'] as const;
/** The most bytes of a value, since a request must fit into one HTTP/2 frame. */
const VALUE_SIZE_BYTES_MAX = 16_000;

/** The parsed command line. */
export interface Options {
  /** The systems to measure beside Coxswain. */
  readonly peers: readonly string[];
  /** The names of measurements to leave out. */
  readonly without: readonly string[];
  readonly jsonFile: string | undefined;
  readonly workloads: readonly WorkloadName[];
  readonly inFlight: readonly number[];
  readonly rounds: number;
  /** The milliseconds that a run counts, after a warm-up. */
  readonly durationMs: number;
  readonly warmUpMs: number;
  readonly valueSizeBytes: number;
  readonly keyCount: number;
  readonly connectionCount: number;
  /** The number of Coxswain's nodes; its peers have three. */
  readonly nodeCount: number;
  /** The number of Coxswain's tables over which the load is spread. */
  readonly tableCount: number;
  /** Whether calls go to every node in turn, or to the one that leads. */
  readonly to: (typeof TARGETS)[number];
  /** The addresses (`host:port`) of systems that already run, by name; they are not started. */
  readonly endpoints: ReadonlyMap<string, readonly string[]>;
}

export const USAGE = `npm run bench -- [options]

  --against LIST        etcd,regatta: also measure three nodes of each; a system that is not installed
                        is left out and named
  --to all|leader       which nodes calls go to (all)
  --json FILE           write every run and every median to a file
  --workloads LIST      ${Object.keys(WORKLOADS).join(',')}
  --in-flight LIST      calls under way at any time (1,16,256,1024)
  --rounds N            runs of each, alternating (3)
  --seconds N           length of a run, after a warm-up of a quarter of that (3)
  --value-size BYTES    (256)
  --keys N              (10000)
  --connections N       to all nodes together (6)
  --nodes N             of Coxswain, 1 to 9 (3)
  --tables N            of Coxswain, over which calls are spread; each has as many keys (1)
  --endpoints NAME=host:port,…
                        measure a coxswain, etcd or regatta that already runs; repeatable
  --without LIST        leave out coxswain, echo, iterator or generator

Workloads:
${Object.entries(WORKLOADS)
  .map(([name, description]) => `  ${name.padEnd(20)}  ${description}`)
  .join('\n')}`;

/** Wrong usage of the command line. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

/**
 * Parses the command line.
 *
 * @throws UsageError for anything unknown or out of bounds
 */
export function parseOptions(args: readonly string[]): Options {
  const values = parse(args);
  const durationMs = positive('--seconds', values.seconds) * 1000;
  const valueSizeBytes = positiveInteger('--value-size', values['value-size']);
  const keyCount = positiveInteger('--keys', values.keys);
  if (valueSizeBytes > VALUE_SIZE_BYTES_MAX)
    throw new UsageError(`--value-size is at most ${VALUE_SIZE_BYTES_MAX}`);
  if (values.tables !== '1' && values.against !== '')
    throw new UsageError('--tables: peers are measured with one table: leave out --against');
  if (keyCount < RANGE_KEY_COUNT) throw new UsageError(`--keys is at least ${RANGE_KEY_COUNT}`);
  return {
    peers: oneOf('--against', KNOWN_PEERS, values.against),
    to: only('--to', TARGETS, values.to),
    without: oneOf('--without', ['coxswain', 'echo', 'iterator', 'generator'], values.without),
    jsonFile: values.json,
    workloads: oneOf('--workloads', Object.keys(WORKLOADS) as WorkloadName[], values.workloads),
    inFlight: list(values['in-flight']).map((item) => positiveInteger('--in-flight', item)),
    rounds: positiveInteger('--rounds', values.rounds),
    durationMs,
    warmUpMs: durationMs / 4,
    valueSizeBytes,
    keyCount,
    connectionCount: positiveInteger('--connections', values.connections),
    nodeCount: positiveInteger('--nodes', values.nodes),
    tableCount: positiveInteger('--tables', values.tables),
    endpoints: new Map(values.endpoints.map(parseEndpoints)),
  };
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      options: {
        against: { type: 'string', default: '' },
        to: { type: 'string', default: 'all' },
        without: { type: 'string', default: '' },
        json: { type: 'string' },
        workloads: { type: 'string', default: Object.keys(WORKLOADS).join(',') },
        'in-flight': { type: 'string', default: '1,16,256,1024' },
        rounds: { type: 'string', default: '3' },
        seconds: { type: 'string', default: '3' },
        'value-size': { type: 'string', default: '256' },
        keys: { type: 'string', default: '10000' },
        connections: { type: 'string', default: '6' },
        nodes: { type: 'string', default: '3' },
        tables: { type: 'string', default: '1' },
        endpoints: { type: 'string', multiple: true, default: [] },
      },
    }).values;
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error), { cause: error });
  }
}

function parseEndpoints(option: string): [string, string[]] {
  const [name = '', endpoints = ''] = option.split('=');
  oneOf('--endpoints', ['coxswain', ...KNOWN_PEERS], name);
  const addresses = list(endpoints);
  if (addresses.length === 0 || !addresses.every((address) => /^[^:]+:\d+$/.test(address))) {
    throw new UsageError('--endpoints takes NAME=host:port,host:port,…');
  }
  return [name, addresses];
}

function list(text: string): string[] {
  return text.split(',').filter((item) => item !== '');
}

function oneOf<Item extends string>(option: string, known: readonly Item[], text: string): Item[] {
  return list(text).map((item) => {
    const found = known.find((candidate) => candidate === item);
    if (found === undefined) throw new UsageError(`${option}: ${item} is none of ${known.join(', ')}`);
    return found;
  });
}

function only<Item extends string>(option: string, known: readonly Item[], text: string): Item {
  const [first, ...others] = oneOf(option, known, text);
  if (first === undefined || others.length > 0)
    throw new UsageError(`${option} takes one of ${known.join(', ')}`);
  return first;
}

function positive(option: string, text: string): number {
  const value = Number(text);
  if (!(value > 0 && value < Number.POSITIVE_INFINITY))
    throw new UsageError(`${option}: ${text} is not above 0`);
  return value;
}

function positiveInteger(option: string, text: string): number {
  const value = positive(option, text);
  if (!Number.isSafeInteger(value)) throw new UsageError(`${option}: ${text} is not a whole number`);
  return value;
}
