import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { readProcessUsage } from './process-usage.js';

const command = fileURLToPath(new URL('../../../../packages/cli/bin/coxswain.cjs', import.meta.url));
const SAMPLE_INTERVAL_MS = 100;
const ERROR_TAIL_LENGTH = 2_000;

/** The cost of a command. */
export interface CommandResult {
  readonly seconds: number;
  /** The most bytes that its process had resident at once. */
  readonly peakBytes: number;
}

/** Files that a command reads and writes; without them it reads nothing and its output is dropped. */
interface CommandFiles {
  readonly stdin?: string;
  readonly stdout?: string;
}

/** One `coxswain …` command that ends by itself, or when it is interrupted. */
export class Command {
  readonly #child;
  readonly #exited: Promise<unknown>;
  readonly #startedMs = performance.now();
  readonly #name: string;
  #peakBytes = 0;
  #errorText = '';

  constructor(args: readonly string[], { stdin, stdout }: CommandFiles = {}) {
    this.#name = args[0]!;
    const input = stdin === undefined ? undefined : openSync(stdin, 'r');
    const output = stdout === undefined ? undefined : openSync(stdout, 'w');
    this.#child = spawn(process.execPath, [command, ...args], {
      env: { PATH: process.env['PATH'] },
      stdio: [input ?? 'ignore', output ?? 'ignore', 'pipe'],
    });
    for (const file of [input, output]) if (file !== undefined) closeSync(file);
    this.#exited = once(this.#child, 'exit');
    this.#child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      this.#errorText = (this.#errorText + text).slice(-ERROR_TAIL_LENGTH);
    });
  }

  get isRunning(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /**
   * Resolves when the command has exited with 0.
   *
   * @throws Error with the end of its output when it does not exit with 0
   */
  async done(): Promise<CommandResult> {
    const timer = setInterval(() => this.#sample(), SAMPLE_INTERVAL_MS);
    await this.#exited;
    clearInterval(timer);
    const seconds = (performance.now() - this.#startedMs) / 1000;
    if (this.#child.exitCode !== 0) {
      const how = this.#child.exitCode ?? this.#child.signalCode;
      throw new Error(`coxswain ${this.#name} ended with ${how}:\n${this.#errorText}`);
    }
    return { seconds, peakBytes: this.#peakBytes };
  }

  /** Interrupts the command as Ctrl-C does. Resolves when it has ended. */
  async interrupt(): Promise<void> {
    if (this.isRunning) this.#child.kill('SIGINT');
    await this.#exited;
  }

  /** Kills the command. Resolves when it has ended. */
  async kill(): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.#exited;
  }

  #sample(): void {
    if (!this.isRunning) return;
    try {
      this.#peakBytes = Math.max(this.#peakBytes, readProcessUsage(this.#child.pid!).residentPeakBytes);
    } catch {
      // The process has ended, but its exit was not reported yet: it has no memory any more.
    }
  }
}
