import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { createWriteStream, mkdirSync, readdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Coxswain, CoxswainError, StatusCode } from '@coxswain/client';
import { Command } from 'commander';
import { withExamples } from '../command-line.js';
import { counted } from '../counted.js';
import { ExitCode, failure, usageError } from '../exit.js';
import { parseCount } from '../key-range.js';
import { renderTable } from '../output.js';
import { followerPorts, leaderPorts, NODES_MAX, type NodePorts } from '../playground-ports.js';

interface PlaygroundFlags {
  readonly nodes: number;
  readonly followers: number;
  readonly tables: string;
  readonly dataDir: string;
  readonly portOffset: number;
}

/** The file that starts this command line, for the nodes as for people. */
const coxswainFile = fileURLToPath(new URL('../../../bin/coxswain.cjs', import.meta.url));

/** Milliseconds that the nodes may take to stop, longer than a node drains; after that they are killed. */
const STOP_MS_MAX = 15_000;
const CONSOLE_TOKEN = 'COXSWAIN_REST_CONSOLE_TOKEN';
/** Of the token of the consoles, where the environment has none. */
const TOKEN_BYTES = 18;

/** One node of one of the playground's clusters. */
interface Place {
  readonly role: 'leader' | 'follower';
  /** The number of the node within its cluster: 1, 2, … */
  readonly node: number;
  readonly ports: NodePorts;
}

const nameOf = ({ role, node }: Place): string => `${role}-${node}`;
const hostPort = (port: number): string => `127.0.0.1:${port}`;

