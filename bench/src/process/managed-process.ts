import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { listProcessTree, readEntry } from './process-tree.js';

const STOP_TIMEOUT_MS = 10_000;
const LOG_TAIL_LINES = 15;

/** Another program that runs for a while: its output goes to a file, and it never outlives the benchmark. */
export class ManagedProcess {
  readonly #name: string;
  readonly #logFile: string;
  readonly #child: ChildProcess;
  readonly #exited: Promise<void>;
  #end: string | undefined;
  #isStopping = false;

  constructor(name: string, command: string, args: readonly string[], logFile: string) {
    this.#name = name;
    this.#logFile = logFile;
    const log = openSync(logFile, 'a');
    // A process group of its own: a terminal's SIGINT does not reach it, and processes that it leaves running can be
    // ended.
    this.#child = spawn(command, args, { stdio: ['ignore', log, log], detached: true });
    closeSync(log);
    this.#exited = new Promise((resolve) => {
      this.#child.once('error', (error) => {
        this.#end = error.message;
        resolve();
      });
      this.#child.once('exit', (code, signal) => {
        this.#end = signal ?? `code ${code}`;
        resolve();
      });
    });
  }

  get processId(): number {
    return this.#child.pid!;
  }

  /**
   * Checks that the process still runs.
   *
   * @throws Error with the end of its output when it does not
   */
  assertRunning(): void {
    if (this.#end === undefined || this.#isStopping) return;
    const tail = this.output().trimEnd().split('\n').slice(-LOG_TAIL_LINES).join('\n');
    throw new Error(`${this.#name} ended with ${this.#end}:\n${tail}`);
  }

  /** Returns the output of the process so far. */
  output(): string {
    return readFileSync(this.#logFile, 'utf8');
  }

  /** Ends the process and all its descendants: with SIGTERM, and after 10 s with SIGKILL. */
  async stop(): Promise<void> {
    this.#isStopping = true;
    if (this.#child.pid === undefined) return;
    const descendants = listProcessTree([this.#child.pid]);
    if (this.#end === undefined) {
      this.#child.kill('SIGTERM');
      const timeout = new AbortController();
      await Promise.race([this.#exited, sleep(STOP_TIMEOUT_MS, undefined, { signal: timeout.signal })]);
      timeout.abort();
    }
    killIfAlive(-this.#child.pid);
    for (const { processId, startTicks } of descendants) {
      if (readEntry(processId)?.startTicks === startTicks) killIfAlive(processId);
    }
    await this.#exited;
  }
}

/** Ends a process, or the rest of a process group when the id is negative; there may be nothing left. */
function killIfAlive(processId: number): void {
  try {
    process.kill(processId, 'SIGKILL');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}
