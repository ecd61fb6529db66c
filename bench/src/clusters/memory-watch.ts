import type { NodeProcess } from '../faults/node-process.js';

const SAMPLE_INTERVAL_MS = 100;

/** Watches how much more memory some processes use than they did when they were idle, just before. */
export class MemoryWatch {
  readonly #processes: readonly NodeProcess[];
  readonly #idleBytes: number[];
  readonly #peakBytes: number[];
  readonly #timer: NodeJS.Timeout;

  /** The processes must be idle now. */
  constructor(processes: readonly NodeProcess[]) {
    this.#processes = processes;
    this.#idleBytes = processes.map((process) => process.usage().residentBytes);
    this.#peakBytes = [...this.#idleBytes];
    this.#timer = setInterval(() => this.#sample(), SAMPLE_INTERVAL_MS);
  }

  /** Ends it. By process, in the order in which they were given: resident bytes when idle, and at most since. */
  stop(): { idleBytes: number; peakBytes: number }[] {
    clearInterval(this.#timer);
    this.#sample();
    return this.#idleBytes.map((idleBytes, index) => ({ idleBytes, peakBytes: this.#peakBytes[index]! }));
  }

  #sample(): void {
    for (const [index, process] of this.#processes.entries()) {
      if (!process.isRunning) continue;
      this.#peakBytes[index] = Math.max(this.#peakBytes[index]!, process.usage().residentBytes);
    }
  }
}
