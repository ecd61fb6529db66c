import type { LoadDuration, LoadResult, LoadSpecification } from './load/closed-loop.js';
import { isWriting, type WorkloadName } from './load/workload.js';
import type { GeneratorRequest } from './process/generator-process.js';
import type { IteratorRequest } from './process/iterator-process.js';
import { listProcessTree } from './process/process-tree.js';
import type { WorkerProcess } from './process/worker-process.js';
import { findLeader } from './system/leader.js';
import type { System } from './system/system.js';
import { addedSince, readWriteStages, type WriteStages } from './system/write-stages.js';

/** The settings that all contestants share. */
export interface LoadSettings {
  readonly keyCount: number;
  readonly valueSizeBytes: number;
  readonly connectionCount: number;
  /** The number of tables, each with `keyCount` keys. */
  readonly tableCount: number;
  readonly extent: LoadDuration;
}

/** A run's result, with its cost to the contestant. */
export interface Run extends LoadResult {
  /** CPU time of all the contestant's processes per call, in microseconds; undefined when unknown. */
  readonly cpuMicrosecondsPerCall: number | undefined;
  /**
   * The leader's counts of its writes meanwhile, including the warm-up's; absent when there are no writes, or the
   * system counts none.
   */
  readonly writeStages?: WriteStages;
}

/** A participant in a comparison. */
export interface Contestant {
  readonly name: string;
  run(workload: WorkloadName, inFlight: number): Promise<Run>;
}

/** The one load generator, for every contestant that speaks gRPC. */
export type Generator = WorkerProcess<GeneratorRequest, LoadResult>;

/** A system under load from the generator. */
export class SystemContestant implements Contestant {
  readonly name: string;
  readonly #system: System;
  readonly #generator: Generator;
  readonly #settings: LoadSettings;

  constructor(system: System, generator: Generator, settings: LoadSettings) {
    this.name = system.name;
    this.#system = system;
    this.#generator = generator;
    this.#settings = settings;
  }

  /**
   * Puts every key once, so that each read finds something.
   *
   * @throws Error when a put fails
   */
  async fill(): Promise<void> {
    const { keyCount } = this.#settings;
    const callCount = keyCount * (this.#system.dialect === 'etcd' ? 1 : this.#settings.tableCount);
    const { errors } = await this.#load('fill', 256, { callCount });
    const failures = Object.keys(errors);
    if (failures.length > 0) throw new Error(`${this.name} could not be filled: ${failures.join(', ')}`);
  }

  async run(workload: WorkloadName, inFlight: number): Promise<Run> {
    const leader = this.name === 'coxswain' && isWriting(workload) ? await this.#findLeader() : undefined;
    if (leader === undefined) return await this.#measure(workload, inFlight);
    const before = await readWriteStages(leader);
    const run = await this.#measure(workload, inFlight);
    return { ...run, writeStages: addedSince(before, await readWriteStages(leader)) };
  }

  /** Returns the node that gets the calls when they go to one node alone: the leader. */
  async #findLeader(): Promise<string> {
    const [endpoint, ...others] = this.#system.endpoints;
    return others.length === 0 ? endpoint! : await findLeader(this.#system);
  }

  async #measure(workload: WorkloadName, inFlight: number): Promise<Run> {
    const { extent } = this.#settings;
    const startedCpuMs = this.#processorTimeMs();
    const result = await this.#load(workload, inFlight, extent);
    const endedCpuMs = this.#processorTimeMs();
    this.#system.assertRunning();
    if (startedCpuMs === undefined || endedCpuMs === undefined)
      return { ...result, cpuMicrosecondsPerCall: undefined };
    // The warm-up's calls cost CPU time, too, but are not counted; they came at about the same rate.
    const countedShare = extent.durationMs / (extent.warmUpMs + extent.durationMs);
    const cpuMs = (endedCpuMs - startedCpuMs) * countedShare;
    return { ...result, cpuMicrosecondsPerCall: (cpuMs / result.callCount) * 1000 };
  }

  /** The CPU time used so far by all processes of the system, in milliseconds; undefined when unknown. */
  #processorTimeMs(): number | undefined {
    const processes = listProcessTree(this.#system.processIds);
    if (processes.length === 0) return undefined;
    return processes.reduce((sum, { processorTimeMs }) => sum + processorTimeMs, 0);
  }

  #load(
    workload: LoadSpecification['workload'],
    inFlight: number,
    extent: LoadSpecification['extent'],
  ): Promise<LoadResult> {
    const { dialect, endpoints, answersHoldData } = this.#system;
    const { keyCount, valueSizeBytes, connectionCount, tableCount } = this.#settings;
    return this.#generator.request({
      dialect,
      tableCount,
      load: {
        workload,
        keyCount,
        valueSizeBytes,
        answersHoldData,
        endpoints,
        connectionCount,
        inFlight,
        extent,
      },
    });
  }
}

/** A bare loop of LevelDB iterators: the ceiling of range reads, without any network. */
export class IteratorContestant implements Contestant {
  readonly name = 'bare LevelDB iterator';
  readonly #worker: WorkerProcess<IteratorRequest, LoadResult>;
  readonly #directory: string;
  readonly #settings: LoadSettings;

  constructor(worker: WorkerProcess<IteratorRequest, LoadResult>, directory: string, settings: LoadSettings) {
    this.#worker = worker;
    this.#directory = directory;
    this.#settings = settings;
  }

  async run(_workload: WorkloadName, inFlight: number): Promise<Run> {
    const { keyCount, valueSizeBytes, extent } = this.#settings;
    const result = await this.#worker.request({
      directory: this.#directory,
      keyCount,
      valueSizeBytes,
      inFlight,
      extent,
    });
    return { ...result, cpuMicrosecondsPerCall: (result.generatorCpuCores / result.callsPerSecond) * 1e6 };
  }
}
