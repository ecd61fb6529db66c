import { join } from 'node:path';
import { Coxswain, toEnd } from '@coxswain/client';
import type { regatta } from '@coxswain/protocol';
import { eventually, findFreePorts, Hopeless, TemporaryDirectory } from '@coxswain/testing';
import { Command, type Outcome } from '../support/command.js';

/** The ports that a node listens on. */
interface Ports {
  readonly api: number;
  readonly rest: number;
  readonly raft: number;
  readonly replication: number;
}

/** One node, in a process of its own that may be killed and started again. */
export class ClusterNode {
  readonly #ports: Ports;
  #command: Command | undefined;
  #client: Coxswain | undefined;

  constructor(
    readonly id: number,
    ports: Ports,
    /** The directory in which the node keeps its data. */
    readonly directory: string,
  ) {
    this.#ports = ports;
  }

  get endpoint(): string {
    return `127.0.0.1:${this.#ports.api}`;
  }

  get replicationAddress(): string {
    return `127.0.0.1:${this.#ports.replication}`;
  }

  get raftAddress(): string {
    return `127.0.0.1:${this.#ports.raft}`;
  }

  /** The address of the node's REST listener, as host:port. */
  get restAddress(): string {
    return `127.0.0.1:${this.#ports.rest}`;
  }

  get isRunning(): boolean {
    return this.#command !== undefined;
  }

  /** The output of the process since it was started last. */
  get output(): string {
    return `${this.#command?.stdout ?? ''}${this.#command?.stderr ?? ''}`;
  }

  start(role: 'leader' | 'follower', flags: readonly string[]): void {
    const { api, rest, replication } = this.#ports;
    this.#command = new Command([
      role,
      '--config=',
      `--data-dir=${this.directory}`,
      `--raft.node-id=${this.id}`,
      `--raft.address=${this.raftAddress}`,
      `--api.address=http://127.0.0.1:${api}`,
      `--rest.address=http://127.0.0.1:${rest}`,
      `--replication.address=http://127.0.0.1:${replication}`,
      ...flags,
    ]);
  }

  /** Connects a client to this node alone, once. */
  async client(): Promise<Coxswain> {
    if (this.#client === undefined) {
      const client = await Coxswain.connect({ endpoints: [this.endpoint], timeoutMs: 60_000 });
      this.#client = client;
    }
    return this.#client;
  }

  async status(): Promise<regatta.StatusResponse> {
    return (await this.client()).cluster.status({ timeoutMs: 10_000 });
  }

  async isReady(): Promise<boolean> {
    return (await this.readiness()).isReady;
  }

  /** Returns the answer of /readyz, or of /readyz?role=…, with the reason while the node is not ready. */
  async readiness(role?: string): Promise<{ readonly isReady: boolean; readonly text: string }> {
    const query = role === undefined ? '' : `?role=${role}`;
    const response = await fetch(`http://127.0.0.1:${this.#ports.rest}/readyz${query}`);
    return { isReady: response.ok, text: await response.text() };
  }

  async metrics(): Promise<string> {
    const response = await fetch(`http://127.0.0.1:${this.#ports.rest}/metrics`);
    return response.text();
  }

  /** Sends a signal to the process, such as SIGSTOP or SIGCONT. */
  signal(signal: NodeJS.Signals): void {
    this.#command!.child.kill(signal);
  }

  /** True when the process has ended by itself. */
  get hasEnded(): boolean {
    const { exitCode = null, signalCode = null } = this.#command?.child ?? {};
    return exitCode !== null || signalCode !== null;
  }

  /** Resolves with the outcome of the process when it ends by itself. */
  get ended(): Promise<Outcome> {
    return this.#command!.ended;
  }

  /** Ends the process with a signal, and resolves when it has ended. */
  async kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    const command = this.#command;
    this.#command = undefined;
    this.#client?.close();
    this.#client = undefined;
    if (command === undefined) return;
    command.child.kill('SIGCONT');
    await command.stop(signal);
  }
}

export interface ClusterOptions {
  readonly role: 'leader' | 'follower';
  readonly nodes: number;
  /** The ids of the nodes to start, which know the others by name; undefined for all. */
  readonly only?: readonly number[];
  /** The tables of a leader cluster. */
  readonly tables?: readonly string[];
  /** For a follower cluster: the cluster, or the replication address, that it follows. */
  readonly follows?: Cluster | string;
  readonly flags?: readonly string[];
}

/** A cluster of real processes on the loopback address. */
export class Cluster {
  readonly nodes: readonly ClusterNode[];
  readonly #options: ClusterOptions;
  readonly #directory: TemporaryDirectory;
  #client: Coxswain | undefined;

  private constructor(options: ClusterOptions, nodes: readonly ClusterNode[], directory: TemporaryDirectory) {
    this.#options = options;
    this.nodes = nodes;
    this.#directory = directory;
  }