/** Makes the command `playground`: a whole cluster of real processes on this machine. */
export function playgroundCommand(): Command {
  const command = new Command('playground')
    .description('Run a cluster of real node processes on this machine.')
    .option('--nodes <number>', `Nodes of the cluster, from 1 to ${NODES_MAX}.`, parseCount, 3)
    .option(
      '--followers <number>',
      `Nodes of a follower cluster beside it, from 0 to ${NODES_MAX}.`,
      parseCount,
      0,
    )
    .option('--tables <names>', 'Tables to create, separated by commas.', 'default')
    .option('--data-dir <directory>', 'Directory in which the nodes keep their data.', '.coxswain')
    .option('--port-offset <number>', 'Number that is added to every port.', parseCount, 0);
  withExamples(
    command,
    'coxswain playground',
    'coxswain playground --followers 3 --tables users,orders',
    'coxswain playground --nodes 5 --port-offset 20000 --data-dir /tmp/five',
  );
  return command.action(async () => {
    const flags = command.opts<PlaygroundFlags>();
    if (flags.nodes < 1 || flags.nodes > NODES_MAX) {
      throw usageError(`--nodes: must be from 1 to ${NODES_MAX}, not ${flags.nodes}`);
    }
    if (flags.followers > NODES_MAX) {
      throw usageError(`--followers: must be from 0 to ${NODES_MAX}, not ${flags.followers}`);
    }
    if (followerPorts(NODES_MAX, flags.portOffset).replication > 65_535) {
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
  readonly #places: readonly Place[];
  #nodes: readonly NodeProcess[] = [];
  #isStopping = false;
  /** What the consoles of all nodes ask for: a page of another site must not change anything in the playground either. */
  readonly #consoleToken = process.env[CONSOLE_TOKEN] || randomBytes(TOKEN_BYTES).toString('base64url');
  readonly #stopRequested: Promise<'stop'>;

  constructor(flags: PlaygroundFlags) {
    this.#flags = flags;
    this.#tables = flags.tables
      .split(',')
      .map((name) => name.trim())
      .filter((name) => name !== '');
    if (this.#tables.length === 0) throw usageError('--tables: name at least one table');
    this.#dataDirectory = resolve(flags.dataDir);
    const { nodes, followers, portOffset } = flags;
    const leader = (_: unknown, index: number): Place => {
      return { role: 'leader', node: index + 1, ports: leaderPorts(index + 1, portOffset) };
    };
    const follower = (_: unknown, index: number): Place => {
      return { role: 'follower', node: index + 1, ports: followerPorts(index + 1, portOffset) };
    };
    this.#places = [...Array.from({ length: nodes }, leader), ...Array.from({ length: followers }, follower)];
    this.#stopRequested = new Promise((resolveStop) => {
      for (const signal of ['SIGINT', 'SIGTERM'] as const) {
        process.on(signal, () => {
          this.#isStopping = true;
          resolveStop('stop');
        });
      }
    });
  }

  /** Starts the nodes, waits until they serve, and runs until it is asked to stop. */
  async run(): Promise<ExitCode> {
    this.#prepareDirectories();
    this.#nodes = this.#places.map((place) => this.#startNode(place));
    this.#printAddresses();
    const firstDeath = Promise.race(this.#nodes.map(({ died }) => died));
    try {
      const outcome = await Promise.race([this.#ready(), firstDeath, this.#stopRequested]);
      if (outcome === 'ready') {
        process.stdout.write(
          `ready: ${this.#size()}, tables ${this.#tables.join(', ')}; try: npx coxswain put hello world${this.#endpointsHint()}\n`,
        );
        process.stdout.write(`console: ${this.#consoleAddress()}\n`);
        const everyDeath = Promise.all(this.#nodes.map(({ died }) => died));
        if ((await Promise.race([everyDeath, this.#stopRequested])) !== 'stop') {
          throw failure('no node is left: run it again to bring everything back');
        }
      } else if (outcome !== 'stop') {
        throw failure(`${outcome}: see ${join(this.#dataDirectory, '*', 'coxswain.log')}`);
      }
    } finally {
      await this.#stop();
    }
    return ExitCode.Done;
  }

  /** Makes the nodes' directories at once, so that their number shows from then on. */
  #prepareDirectories(): void {
    const { nodes, followers, dataDir } = this.#flags;
    mkdirSync(this.#dataDirectory, { recursive: true });
    const entries = readdirSync(this.#dataDirectory);
    for (const [role, count, flag] of [
      ['leader', nodes, '--nodes'],
      ['follower', followers, '--followers'],
    ] as const) {
      const existing = entries.filter((name) => name.startsWith(`${role}-`) && /-\d+$/.test(name)).length;
      // Without --followers the leader cluster runs alone, and the other cluster's data waits.
      if (existing > 0 && existing !== count && !(role === 'follower' && count === 0)) {
        const whose = role === 'leader' ? '' : 'follower ';
        throw failure(
          `${dataDir} holds the data of ${existing} ${whose}nodes: run with ${flag} ${existing}, or choose another --data-dir`,
        );
      }
    }
    for (const place of this.#places) mkdirSync(this.#directory(place), { recursive: true });
  }

  #directory(place: Place): string {
    return join(this.#dataDirectory, nameOf(place));
  }

  #cluster(role: Place['role']): Place[] {
    return this.#places.filter((place) => place.role === role);
  }

  #startNode(place: Place): NodeProcess {
    const { role, node, ports } = place;
    const members = this.#cluster(role).map((member) => `${member.node}=${hostPort(member.ports.raft)}`);
    const leaders = this.#cluster('leader').map((leader) => hostPort(leader.ports.replication));
    const options = {
      config: '',
      'data-dir': this.#directory(place),
      'api.address': `http://${hostPort(ports.api)}`,
      'api.advertise-address': `http://${hostPort(ports.api)}`,
      'replication.address': `http://${hostPort(ports.replication)}`,
      'rest.address': `http://${hostPort(ports.rest)}`,
      'raft.address': hostPort(ports.raft),
      'raft.node-id': String(node),
      'raft.initial-members': members.join(','),
      ...(role === 'leader'
        ? { 'tables.names': this.#tables.join(',') }
        : { 'replication.leader-address': leaders.join(','), 'memberlist.node-name': nameOf(place) }),
    };
    const process = new NodeProcess(
      place,
      Object.entries(options).map(([name, value]) => `--${name}=${value}`),
      join(this.#directory(place), 'coxswain.log'),
      // Not as a flag, which every process of the machine sees.
      { [CONSOLE_TOKEN]: this.#consoleToken },
    );
    void process.died.then((reason) => {
      if (!this.#isStopping) globalThis.process.stdout.write(`${reason}\n`);
    });
    return process;
  }

  #size(): string {
    const { nodes, followers } = this.#flags;
    const size = counted(nodes, 'node');
    return followers === 0 ? size : `${size} and ${followers} of a follower cluster`;
  }

  #printAddresses(): void {
    const rows = this.#places.map((place) => {
      const { api, replication, rest, raft } = place.ports;
      return [nameOf(place), ...[api, replication, rest, raft].map(hostPort)];
    });
    process.stdout.write(renderTable(['NODE', 'API', 'REPLICATION', 'REST', 'RAFT'], rows));
  }

  /** Of the first node, with the token, which the page takes from it. */
  #consoleAddress(): string {
    return `http://${hostPort(this.#places[0]!.ports.rest)}/#token=${this.#consoleToken}`;
  }

  #endpointsHint(): string {
    if (this.#flags.portOffset === 0) return '';
    const endpoints = this.#cluster('leader').map(({ ports }) => hostPort(ports.api));
    return ` --endpoints ${endpoints.slice(0, 3).join(',')}`;
  }

  /** Resolves when every node is healthy and every table takes writes on each of them. */
  async #ready(): Promise<'ready'> {
    // Another process may answer at these addresses until the nodes have started.
    await Promise.all(this.#nodes.map(({ started }) => started));
    const options = { timeoutMs: 2_000 };
    const tables = new Set(this.#tables);
    for (const { role, ports } of this.#places) {
      const endpoints = [hostPort(ports.api)];
      const client = await this.#untilDone(() => Coxswain.connect({ endpoints, ...options }));
      try {
        await this.#untilDone(() => this.#checkTables(client, role, tables));
      } finally {
        client.close();
      }
    }
    return 'ready';
  }

  /**
   * Checks that a node is healthy and every table takes writes, and makes the tables that the leader cluster lacks. A
   * linearizable read needs a leader that commits in its own term, and then writes are taken; those of a follower
   * cluster need the leader cluster, too. `tables` has the tables that must exist; those that exist on the leader
   * cluster are added to it.
   */
  async #checkTables(client: Coxswain, role: Place['role'], tables: Set<string>): Promise<void> {
    const { isServing, reason } = await client.cluster.health();
    if (!isServing) throw new CoxswainError(StatusCode.UNAVAILABLE, reason, client.endpoint);
    const existing = new Set((await client.tables.list()).tables.map(({ name }) => name));
    for (const table of tables) {
      if (role === 'leader' && !existing.has(table)) await client.tables.create(table);
    }
    if (role === 'leader') for (const table of existing) tables.add(table);
    for (const table of tables) {
      await client.range(table, 'ready');
      if (role === 'follower') await client.range(table, 'ready', { fromLeaderCluster: true });
    }
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
    await Promise.all(this.#nodes.map((node) => node.stop()));
  }
}

/** One node in a process of its own, with a log file of its own. */
class NodeProcess {
  readonly #child: ChildProcess;
  /** Resolves when the node listens. */
  readonly started: Promise<void>;
  /** Resolves with a sentence when the process has ended, whatever ended it. */
  readonly died: Promise<string>;

  constructor(
    place: Place,
    flags: readonly string[],
    logFile: string,
    environment: Readonly<Record<string, string>>,
  ) {
    // The channel lets the node know when this process is gone: it stops then. A group of its own keeps the terminal's
    // Ctrl-C from reaching it: this process asks it to stop, once.
    this.#child = spawn(process.execPath, [coxswainFile, place.role, ...flags], {
      env: { ...process.env, ...environment },
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
        resolveDeath(`${nameOf(place)} ended ${how}${lastWords === '' ? '' : `: ${lastWords}`}`);
      });
    });
  }

  async stop(): Promise<void> {
    this.#child.kill('SIGTERM');
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), STOP_MS_MAX);
    await this.died;
    clearTimeout(timer);
  }
}
