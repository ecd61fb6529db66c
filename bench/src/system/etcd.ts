import { spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { findFreePorts } from '@coxswain/testing';
import { etcdDialect } from '../load/etcd-dialect.js';
import type { Cleanup } from '../process/cleanup.js';
import { ManagedProcess } from '../process/managed-process.js';
import { waitUntilReady } from './readiness.js';
import type { System } from './system.js';

const USUAL_NODE_COUNT = 3;

/** Returns the installed version, such as `3.4.23`, or undefined when etcd is not installed. */
export function findEtcdVersion(): string | undefined {
  const { stdout, error } = spawnSync('etcd', ['--version'], { encoding: 'utf8' });
  if (error) return undefined;
  return /etcd Version: (\S+)/.exec(stdout)?.[1] ?? 'unknown';
}

/**
 * Starts etcd nodes on loopback, three unless said otherwise, with etcd's own defaults.
 *
 * @param directory for their data and output.
 */
export async function startEtcd(
  directory: string,
  version: string,
  cleanup: Cleanup,
  nodeCount = USUAL_NODE_COUNT,
): Promise<System> {
  mkdirSync(directory, { recursive: true });
  const ports = await findFreePorts(2 * nodeCount);
  const nodes = Array.from({ length: nodeCount }, (_, index) => ({
    name: `etcd-${index + 1}`,
    client: `127.0.0.1:${ports[2 * index]}`,
    peer: `http://127.0.0.1:${ports[2 * index + 1]}`,
  }));
  const initialCluster = nodes.map(({ name, peer }) => `${name}=${peer}`).join(',');
  const processes = nodes.map(({ name, client, peer }) => {
    const options = {
      name,
      'data-dir': join(directory, name),
      'listen-client-urls': `http://${client}`,
      'advertise-client-urls': `http://${client}`,
      'listen-peer-urls': peer,
      'initial-advertise-peer-urls': peer,
      'initial-cluster': initialCluster,
      'initial-cluster-state': 'new',
    };
    const args = Object.entries(options).map(([option, value]) => `--${option}=${value}`);
    return new ManagedProcess(name, 'etcd', args, join(directory, `${name}.log`));
  });
  for (const process of processes) await cleanup.defer(() => process.stop());
  function assertRunning(): void {
    for (const process of processes) process.assertRunning();
  }
  const endpoints = nodes.map(({ client }) => client);
  await waitUntilReady('etcd', endpoints, etcdDialect, assertRunning);
  return {
    name: 'etcd',
    version,
    dialect: 'etcd',
    endpoints,
    answersHoldData: true,
    processIds: processes.map(({ processId }) => processId),
    assertRunning,
  };
}
