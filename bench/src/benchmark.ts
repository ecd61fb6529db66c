import { mkdirSync, mkdtempSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import {
  type Contestant,
  type Generator,
  IteratorContestant,
  type LoadSettings,
  type Run,
  SystemContestant,
} from './contestant.js';
import type { LoadResult } from './load/closed-loop.js';
import type { WorkloadName } from './load/workload.js';
import type { Options } from './options.js';
import type { Cleanup } from './process/cleanup.js';
import type { IteratorRequest } from './process/iterator-process.js';
import type { Listening } from './process/listening.js';
import { WorkerProcess } from './process/worker-process.js';
import { type Summary, summarize } from './summary.js';
import { startCoxswain } from './system/coxswain.js';
import { findEtcdVersion, startEtcd } from './system/etcd.js';
import { findLeader } from './system/leader.js';
import { describeMachine, type Machine } from './system/machine.js';
import { findRegattaVersion, startRegatta } from './system/regatta.js';
import type { System } from './system/system.js';

/** The result of a benchmark. */
export interface Report {
  readonly machine: Machine;
  readonly options: Omit<Options, 'endpoints'>;
  /** Names and versions of the measured systems. */
  readonly systems: readonly { readonly name: string; readonly version: string }[];
  /** The reasons for which something that was asked for was not measured. */
  readonly leftOut: readonly string[];
  readonly summaries: readonly Summary[];
}

/** The generator's own ceiling is one row per load, under this name in place of a workload's. */
const GENERATOR_CEILING = 'generator ceiling';

/**
 * Starts everything, measures everything, one run after the other, and reports.
 *
 * @param cleanup gets everything that must be stopped and removed, whether this returns or throws.
 * @param onProgress gets a line of text after every run.
 */
export async function runBenchmark(
  options: Options,
  cleanup: Cleanup,
  onProgress: (line: string) => void,
): Promise<Report> {
  // Beside the playground's own data, so that all systems write to one disk and not to a temporary file system.
  mkdirSync('.coxswain', { recursive: true });
  const directory = mkdtempSync(join('.coxswain', 'bench-'));
  await cleanup.defer(() => rm(directory, { recursive: true, force: true }));
  const machine = describeMachine(directory);

  const generator: Generator = await startWorker('generator-process', cleanup);
  const settings: LoadSettings = {
    keyCount: options.keyCount,
    valueSizeBytes: options.valueSizeBytes,
    connectionCount: options.connectionCount,
    tableCount: options.tableCount,
    extent: { warmUpMs: options.warmUpMs, durationMs: options.durationMs },
  };
  const leftOut: string[] = [];
  const summaries: Summary[] = [];

  async function compare(
    name: string,
    workload: WorkloadName,
    inFlight: number,
    contestants: readonly Contestant[],
  ) {
    const runs = new Map<Contestant, Run[]>(contestants.map((contestant) => [contestant, []]));
    for (let round = 1; round <= options.rounds; round++) {
      for (const [contestant, done] of runs) {
        const run = await contestant.run(workload, inFlight);
        done.push(run);
        onProgress(
          `${name}, ${inFlight} in flight, round ${round}: ${contestant.name} ${Math.round(run.callsPerSecond)}/s`,
        );
      }
    }
    const coxswain = contestants.find((contestant) => contestant.name === 'coxswain');
    for (const [contestant, done] of runs) {
      const load = { workload: name, inFlight, contestant: contestant.name };
      summaries.push(summarize(load, done, coxswain && runs.get(coxswain)));
    }
  }

  if (!options.without.includes('generator')) {
    const system = await startWorkerServer('null server', 'null-server-process', cleanup);
    const contestant = new SystemContestant(system, generator, settings);
    for (const inFlight of options.inFlight) {
      await compare(GENERATOR_CEILING, 'read-serializable', inFlight, [contestant]);
    }
  }

  const systems = await startSystems(options, directory, cleanup, leftOut);
  const contestants: SystemContestant[] = [];
  for (const system of systems) {
    await new SystemContestant(system, generator, settings).fill();
    const endpoints = options.to === 'leader' ? [await findLeader(system)] : system.endpoints;
    contestants.push(new SystemContestant({ ...system, endpoints }, generator, settings));
  }
  const ceilingOf = await startCeilings(options, settings, directory, generator, cleanup);
  for (const workload of options.workloads) {
    for (const inFlight of options.inFlight) {
      await compare(workload, workload, inFlight, [...contestants, ...ceilingOf(workload)]);
    }
  }
  const { endpoints: _, ...reported } = options;
  return {
    machine,
    options: reported,
    systems: systems.map(({ name, version }) => ({ name, version })),
    leftOut,
    summaries,
  };
}

async function startSystems(
  options: Options,
  directory: string,
  cleanup: Cleanup,
  leftOut: string[],
): Promise<System[]> {
  const systems: System[] = [];
  if (!options.without.includes('coxswain')) {
    systems.push(
      runningSystem('coxswain', 'regatta', options) ??
        (await startCoxswain(join(directory, 'coxswain'), options, cleanup)),
    );
  }
  if (options.peers.includes('etcd')) {
    const running = runningSystem('etcd', 'etcd', options);
    const version = findEtcdVersion();
    if (running !== undefined) systems.push(running);
    else if (version !== undefined) systems.push(await startEtcd(join(directory, 'etcd'), version, cleanup));
    else leftOut.push('etcd is not installed: left out (Debian has it as etcd-server)');
  }
  if (options.peers.includes('regatta')) {
    const running = runningSystem('regatta', 'regatta', options);
    const version = findRegattaVersion();
    if (running !== undefined) systems.push(running);
    else if (version !== undefined)
      systems.push(await startRegatta(join(directory, 'regatta'), version, cleanup));
    else
      leftOut.push(
        'regatta is not installed: left out (go build github.com/jamf/regatta; REGATTA may name it)',
      );
  }
  return systems;
}

/** Returns a system whose endpoints were given, which somebody else has started; undefined without endpoints. */
function runningSystem(name: string, dialect: System['dialect'], options: Options): System | undefined {
  const endpoints = options.endpoints.get(name);
  if (endpoints === undefined) return undefined;
  return {
    name,
    version: '',
    dialect,
    endpoints,
    answersHoldData: true,
    processIds: [],
    assertRunning: () => undefined,
  };
}

/** Starts the ceilings, which no server can surpass, and returns which of them belongs to a workload. */
async function startCeilings(
  options: Options,
  settings: LoadSettings,
  directory: string,
  generator: Generator,
  cleanup: Cleanup,
): Promise<(workload: WorkloadName) => readonly Contestant[]> {
  const wanted = (name: string): boolean => !options.without.includes(name);
  const echo = wanted('echo')
    ? [
        new SystemContestant(
          await startWorkerServer('grpc-js echo', 'echo-process', cleanup),
          generator,
          settings,
        ),
      ]
    : [];
  const iterator =
    wanted('iterator') && options.workloads.includes('range-100')
      ? [
          new IteratorContestant(
            await startWorker<IteratorRequest, LoadResult>('iterator-process', cleanup),
            join(directory, 'iterator'),
            settings,
          ),
        ]
      : [];
  const ceilings: Readonly<Record<WorkloadName, readonly Contestant[]>> = {
    put: [],
    'read-linearizable': echo,
    'read-serializable': echo,
    'range-100': iterator,
    mixed: [],
  };
  return (workload) => ceilings[workload];
}

async function startWorker<Request extends object, Response extends object>(
  script: string,
  cleanup: Cleanup,
): Promise<WorkerProcess<Request, Response>> {
  const worker = new WorkerProcess<Request, Response>(script);
  await cleanup.defer(() => worker.stop());
  return worker;
}

async function startWorkerServer(name: string, script: string, cleanup: Cleanup): Promise<System> {
  const worker = await startWorker<object, Listening>(script, cleanup);
  const { endpoint } = await worker.request({});
  return {
    name,
    version: '',
    dialect: 'regatta',
    endpoints: [endpoint],
    answersHoldData: false,
    processIds: [worker.processId],
    assertRunning: () => undefined,
  };
}
