import { join } from 'node:path';
import { eventually, findFreePorts, TemporaryDirectory } from '@coxswain/testing';
import { NodeClient } from './node-client.js';
import { type ClusterRole, NodeProcess } from './node-process.js';

const TABLE = 'default';
const PROBE_TIMEOUT_MS = 1_000;

/** A node's process and the one client that talks to it. */
export interface ClusterNode {
  readonly process: NodeProcess;
  readonly client: NodeClient;
  /** The address of its API, as `host:port`. */
  readonly address: string;
  /** The address of its replication listener, as `host:port`. */
  readonly replicationAddress: string;
}

/** Real node processes on free ports of the loopback address, with their data in a temporary directory. */
export class ProcessCluster {
  readonly role: ClusterRole;
  readonly nodes: readonly ClusterNode[];
  readonly #directory: TemporaryDirectory;

  private constructor(role: ClusterRole, nodes: readonly ClusterNode[], directory: TemporaryDirectory) {
    this.role = role;
    this.nodes = nodes;
    this.#directory = directory;
  }

  /**
   * Starts a leader cluster and resolves when every node is ready. `flags` are added to the options that a cluster
   * needs.
   */
  static start(nodeCount: number, flags: Readonly<Record<string, string>> = {}): Promise<ProcessCluster> {
    return ProcessCluster.#start('leader', nodeCount, { 'tables.names': TABLE, ...flags });
  }

  /**
   * Starts a follower cluster, whose nodes know every one of these replication addresses (`host:port`) of its leader
   * cluster.
   */
  static startFollower(
    leaderAddresses: readonly string[],
    nodeCount: number,
    flags: Readonly<Record<string, string>> = {},
  ): Promise<ProcessCluster> {
    return ProcessCluster.#start('follower', nodeCount, {
      'replication.leader-address': leaderAddresses.map((address) => `http://${address}`).join(','),
      ...flags,
    });
  }

  static async #start(
    role: ClusterRole,
    nodeCount: number,
    flags: Readonly<Record<string, string>>,
  ): Promise<ProcessCluster> {
    const directory = new TemporaryDirectory();
    const ports = await findFreePorts(nodeCount * 4);
    const portsOf = (index: number) =>
      ports.slice(index * 4, index * 4 + 4) as [number, number, number, number];
    const indices = Array.from({ length: nodeCount }, (_, index) => index);
    const members = indices.map((index) => `${index + 1}=127.0.0.1:${portsOf(index)[0]}`).join(',');
    const nodes = indices.map((index): ClusterNode => {
      const [raftPort, apiPort, restPort, replicationPort] = portsOf(index);
      const nodeDirectory = join(directory.path, `${role}-${index + 1}`);
      return {
        process: new NodeProcess({
          role,
          nodeId: index + 1,
          directory: nodeDirectory,
          restPort,
          flags: {
            'data-dir': nodeDirectory,
            'raft.node-id': String(index + 1),
            'raft.address': `127.0.0.1:${raftPort}`,
            'raft.initial-members': members,
            'api.address': `http://127.0.0.1:${apiPort}`,
            'rest.address': `http://127.0.0.1:${restPort}`,
            'replication.address': `http://127.0.0.1:${replicationPort}`,
            ...flags,
          },
        }),
        client: NodeClient.to(`127.0.0.1:${apiPort}`, TABLE),
        address: `127.0.0.1:${apiPort}`,
        replicationAddress: `127.0.0.1:${replicationPort}`,
      };
    });
    const cluster = new ProcessCluster(role, nodes, directory);
    try {
      for (const node of nodes) node.process.start();
      await cluster.untilReady();
    } catch (error) {
      await cluster.dispose();
      throw error;
    }
    return cluster;
  }

  async untilReady(): Promise<void> {
    await Promise.all(this.nodes.map((node) => node.process.untilReady()));
  }

  /** Returns the node that leads the table, as a majority sees it, once one of the running nodes does. */
  async leader(): Promise<ClusterNode> {
    return eventually('the table has a leader', async () => {
      for (const node of this.nodes) {
        if (!node.process.isRunning) continue;
        const answer = await node.client.get('leader', { linearizable: true, timeoutMs: PROBE_TIMEOUT_MS });
        if (answer.kind !== 'answered') continue;
        const leader = this.nodes.find(({ process }) => process.nodeId === answer.leaderId);
        if (leader?.process.isRunning) return leader;
      }
      return undefined;
    });
  }

  /** The address of every node's replication listener, as `host:port`. */
  get replicationAddresses(): string[] {
    return this.nodes.map(({ replicationAddress }) => replicationAddress);
  }

  /** Returns every node except this one. */
  others(node: ClusterNode): ClusterNode[] {
    return this.nodes.filter((other) => other !== node);
  }

  /** Kills the processes that still run and removes the data. */
  async dispose(): Promise<void> {
    for (const { client } of this.nodes) client.close();
    await Promise.all(this.nodes.map(({ process }) => process.kill()));
    this.#directory.remove();
  }
}
