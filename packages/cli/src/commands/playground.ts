import { type ChildProcess, spawn } from 'node:child_process';
import { createWriteStream, mkdirSync, readdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Coxswain, CoxswainError, StatusCode } from '@coxswain/client';
import { Command } from 'commander';
import { ExitCode, failure, usageError } from '../exit.js';
import { renderTable } from '../output.js';
import { leaderPorts, nodesMax } from '../playground-ports.js';
import { parseCount } from './data.js';

interface PlaygroundFlags {
  readonly nodes: number;
  readonly tables: string;
  readonly dataDir: string;
  readonly portOffset: number;
}

/** The file that starts this command line, for the nodes as for people. */
const coxswainFile = fileURLToPath(new URL('../../../bin/coxswain.cjs', import.meta.url));

/** How long the nodes may take to stop, after which they are killed. Longer than a node drains. */
const stopMsMax = 15_000;

/** `coxswain playground`: a whole cluster of real processes on this machine. */
export function playgroundCommand(): Command {
  const command = new Command('playground')
    .description('run a cluster of real node processes on this machine')
    .option('--nodes <number>', `how many nodes, 1 to ${nodesMax}`, parseCount, 3)
    .option('--tables <names>', 'tables to make, separated by commas', 'default')
    .option('--data-dir <directory>', 'where the nodes keep their data', '.coxswain')
    .option('--port-offset <number>', 'added to every port', parseCount, 0);
  return command.action(async () => {
    const flags = command.opts<PlaygroundFlags>();
    if (flags.nodes < 1 || flags.nodes > nodesMax) {
      throw usageError(`--nodes: must be from 1 to ${nodesMax}, not ${flags.nodes}`);
    }
    if (leaderPorts(nodesMax, flags.portOffset).replication > 65_535) {
      throw usageError(`--port-offset: ${flags.portOffset} leads past port 65535: give a smaller one`);
    }
    const playground = new Playground(flags);
    const exitCode = await playground.run();
    process.exit(exitCode);
  });
}

/** The node processes of one playground. */
class Playground {
  readonly #flags: PlaygroundFlags;
  readonly #tables: readonly string[];
  readonly #dataDirectory: string;
  readonly #nodes = new Map<number, NodeProcess>();
  #isStopping = false;
  readonly #stopRequested: Promise<'stop'>;

