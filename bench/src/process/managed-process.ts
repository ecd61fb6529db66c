import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

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
    // A process group of its own: a terminal's SIGINT does not reach it, and its children end with it.
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

  /** @throws Error with the end of its output when the process is no longer there. */
  assertRunning(): void {
    if (this.#end === undefined || this.#isStopping) return;
    const tail = this.output().trimEnd().split('\n').slice(-LOG_TAIL_LINES).join('\n');
    throw new Error(`${this.#name} ended with ${this.#end}:\n${tail}`);
  }

  /** What the process has written so far. */
  output(): string {
    return readFileSync(this.#logFile, 'utf8');
  }

  /** Ends the process and all its children: SIGTERM, and after 10 s SIGKILL. */
  async stop(): Promise<void> {
    this.#isStopping = true;
    if (this.#child.pid === undefined) return;
    if (this.#end === undefined) {
      this.#child.kill('SIGTERM');
      const timeout = new AbortController();
      await Promise.race([this.#exited, sleep(STOP_TIMEOUT_MS, undefined, { signal: timeout.signal })]);
      timeout.abort();
    }
    killGroup(this.#child.pid);
    await this.#exited;
  }
}

/** Ends what is left of a process group; there may be nothing left. */
function killGroup(processGroupId: number): void {
  try {
    process.kill(-processGroupId, 'SIGKILL');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}
