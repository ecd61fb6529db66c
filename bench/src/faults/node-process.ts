import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdirSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { eventually } from '@coxswain/testing';
import { type ProcessUsage, readProcessUsage } from './process-usage.js';

const command = fileURLToPath(new URL('../../../../packages/cli/bin/coxswain.cjs', import.meta.url));
const LOG_TAIL_LENGTH = 2_000;

/** The role of the node's cluster, which is the name of the command that starts it. */
export type ClusterRole = 'leader' | 'follower';

export interface NodeProcessOptions {
  readonly role: ClusterRole;
  readonly nodeId: number;
  /** The directory of the node's data; its output goes to `output.log` there. */
  readonly directory: string;
  /** The port that serves /readyz and /metrics. */
  readonly restPort: number;
  /** Options by name, without dashes. */
  readonly flags: Readonly<Record<string, string>>;
}

/** Processes that would outlive this one if it ended without stopping them. */
const running = new Set<ChildProcess>();
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

/**
 * One real `coxswain leader` or `coxswain follower` process. It may be killed, paused and started again on the same
 * data.
 */
export class NodeProcess {
  readonly nodeId: number;
  readonly #options: NodeProcessOptions;
  #flags: Readonly<Record<string, string>>;
  readonly #outputFile: string;
  #child: ChildProcess | undefined;

  constructor(options: NodeProcessOptions) {
    this.nodeId = options.nodeId;
    this.#options = options;
    this.#flags = options.flags;
    mkdirSync(options.directory, { recursive: true });
    this.#outputFile = join(options.directory, 'output.log');
  }

  /** The URL of its REST listener. */
  get restUrl(): string {
    return `http://127.0.0.1:${this.#options.restPort}`;
  }

  get isRunning(): boolean {
    return this.#child !== undefined && this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** The operating system's id of the process that was started last, which identifies the life of the node. */
  get processId(): number | undefined {
    return this.#child?.pid;
  }

  /** Adds or changes options for every later start. */
  setFlags(flags: Readonly<Record<string, string>>): void {
    this.#flags = { ...this.#flags, ...flags };
  }

  start(): void {
    if (this.isRunning) throw new Error(`node ${this.nodeId} runs already`);
    const output = openSync(this.#outputFile, 'a');
    const { role, directory } = this.#options;
    const child = spawn(
      process.execPath,
      [command, role, ...Object.entries(this.#flags).map(([name, value]) => `--${name}=${value}`)],
      // Runs in its own directory, so that it finds no other configuration file.
      { cwd: directory, env: { PATH: process.env['PATH'] }, stdio: ['ignore', output, output] },
    );
    closeSync(output);
    running.add(child);
    child.once('exit', () => running.delete(child));
    this.#child = child;
  }

  /** Resolves when the node reports that it serves. Rejects as soon as it has ended instead. */
  async untilReady(): Promise<void> {
    const child = this.#child!;
    await eventually(`node ${this.nodeId} is ready`, async () => {
      if (!this.isRunning) return true;
      const response = await fetch(`${this.restUrl}/readyz`);
      await response.arrayBuffer();
      return response.ok;
    }).catch((cause: unknown) => {
      throw new Error(`node ${this.nodeId} did not become ready:\n${this.#outputTail()}`, { cause });
    });
    if (!this.isRunning) {
      const how = child.exitCode ?? child.signalCode;
      throw new Error(`node ${this.nodeId} ended with ${how} before it was ready:\n${this.#outputTail()}`);
    }
  }

  /** Kills the process with SIGKILL: it flushes nothing and notifies nobody. */
  async kill(): Promise<void> {
    await this.#end('SIGKILL');
  }

  /** Stops the process with SIGTERM: the node drains and leaves. Rejects when it does not exit with 0. */
  async stop(): Promise<void> {
    const child = this.#child!;
    await this.#end('SIGTERM');
    if (child.exitCode !== 0) {
      const how = child.exitCode ?? child.signalCode;
      throw new Error(`node ${this.nodeId} ended with ${how} on SIGTERM:\n${this.#outputTail()}`);
    }
  }

  /** Pauses the process with SIGSTOP: the node neither runs nor closes its connections. */
  pause(): void {
    this.#child!.kill('SIGSTOP');
  }

  /** Continues the process with SIGCONT. */
  resume(): void {
    this.#child!.kill('SIGCONT');
  }

  usage(): ProcessUsage {
    return readProcessUsage(this.#child!.pid!);
  }

  /** Returns the value of a metric without labels, or the sum over all its labels. */
  async metric(name: string): Promise<number> {
    const response = await fetch(`${this.restUrl}/metrics`);
    const lines = (await response.text()).split('\n').filter((line) => new RegExp(`^${name}[ {]`).test(line));
    if (lines.length === 0) throw new Error(`there is no metric ${name}`);
    return lines.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' ') + 1)), 0);
  }

  async #end(signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
    const child = this.#child;
    if (!child || !this.isRunning) return;
    const exited = once(child, 'exit');
    child.kill(signal);
    await eventually(`node ${this.nodeId} ends on ${signal}`, () => !this.isRunning);
    await exited;
  }

  #outputTail(): string {
    return readFileSync(this.#outputFile, 'utf8').slice(-LOG_TAIL_LENGTH);
  }
}