  /** Starts the processes, and does not wait until they serve, as `ready` does. */
  static async start(options: ClusterOptions): Promise<Cluster> {
    const directory = new TemporaryDirectory();
    const ports = await findFreePorts(4 * options.nodes);
    const nodes = Array.from({ length: options.nodes }, (_, index) => {
      const [api, rest, raft, replication] = ports.slice(4 * index) as [number, number, number, number];
      const directoryOfNode = join(directory.path, String(index + 1));
      return new ClusterNode(index + 1, { api, rest, raft, replication }, directoryOfNode);
    });
    const cluster = new Cluster(options, nodes, directory);
    for (const id of options.only ?? nodes.map((node) => node.id)) cluster.restart(id);
    return cluster;
  }

  /** Starts the processes, and waits until every node serves. */
  static async ready(options: ClusterOptions): Promise<Cluster> {
    const cluster = await Cluster.start(options);
    try {
      await cluster.untilReady();
      return cluster;
    } catch (error) {
      const output = cluster.nodes.map((node) => node.output).join('\n');
      await cluster.stop();
      throw new Error(`a cluster does not get ready: ${output}`, { cause: error });
    }
  }

  /** Waits until every node is ready. Rejects when a process ends meanwhile. */
  async untilReady(): Promise<void> {
    await eventually('every node is ready', async () => {
      for (const node of this.nodes) {
        if (node.hasEnded) throw new Hopeless(`node ${node.id} has ended: ${node.output}`);
      }
      const answers = await Promise.all(this.nodes.map((node) => node.isReady()));
      return answers.every(Boolean);
    });
  }

  /** The replication addresses of all nodes, in the form of `replication.leader-address`. */
  get replicationAddress(): string {
    return this.nodes.map((node) => node.replicationAddress).join(',');
  }

  /** Connects a client to all nodes, once. */
  async client(): Promise<Coxswain> {
    const endpoints = this.nodes.map((node) => node.endpoint);
    this.#client ??= await Coxswain.connect({ endpoints, timeoutMs: 60_000 });
    return this.#client;
  }

  node(id: number): ClusterNode {
    return this.nodes[id - 1]!;
  }

  /** Starts a node on what it has on disk. */
  restart(
    id: number,
    overrides: { readonly [Key in keyof ClusterOptions]?: ClusterOptions[Key] | undefined } = {},
  ): void {
    const { role, tables, follows, flags } = { ...this.#options, ...overrides } as ClusterOptions;
    const members = this.nodes.map((node) => `${node.id}=${node.raftAddress}`).join(',');
    const leader = typeof follows === 'object' ? follows.replicationAddress : follows;
    this.node(id).start(role, [
      `--raft.initial-members=${members}`,
      // Elections begin after 2 s of silence, so a node that a busy machine holds up for less loses nothing. One that
      // ends is missed at once.
      '--raft.rtt=100ms',
      '--raft.wal-segment-size=16MiB',
      ...(tables === undefined ? [] : [`--tables.names=${tables.join(',')}`]),
      ...(leader === undefined
        ? []
        : [
            `--replication.leader-address=${leader}`,
            '--replication.reconcile-interval=200ms',
            '--replication.poll-interval=200ms',
          ]),
      ...(flags ?? []),
    ]);
  }

  /** Waits for a leader of a table's group, as the nodes know it, and returns it. */
  async leaderOf(table: string): Promise<ClusterNode> {
    return eventually(`table ${table} has a leader`, async () => {
      for (const node of this.nodes.filter(({ isRunning }) => isRunning)) {
        const leader = Number((await node.status()).tables.get(table)?.leader);
        const found = this.nodes.find(({ id, isRunning }) => id === leader && isRunning);
        if (found !== undefined) return found;
      }
      return undefined;
    });
  }

  /** Kills every process, without letting it stop in order. */
  async killAll(): Promise<void> {
    this.#client?.close();
    this.#client = undefined;
    await Promise.all(this.nodes.map((node) => node.kill()));
  }

  async stop(): Promise<void> {
    await this.killAll();
    this.#directory.remove();
  }
}

/**
 * Waits until every running node of these clusters reports the same state of a table. Rejects with the states when they
 * stay different.
 */
export async function untilEqual(table: string, ...clusters: readonly Cluster[]): Promise<void> {
  const nodes = clusters.flatMap((cluster) => cluster.nodes).filter(({ isRunning }) => isRunning);
  let seen: string[] = [];
  try {
    await eventually(`table ${table} is equal everywhere`, async () => {
      const states = await Promise.all(nodes.map(async (node) => (await node.status()).tables.get(table)));
      seen = states.map((state) => `${state?.revision} ${state?.contentHash} ${state?.replication?.state}`);
      const [first, ...others] = states;
      if (first === undefined) return false;
      // A6: the hash covers keys, values, revisions and versions, so nothing was lost or applied twice.
      return others.every(
        (state) => state?.revision === first.revision && state.contentHash === first.contentHash,
      );
    });
  } catch (error) {
    throw new Error(`table ${table} differs: ${seen.join(', ')}`, { cause: error });
  }
}

/** Returns everything that a node of a cluster holds of a table: key, value, revisions, version. */
export async function contentOf(client: Coxswain, table: string): Promise<string[]> {
  const content: string[] = [];
  for await (const pair of client.iterateRange(table, toEnd, { rangeEnd: toEnd, linearizable: false })) {
    const { key, value, createRevision, modRevision, version } = pair;
    content.push(`${key}=${value} ${createRevision}/${modRevision}/${version}`);
  }
  return content;
}
