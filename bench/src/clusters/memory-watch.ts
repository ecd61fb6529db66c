import type { NodeProcess } from '../faults/node-process.js';
import type { ProcessUsage } from '../faults/process-usage.js';

const SAMPLE_INTERVAL_MS = 100;

/** The memory of a process when it was idle, and the most that it has used since. */
export interface MemoryUse {
  /**
   * Bytes just after the process was started with its data, without pages of mapped files: caches and buffers were
   * empty.
   */
  readonly startedBytes: number;
  /** Bytes without pages of mapped files. */
  readonly idleBytes: number;
  readonly peakBytes: number;
  /** Bytes with pages of mapped files. */
  readonly residentIdleBytes: number;
  readonly residentPeakBytes: number;
}

/** Watches how much more memory some processes use than just before, when they were idle. */
export class MemoryWatch {
  readonly #processes: readonly NodeProcess[];
  readonly #startedBytes: readonly number[];
  readonly #idle: readonly ProcessUsage[];
  readonly #peaks: { anonymousBytes: number; residentBytes: number }[];
  readonly #timer: NodeJS.Timeout;

  /** The processes must be idle now. `startedBytes` is by process, see `MemoryUse`. */
  constructor(processes: readonly NodeProcess[], startedBytes: readonly number[]) {
    this.#processes = processes;
    this.#startedBytes = startedBytes;
    this.#idle = processes.map((process) => process.usage());
    this.#peaks = this.#idle.map(({ anonymousBytes, residentBytes }) => ({ anonymousBytes, residentBytes }));
    this.#timer = setInterval(() => this.#sample(), SAMPLE_INTERVAL_MS);
  }

  /** Ends the watch and returns the memory by process, in the order in which they were given. */
  stop(): MemoryUse[] {
    clearInterval(this.#timer);
    this.#sample();
    return this.#idle.map(({ anonymousBytes, residentBytes }, index) => ({
      startedBytes: this.#startedBytes[index]!,
      idleBytes: anonymousBytes,
      peakBytes: this.#peaks[index]!.anonymousBytes,
      residentIdleBytes: residentBytes,
      residentPeakBytes: this.#peaks[index]!.residentBytes,
    }));
  }

  #sample(): void {
    for (const [index, process] of this.#processes.entries()) {
      if (!process.isRunning) continue;
      const { anonymousBytes, residentBytes } = process.usage();
      const peak = this.#peaks[index]!;
      peak.anonymousBytes = Math.max(peak.anonymousBytes, anonymousBytes);
      peak.residentBytes = Math.max(peak.residentBytes, residentBytes);
    }
  }
}
