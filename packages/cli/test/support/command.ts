import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { eventually, findFreePorts, TemporaryDirectory, until } from '@coxswain/testing';

/** The file of the command, for `node` to run. */
export const coxswainFile = fileURLToPath(new URL('../../../bin/coxswain.cjs', import.meta.url));

/** The outcome of a command that has ended. */
export interface Outcome {
  readonly exitCode: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A `coxswain` process. */
export class Command {
  readonly child: ChildProcess;
  stdout = '';
  stderr = '';
  readonly ended: Promise<Outcome>;

  constructor(
    args: readonly string[],
    options: {
      stdin?: string | Buffer;
      isStdinOpen?: boolean;
      cwd?: string;
      env?: NodeJS.ProcessEnv;
      /** A line of shell that the process runs before it becomes the command: it has its id and its limits. */
      before?: string;
    } = {},
  ) {
    const { before } = options;
    const command = [process.execPath, coxswainFile, ...args];
    const shell = ['sh', '-c', `${before}; exec "$0" "$@"`];
    const [program, ...rest] = before === undefined ? command : [...shell, ...command];
    this.child = spawn(program!, rest, {
      cwd: options.cwd,
      env: { ...process.env, ...options.env },
      stdio: 'pipe',
    });
    this.child.stdout!.setEncoding('utf8').on('data', (text: string) => {
      this.stdout += text;
    });
    this.child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      this.stderr += text;
    });
    this.child.stdin!.write(options.stdin ?? '');
    if (!options.isStdinOpen) this.child.stdin!.end();
    this.ended = new Promise((resolve) => {
      this.child.once('close', (exitCode) => resolve({ exitCode, stdout: this.stdout, stderr: this.stderr }));
    });
  }

  /** Waits until the output holds the text. Rejects when the process ends before. */
  async prints(text: string): Promise<void> {
    let hasEnded = false;
    void this.ended.then(() => {
      hasEnded = true;
    });
    await until(`the command prints ${text}`, () => {
      if (this.stdout.includes(text)) return true;
      if (hasEnded) throw new Error(`ended without printing ${text}: ${this.stdout}${this.stderr}`);
      return false;
    });
  }

  /** Lets the process stop in order, with a signal. */
  stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<Outcome> {
    this.child.kill(signal);
    return this.ended;
  }
}

/** Runs a command to its end. */
export function run(
  args: readonly string[],
  options?: ConstructorParameters<typeof Command>[1],
): Promise<Outcome> {
  return new Command(args, options).ended;
}

/** A node alone in its cluster, in a process of its own. */
export class NodeCommand {
  readonly directory = new TemporaryDirectory();
  #command: Command | undefined;

  private constructor(
    readonly endpoint: string,
    readonly restUrl: string,
    readonly flags: readonly string[],
  ) {}

  static async start(more: readonly string[] = []): Promise<NodeCommand> {
    const [api, rest, raft] = await findFreePorts(3);
    const node = new NodeCommand(`127.0.0.1:${api}`, `http://127.0.0.1:${rest}`, [
      `--api.address=http://127.0.0.1:${api}`,
      `--rest.address=http://127.0.0.1:${rest}`,
      `--raft.address=127.0.0.1:${raft}`,
      '--replication.enabled=false',
      '--raft.wal-segment-size=16MiB',
      '--config=',
      '--tables.names=default',
      ...more,
    ]);
    node.#start();
    await node.#untilReady();
    return node;
  }

  async #untilReady(): Promise<void> {
    await this.#command!.prints('"event":"cluster-formed"');
    await eventually('the node is ready', async () => (await fetch(`${this.restUrl}/readyz`)).ok);
  }

  /**
   * Runs a command against this node. A busy machine may take longer than the five seconds that people wait: no verdict
   * depends on that.
   */
  run(args: readonly string[], options?: ConstructorParameters<typeof Command>[1]): Promise<Outcome> {
    const env = { COXSWAIN_TIMEOUT: '5m', ...options?.env };
    return run([...args, '--endpoints', this.endpoint], { ...options, env });
  }

  /** Sends a signal to the process, such as SIGSTOP or SIGCONT. */
  signal(signal: NodeJS.Signals): void {
    this.#command!.child.kill(signal);
  }

  /** What it has printed since its start. */
  get stdout(): string {
    return this.#command!.stdout;
  }

  /** Stops the process in order, and starts another one with its data. */
  async restart(): Promise<void> {
    await this.#command!.stop();
    this.#start();
  }

  #start(): void {
    this.#command = new Command(['leader', ...this.flags, `--data-dir=${this.directory.path}/data`]);
  }

  async stop(): Promise<Outcome> {
    const outcome = await this.#command!.stop();
    this.directory.remove();
    return outcome;
  }
}