  constructor(flags: PlaygroundFlags) {
    this.#flags = flags;
    this.#tables = flags.tables
      .split(',')
      .map((name) => name.trim())
      .filter((name) => name !== '');
    this.#dataDirectory = resolve(flags.dataDir);
    this.#stopRequested = new Promise((resolveStop) => {
      for (const signal of ['SIGINT', 'SIGTERM'] as const) {
        process.on(signal, () => {
          this.#isStopping = true;
          resolveStop('stop');
        });
      }
    });
  }

  /** Starts the nodes, waits until they serve, and runs until told to stop. */
  async run(): Promise<ExitCode> {
    this.#prepareDirectories();
    for (let node = 1; node <= this.#flags.nodes; node++) this.#nodes.set(node, this.#startNode(node));
    this.#printAddresses();
    const firstDeath = Promise.race([...this.#nodes.values()].map(({ died }) => died));
    try {
      const outcome = await Promise.race([this.#ready(), firstDeath, this.#stopRequested]);
      if (outcome === 'ready') {
        process.stdout.write(
          `ready: ${this.#flags.nodes} nodes, tables ${this.#tables.join(', ')}; try: npx coxswain put hello world${this.#endpointsHint()}\n`,
        );
        const everyDeath = Promise.all([...this.#nodes.values()].map(({ died }) => died));
        if ((await Promise.race([everyDeath, this.#stopRequested])) !== 'stop') {
          throw failure('no node is left: run it again to bring everything back');
        }
      } else if (outcome !== 'stop') {
        throw failure(`${outcome}: see ${join(this.#dataDirectory, 'leader-*', 'coxswain.log')}`);
      }
    } finally {
      await this.#stop();
    }
    return ExitCode.Done;
  }

  /** Makes the nodes' directories at once, so that their number can be told from then on. */
  #prepareDirectories(): void {
    const { nodes, dataDir } = this.#flags;
    mkdirSync(this.#dataDirectory, { recursive: true });
    const existing = readdirSync(this.#dataDirectory).filter((name) => /^leader-\d+$/.test(name)).length;
    if (existing > 0 && existing !== nodes) {
      throw failure(
        `${dataDir} holds the data of ${existing} nodes: run with --nodes ${existing}, or choose another --data-dir`,
      );
    }
    for (let node = 1; node <= nodes; node++) mkdirSync(this.#nodeDirectory(node), { recursive: true });
  }

  #nodeDirectory(node: number): string {
    return join(this.#dataDirectory, `leader-${node}`);
  }

  #startNode(node: number): NodeProcess {
    const { nodes, portOffset } = this.#flags;
    const ports = leaderPorts(node, portOffset);
    const members = Array.from(
      { length: nodes },
      (_, index) => `${index + 1}=127.0.0.1:${leaderPorts(index + 1, portOffset).raft}`,
    );
    const options = {
      config: '',
      'data-dir': this.#nodeDirectory(node),
      'api.address': `http://127.0.0.1:${ports.api}`,
      'api.advertise-address': `http://127.0.0.1:${ports.api}`,
      'replication.address': `http://127.0.0.1:${ports.replication}`,
      'rest.address': `http://127.0.0.1:${ports.rest}`,
      'raft.address': `127.0.0.1:${ports.raft}`,
      'raft.node-id': String(node),
      'raft.initial-members': members.join(','),
      'tables.names': this.#tables.join(','),
    };
    const process = new NodeProcess(
      node,
      Object.entries(options).map(([name, value]) => `--${name}=${value}`),
      join(this.#nodeDirectory(node), 'coxswain.log'),
    );
    void process.died.then((reason) => {
      if (!this.#isStopping) globalThis.process.stdout.write(`${reason}\n`);
    });
    return process;
  }

  #printAddresses(): void {
    const rows = [...this.#nodes.keys()].map((node) => {
      const ports = leaderPorts(node, this.#flags.portOffset);
      return [
        `leader-${node}`,
        ...[ports.api, ports.replication, ports.rest, ports.raft].map((port) => `127.0.0.1:${port}`),
      ];
    });
    process.stdout.write(renderTable(['NODE', 'API', 'REPLICATION', 'REST', 'RAFT'], rows));
  }

  #endpoints(): string[] {
    return [...this.#nodes.keys()].map(
      (node) => `127.0.0.1:${leaderPorts(node, this.#flags.portOffset).api}`,
    );
  }

  #endpointsHint(): string {
    return this.#flags.portOffset === 0 ? '' : ` --endpoints ${this.#endpoints().slice(0, 3).join(',')}`;
  }

  /** Resolves when every node is healthy and every table takes writes on each of them. */
  async #ready(): Promise<'ready'> {
    // Whoever else answers at these addresses is not meant.
    await Promise.all([...this.#nodes.values()].map(({ started }) => started));
    const options = { timeoutMs: 2_000 };
    for (const endpoint of this.#endpoints()) {
      const client = await this.#untilDone(() => Coxswain.connect({ endpoints: [endpoint], ...options }));
      try {
        await this.#untilDone(() => this.#checkTables(client));
      } finally {
        client.close();
      }
    }
    return 'ready';
  }

  /** A linearizable read needs a leader that commits in its own term: then writes are taken. */
  async #checkTables(client: Coxswain): Promise<void> {
    const { isServing, reason } = await client.cluster.health();
    if (!isServing) throw new CoxswainError(StatusCode.UNAVAILABLE, reason, client.endpoint);
    const existing = new Set((await client.tables.list()).tables.map(({ name }) => name));
    for (const table of this.#tables) {
      if (!existing.has(table)) await client.tables.create(table);
      existing.add(table);
    }
    for (const table of existing) await client.range(table, 'ready');
  }

  /** Repeats what a cluster that is still starting refuses. */
  async #untilDone<T>(act: () => Promise<T>): Promise<T> {
    for (;;) {
      try {
        return await act();
      } catch (error) {
        if (!(error instanceof CoxswainError)) throw error;
        await new Promise((resolvePause) => setTimeout(resolvePause, 50));
      }
    }
  }

  async #stop(): Promise<void> {
    this.#isStopping = true;
    await Promise.all([...this.#nodes.values()].map((node) => node.stop()));
  }
}

/** One node in a process of its own, with a log file of its own. */
class NodeProcess {
  readonly #child: ChildProcess;
  /** Resolves when the node listens. */
  readonly started: Promise<void>;
  /** Resolves with a sentence when the process has ended, whatever ended it. */
  readonly died: Promise<string>;

  constructor(node: number, flags: readonly string[], logFile: string) {
    // The channel tells the node when this process is gone: it stops then. A group of its own keeps the terminal's
    // Ctrl-C from reaching it: it is told to stop once, by this process.
    this.#child = spawn(process.execPath, [coxswainFile, 'leader', ...flags], {
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
      detached: true,
    });
    this.started = new Promise((resolveStart) => {
      this.#child.once('message', () => resolveStart());
    });
    const log = createWriteStream(logFile, { flags: 'a' });
    this.#child.stdout!.pipe(log, { end: false });
    let lastWords = '';
    this.#child.stderr!.on('data', (chunk: Buffer) => {
      log.write(chunk);
      lastWords = chunk
        .toString()
        .trim()
        .split('\n')
        .at(-1)!
        .replace(/^coxswain: /, '');
    });
    this.died = new Promise((resolveDeath) => {
      this.#child.once('close', (code, signal) => {
        log.end();
        const how = signal === null ? `with exit code ${code}` : `by ${signal}`;
        resolveDeath(`leader-${node} ended ${how}${lastWords === '' ? '' : `: ${lastWords}`}`);
      });
    });
  }

  async stop(): Promise<void> {
    this.#child.kill('SIGTERM');
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), stopMsMax);
    await this.died;
    clearTimeout(timer);
  }
}
